// SPDX-License-Identifier: Apache-2.0
import { readI32 } from '../../lib/bytes.ts';
import { ArpOffset, ArpOperation, checkArp, readArpOperation } from '../../wire/arp.ts';
import { ethernetHeaderLength } from '../../wire/ethernet.ts';
import { IcmpOffset, IcmpType } from '../../wire/icmp.ts';
import { Icmpv6Type } from '../../wire/icmpv6.ts';
import { Ipv6Offset } from '../../wire/ipv6.ts';
import { checkNeighbourSolicitation, isSolicitedNode, isUnspecifiedIpv6, NdpOffset } from '../../wire/ndp.ts';
import type { DropReason, EngineAddress } from '../engine.ts';
import { type Answers, turnEchoAround } from './answers.ts';
import { KeyWord } from './entry-layout.ts';
import { isIcmp } from './icmp-errors.ts';
import type { Leases } from './leases.ts';
import { Fragment, type Packet } from './packet.ts';
import type { Frame, PacketPort } from './packet-port.ts';
import type { Services } from './services.ts';
import { Drop, type Tally } from './tally.ts';

/** Answers for the addresses that are on no interface as a host does for its own: ARP, ND and echo. */
export class AddressHost {
  readonly #services: Services;
  readonly #leases: Leases;
  readonly #tally: Tally;
  readonly #answers: Answers;
  readonly #target = new Int32Array(4);

  constructor(services: Services, leases: Leases, tally: Tally, answers: Answers) {
    this.#services = services;
    this.#leases = leases;
    this.#tally = tally;
    this.#answers = answers;
  }

  /** An intact ICMP message that is no error, for an address that the engine answers for and whose lease is valid. */
  handleIcmp(packet: Packet, leaseSlot: number): void {
    const type = packet.memory[packet.transport + IcmpOffset.type]!;
    if (packet.ipv6 && type === Icmpv6Type.neighbourSolicitation) {
      this.#answerSolicitation(packet);
      return;
    }
    if (type !== (packet.ipv6 ? Icmpv6Type.echoRequest : IcmpType.echoRequest)) return;
    turnEchoAround(packet);
    packet.frame.length = packet.end - packet.ethernet;
    if (!packet.port.transmitInPlace(packet.frame)) {
      this.#drop('transmitFailed');
      return;
    }
    this.#leases.use(leaseSlot);
    this.#tally.echoReplies += 1;
  }

  /** A packet in a group-addressed frame, whose headers have been read: perhaps a solicitation to a solicited-node group. */
  handleGroupIpv6(packet: Packet): void {
    const { memory, ip } = packet;
    if (!isIcmp(packet) || !isSolicitedNode(memory, ip + Ipv6Offset.destination)) return;
    if (packet.transport >= packet.end) return;
    if (memory[packet.transport + IcmpOffset.type] === Icmpv6Type.neighbourSolicitation) {
      this.#answerSolicitation(packet);
    }
  }

  /** RFC 826. Answers requests alone: announcements of the address by others concern the election, not the engine. */
  handleArp(frame: Frame, port: PacketPort): void {
    const { memory } = frame;
    const arp = frame.offset + ethernetHeaderLength;
    if (checkArp(memory, arp, frame.length - ethernetHeaderLength) !== undefined) return;
    if (readArpOperation(memory, arp) !== ArpOperation.request) return;
    const target = readI32(memory, arp + ArpOffset.targetAddress);
    const number = this.#services.findAddressIpv4(target);
    if (number < 0 || readI32(memory, arp + ArpOffset.senderAddress) === target) return;
    const address = this.#services.addresses[number]!;
    if (!this.#mayAnswer(address, port)) return;
    if (!this.#answers.arpReply(port, memory, arp)) {
      this.#drop('transmitFailed');
      return;
    }
    this.#leases.use(address.leaseSlot);
    this.#tally.arpReplies += 1;
  }

  /** A solicitation for an address that is not answered here is left alone, even a malformed one. */
  #answerSolicitation(packet: Packet): void {
    const { memory, ip, transport } = packet;
    const length = packet.end - transport;
    if (length < NdpOffset.options) return;
    const target = this.#target;
    for (let i = 0; i < 4; i += 1) target[i] = readI32(memory, transport + NdpOffset.target + i * 4);
    const number = this.#services.findAddress(true, target, 0);
    if (number < 0) return;
    const address = this.#services.addresses[number]!;
    if (!this.#mayAnswer(address, packet.port)) return;
    // A solicitation from the very address is a peer's, or forged: as with ARP, it gets no answer.
    if (packet.key.every((word, i) => i >= KeyWord.virtualAddress || word === target[i])) return;
    const fault = checkNeighbourSolicitation(memory, ip, transport, length);
    if (fault !== undefined || packet.fragment !== Fragment.whole) {
      this.#drop('neighbourDiscovery');
      return;
    }
    if (!this.#answers.neighbourAdvertisement(packet, target, isUnspecifiedIpv6(memory, ip + Ipv6Offset.source))) {
      this.#drop('transmitFailed');
      return;
    }
    this.#leases.use(address.leaseSlot);
    this.#tally.neighbourReplies += 1;
  }

  #mayAnswer(address: EngineAddress, port: PacketPort): boolean {
    return address.answer && address.interface === port.interface && this.#leases.isValid(address.leaseSlot);
  }

  #drop(reason: DropReason): void {
    this.#tally.drops[Drop[reason]]! += 1;
  }
}

// SPDX-License-Identifier: Apache-2.0
import { readI32, readU16 } from '../../lib/bytes.ts';
import { ArpOffset, ArpOperation, checkArp, readArpOperation } from '../../wire/arp.ts';
import { ethernetHeaderLength } from '../../wire/ethernet.ts';
import { checkIcmp, IcmpOffset, IcmpType, isIcmpError } from '../../wire/icmp.ts';
import { Ipv4Offset, readIpv4HeaderLength } from '../../wire/ipv4.ts';
import type { DropReason } from '../engine.ts';
import { type Answers, turnEchoAround } from './answers.ts';
import type { Leases } from './leases.ts';
import type { Frame, PacketPort } from './packet-port.ts';
import type { Services } from './services.ts';
import { Drop, type Tally } from './tally.ts';

/** What a host does for an address of its own, done for the addresses that are on no interface: ARP and echo. */
export class AddressHost {
  readonly #services: Services;
  readonly #leases: Leases;
  readonly #tally: Tally;
  readonly #answers: Answers;

  constructor(services: Services, leases: Leases, tally: Tally, answers: Answers) {
    this.#services = services;
    this.#leases = leases;
    this.#tally = tally;
    this.#answers = answers;
  }

  /** An intact, whole IPv4 packet with an ICMP message for an address whose lease is valid. */
  handleIcmp(frame: Frame, port: PacketPort, leaseSlot: number): void {
    const { memory, offset } = frame;
    const ip = offset + ethernetHeaderLength;
    const icmp = ip + readIpv4HeaderLength(memory, ip);
    const end = ip + readU16(memory, ip + Ipv4Offset.totalLength);
    const fault = checkIcmp(memory, icmp, end - icmp);
    if (fault !== undefined) {
      this.#drop(fault);
      return;
    }
    const type = memory[icmp + IcmpOffset.type]!;
    if (isIcmpError(type)) {
      this.#drop('icmpError');
      return;
    }
    if (type !== IcmpType.echoRequest) return;
    turnEchoAround(port, memory, offset, ip);
    frame.length = end - offset;
    if (!port.transmitInPlace(frame)) {
      this.#drop('transmitFailed');
      return;
    }
    this.#leases.use(leaseSlot);
    this.#tally.echoReplies += 1;
  }

  /** RFC 826. Answers requests alone: what others announce about the address is the election's business. */
  handleArp(frame: Frame, port: PacketPort): void {
    const { memory } = frame;
    const arp = frame.offset + ethernetHeaderLength;
    if (checkArp(memory, arp, frame.length - ethernetHeaderLength) !== undefined) return;
    if (readArpOperation(memory, arp) !== ArpOperation.request) return;
    const target = readI32(memory, arp + ArpOffset.targetAddress);
    const number = this.#services.findAddressIpv4(target);
    if (number < 0 || readI32(memory, arp + ArpOffset.senderAddress) === target) return;
    const address = this.#services.addresses[number]!;
    if (!address.answer || address.interface !== port.interface || !this.#leases.isValid(address.leaseSlot)) return;
    if (!this.#answers.arpReply(port, memory, arp)) {
      this.#drop('transmitFailed');
      return;
    }
    this.#leases.use(address.leaseSlot);
    this.#tally.arpReplies += 1;
  }

  #drop(reason: DropReason): void {
    this.#tally.drops[Drop[reason]]! += 1;
  }
}

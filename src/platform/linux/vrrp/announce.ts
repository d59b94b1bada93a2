// SPDX-License-Identifier: Apache-2.0
import type { Announcer } from '../../../director/ports.ts';
import { familyOf, type IpAddress } from '../../../lib/ip-address.ts';
import { ArpOperation, arpLength, emitArp } from '../../../wire/arp.ts';
import { broadcastMacAddress, EtherType, emitEthernet, ethernetHeaderLength } from '../../../wire/ethernet.ts';
import { IpProtocol } from '../../../wire/ipv4.ts';
import { emitIpv6, ipv6HeaderLength } from '../../../wire/ipv6.ts';
import { emitNeighbourAdvertisement, ndpHopLimit, neighbourAdvertisementLength } from '../../../wire/ndp.ts';
import { close, errno, MSG_DONTWAIT, pinnedMemory, sendto } from '../libc.ts';
import { type InterfaceFacts, interfaceFacts } from '../netlink/interface-facts.ts';
import { openPacketSocket, packetSocketAddress } from '../packet/packet-socket.ts';
import { SystemError } from '../system-error.ts';

const arpFrameLength = ethernetHeaderLength + arpLength();
const advertisementFrameLength = ethernetHeaderLength + ipv6HeaderLength + neighbourAdvertisementLength();
const addressLength = 20;

/** RFC 2464 section 7: the group of all nodes on an Ethernet. */
const allNodesMac = Uint8Array.of(0x33, 0x33, 0, 0, 0, 1);
const allNodes = 'ff02::1' as IpAddress;

/**
 * Gratuitous ARP as keepalived sends it: a broadcast request in which the address asks for itself (RFC 5944 section
 * 4.6); every host's cache takes it. For IPv6 an unsolicited neighbour advertisement that overrides what neighbours
 * have cached (RFC 9568 section 6.4.2, RFC 4861 section 7.2.6). Never throws in use: an announcement that fails is
 * reported, and the next one is due anyway.
 */
export class SegmentAnnouncer implements Announcer {
  readonly #fd = openPacketSocket();
  readonly #frame = pinnedMemory(Math.max(arpFrameLength, advertisementFrameLength));
  readonly #target = pinnedMemory(addressLength);
  readonly #onError: (error: Error) => void;
  readonly #factsOf: (interfaceName: string) => InterfaceFacts;
  failed = 0;

  /** `factsOf` is asked for each announcement. Throws a sentence when the privilege is missing. */
  constructor(
    onError: (error: Error) => void = () => undefined,
    factsOf: (interfaceName: string) => InterfaceFacts = interfaceFacts,
  ) {
    this.#onError = onError;
    this.#factsOf = factsOf;
  }

  announce(address: IpAddress, interfaceName: string): void {
    try {
      const facts = this.#factsOf(interfaceName);
      if (familyOf(address) === 'ipv6') {
        const length = emitUnsolicitedAdvertisement(address, facts, this.#frame.bytes);
        this.#send(address, facts, EtherType.ipv6, length);
      } else this.#send(address, facts, EtherType.arp, emitGratuitousArp(address, facts, this.#frame.bytes));
    } catch (error) {
      this.failed += 1;
      this.#onError(error as Error);
    }
  }

  close(): void {
    close(this.#fd);
  }

  #send(address: IpAddress, { name, index }: InterfaceFacts, etherType: number, length: number): void {
    this.#target.bytes.set(packetSocketAddress(index, etherType));
    const sent = sendto(this.#fd, this.#frame.address, length, MSG_DONTWAIT, this.#target.address, addressLength);
    if (sent === -1) throw new SystemError('sendto', errno(), `announce ${address} on ${name}`);
  }
}

/** Returns the frame's length. */
function emitGratuitousArp(address: IpAddress, { macAddress }: InterfaceFacts, frame: Uint8Array): number {
  const header = { destination: broadcastMacAddress, source: macAddress, etherType: EtherType.arp };
  const message = {
    operation: ArpOperation.request,
    senderMac: macAddress,
    senderAddress: address,
    targetMac: broadcastMacAddress,
    targetAddress: address,
  };
  return emitArp(message, frame, emitEthernet(header, frame, 0));
}

/** Returns the frame's length. */
function emitUnsolicitedAdvertisement(
  address: IpAddress,
  { macAddress, forwardingIpv6 }: InterfaceFacts,
  frame: Uint8Array,
): number {
  const ethernet = { destination: allNodesMac, source: macAddress, etherType: EtherType.ipv6 };
  const ip = emitEthernet(ethernet, frame, 0);
  const header = {
    trafficClass: 0,
    flowLabel: 0,
    payloadLength: neighbourAdvertisementLength(),
    nextHeader: IpProtocol.icmpv6,
    hopLimit: ndpHopLimit,
    source: address,
    destination: allNodes,
  };
  const message = {
    target: address,
    targetMac: macAddress,
    // A host removes a router from its list when the flag is missing (RFC 4861 section 7.2.5).
    router: forwardingIpv6,
    solicited: false,
    override: true,
  };
  return emitNeighbourAdvertisement(message, frame, ip, emitIpv6(header, frame, ip));
}

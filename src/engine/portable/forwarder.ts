// SPDX-License-Identifier: Apache-2.0
import { TcpDirection } from '../../connection/tcp-transitions.ts';
import { EtherType, ethernetHeaderLength, isGroupAddressed, readEtherType } from '../../wire/ethernet.ts';
import { checkIpv4, IpProtocol, ipv4HeaderLengthMin, isMartianSource, readIpv4Destination } from '../../wire/ipv4.ts';
import { checkIpv6, Ipv6Offset, ipv6HeaderLength, isLinkLocalIpv6, isMartianSourceIpv6 } from '../../wire/ipv6.ts';
import { isSolicitedNode } from '../../wire/ndp.ts';
import { TcpFlag, TcpOffset } from '../../wire/tcp.ts';
import type { DropReason } from '../engine.ts';
import { AddressHost } from './address-host.ts';
import { Admission } from './admission.ts';
import { Answers } from './answers.ts';
import type { ClientHops } from './client-hops.ts';
import { ClientPackets } from './client-packets.ts';
import type { Connections } from './connections.ts';
import type { Destinations } from './destinations.ts';
import { Egress, type EgressQueues } from './egress.ts';
import { absent, EntryWord, KeyWord } from './entry-layout.ts';
import { FragmentTable, unknownDatagram } from './fragment-table.ts';
import { checkIcmpOf, IcmpErrors, isError, isIcmp } from './icmp-errors.ts';
import type { Leases } from './leases.ts';
import { Fragment, Packet } from './packet.ts';
import type { Frame, PacketPort } from './packet-port.ts';
import { prepareIn, prepareOut } from './prepare.ts';
import type { Services } from './services.ts';
import { Drop, type Tally } from './tally.ts';

/** The parts that the packet path works on: see each class. */
export interface ForwarderParts {
  readonly services: Services;
  readonly destinations: Destinations;
  readonly connections: Connections;
  readonly leases: Leases;
  readonly clientHops: ClientHops;
  readonly queues: EgressQueues;
  readonly tally: Tally;
}

/**
 * The packet path: lease, connection table, virtual service, selector, entry; then rewriting and transmission. Nothing
 * is allocated for a packet of a known connection. A frame that is not for the engine is left alone: the kernel has its
 * own copy.
 */
export class Forwarder {
  #nowMs = 0;
  readonly #services: Services;
  readonly #destinations: Destinations;
  readonly #connections: Connections;
  readonly #leases: Leases;
  readonly #clientHops: ClientHops;
  readonly #tally: Tally;
  readonly #egress: Egress;
  readonly #admission: Admission;
  readonly #clientPackets: ClientPackets;
  readonly #host: AddressHost;
  readonly #icmpErrors: IcmpErrors;
  readonly #fragments: FragmentTable;
  readonly #packet = new Packet();

  constructor({ services, destinations, connections, leases, clientHops, queues, tally }: ForwarderParts) {
    const answers = new Answers();
    const egress = new Egress(leases, queues, tally, answers);
    this.#services = services;
    this.#destinations = destinations;
    this.#connections = connections;
    this.#leases = leases;
    this.#clientHops = clientHops;
    this.#tally = tally;
    this.#egress = egress;
    this.#admission = new Admission({ destinations, connections, leases, egress, answers, tally });
    this.#clientPackets = new ClientPackets(connections, destinations);
    this.#host = new AddressHost(services, leases, tally, answers);
    this.#icmpErrors = new IcmpErrors({ connections, destinations, leases, clientHops, egress, tally });
    this.#fragments = new FragmentTable(connections.table.limits.hashSeed);
  }

  /** Begins a batch. */
  set nowMs(nowMs: number) {
    this.#nowMs = nowMs;
    this.#egress.nowMs = nowMs;
  }

  /** Takes one received frame: `PacketPort.receive`'s callback. */
  readonly handle = (frame: Frame, port: PacketPort): void => {
    if (frame.length < ethernetHeaderLength) {
      this.#drop('truncated');
      return;
    }
    const etherType = readEtherType(frame.memory, frame.offset);
    if (etherType === EtherType.ipv4) this.#handleIpv4(frame, port);
    else if (etherType === EtherType.ipv6) this.#handleIpv6(frame, port);
    else if (etherType === EtherType.arp) this.#host.handleArp(frame, port);
  };

  #handleIpv4(frame: Frame, port: PacketPort): void {
    const { memory, offset } = frame;
    const ip = offset + ethernetHeaderLength;
    const length = frame.length - ethernetHeaderLength;
    // RFC 1122 section 3.3.6: a unicast packet in a group-addressed frame is to be ignored.
    if (isGroupAddressed(memory, offset)) return;
    if (length < ipv4HeaderLengthMin) {
      this.#drop('truncated');
      return;
    }
    const packet = this.#packet;
    const number = this.#services.findAddressIpv4(readIpv4Destination(memory, ip));
    if (number < 0) {
      packet.readIpv4(frame, port);
      this.#handleForeign(packet, ip + length);
      return;
    }
    const fault = checkIpv4(memory, ip, length);
    if (fault !== undefined) {
      this.#drop(fault);
      return;
    }
    packet.readIpv4(frame, port);
    const source = packet.key[KeyWord.clientAddress]!;
    if (isMartianSource(source) || this.#services.findAddressIpv4(source) >= 0) {
      this.#drop('martianSource');
      return;
    }
    this.#handleOwn(packet, number);
  }

  #handleIpv6(frame: Frame, port: PacketPort): void {
    const { memory, offset } = frame;
    const ip = offset + ethernetHeaderLength;
    const length = frame.length - ethernetHeaderLength;
    if (length < ipv6HeaderLength) {
      this.#drop('truncated');
      return;
    }
    const packet = this.#packet;
    const chainFault = packet.readIpv6(frame, port);
    const { key } = packet;
    // Bridges and access points may deliver a group's frame to one station by unicast: the packet's own address decides.
    if (isGroupAddressed(memory, offset) || isSolicitedNode(memory, ip + Ipv6Offset.destination)) {
      if (chainFault === undefined && checkIpv6(memory, ip, length) === undefined) this.#host.handleGroupIpv6(packet);
      return;
    }
    const number = this.#services.findAddress(true, key, KeyWord.virtualAddress);
    if (number < 0) {
      if (chainFault === undefined) this.#handleForeign(packet, ip + length);
      return;
    }
    const fault = checkIpv6(memory, ip, length) ?? chainFault;
    if (fault !== undefined) {
      this.#drop(fault);
      return;
    }
    const isMartian = isMartianSourceIpv6(key[0]!, key[1]!, key[2]!, key[3]!);
    if (isMartian || this.#services.findAddress(true, key, KeyWord.clientAddress) >= 0) {
      this.#drop('martianSource');
      return;
    }
    this.#handleOwn(packet, number);
  }

  /** A packet to an address of the engine, whose IP header has been checked. */
  #handleOwn(packet: Packet, number: number): void {
    const { leaseSlot, answer } = this.#services.addresses[number]!;
    if (!this.#leases.isValid(leaseSlot)) {
      this.#drop('noLease');
      return;
    }
    if (packet.fragment !== Fragment.whole && !this.#checkFragment(packet)) return;
    const { protocol } = packet;
    if (protocol === IpProtocol.tcp || protocol === IpProtocol.udp) {
      // RFC 4291 section 2.5.6: a packet from a link-local address is not forwarded.
      if (packet.ipv6 && isLinkLocalIpv6(packet.key[0]!)) this.#drop('martianSource');
      else this.#handleIn(packet);
    } else if (isIcmp(packet)) {
      this.#handleIcmp(packet, leaseSlot, answer);
    }
  }

  #handleIcmp(packet: Packet, leaseSlot: number, answer: boolean): void {
    // A fragmented message would have to be reassembled.
    const fault = packet.fragment === Fragment.whole ? checkIcmpOf(packet) : 'fragmentUnknown';
    if (fault !== undefined) this.#drop(fault);
    else if (isError(packet)) this.#icmpErrors.followIn(packet, leaseSlot, this.#nowMs);
    else if (answer) this.#host.handleIcmp(packet, leaseSlot);
  }

  #handleIn(packet: Packet): void {
    const fault = packet.checkTransport();
    if (fault !== undefined) {
      this.#drop(fault);
      return;
    }
    const { key, protocol } = packet;
    const isTcp = protocol === IpProtocol.tcp;
    const flags = packet.memory[packet.transport + TcpOffset.flags]!;
    const begins = isTcp && (flags & (TcpFlag.syn | TcpFlag.ack | TcpFlag.rst)) === TcpFlag.syn;
    let entry = this.#connections.table.find(key);
    if (entry !== absent && this.#clientPackets.isDone(entry, begins, this.#nowMs)) {
      this.#connections.close(entry, this.#nowMs);
      entry = absent;
    }
    const isKnown = entry !== absent;
    if (!isKnown) {
      const port = key[KeyWord.ports]! & 0xffff;
      const service = this.#services.findService(key[KeyWord.head]!, key, KeyWord.virtualAddress, port);
      if (service === undefined) return;
      if (!isTcp && service.compiled.service.onePacket === true) {
        const destination = this.#admission.admitOnePacket(packet, service, this.#nowMs);
        if (destination >= 0) this.#forwardIn(packet, destination);
        return;
      }
      entry = isTcp
        ? this.#admission.admitTcp(packet, service, begins, this.#nowMs)
        : this.#admission.admitUdp(packet, service, this.#nowMs);
      if (entry === absent) return;
    }
    const destination = this.#connections.table.words[entry + EntryWord.destination]!;
    // An entry of a removed service only waits for the sweep.
    if (this.#destinations.services[destination] === undefined) return;
    const { publisher } = this.#connections;
    if (begins && isKnown && !publisher.hearSyn(entry, this.#nowMs)) {
      this.#drop('noPublisher');
      return;
    }
    if ((isTcp || isKnown) && !this.#clientPackets.follow(packet, entry, this.#nowMs)) {
      publisher.takeBegun();
      this.#drop('tableFull');
      return;
    }
    if (begins && !isKnown) publisher.publishBegun(entry, this.#nowMs);
    this.#forwardIn(packet, destination, begins ? publisher.takeBegun() : undefined);
  }

  /** A client's packet or fragment goes to its real server, when `batch` has left: see `Egress.transmit`. */
  #forwardIn(packet: Packet, destination: number, batch?: number): void {
    const destinations = this.#destinations;
    const hop = destinations.nextHops[destination];
    if (hop === undefined) return;
    const leaseSlot = destinations.leaseSlots[destination]!;
    destinations.countIn(destination, packet.length);
    const inFront = destinations.bytesInFront[destination]!;
    if (!this.#egress.mayLeave(packet, inFront, hop, leaseSlot, packet.key, KeyWord.virtualAddress)) return;
    if (packet.fragment === Fragment.first) this.#fragments.begin(packet, destination, false, this.#nowMs);
    if (prepareIn(packet, destinations, destination)) this.#egress.transmit(packet, hop, leaseSlot, batch);
    else this.#drop('transmitFailed');
  }

  /**
   * A packet to an address that is not the engine's: perhaps a real server's reply to a masqueraded connection, or an
   * error about one. Nothing of it has been checked; the frame ends at `frameEnd`.
   */
  #handleForeign(packet: Packet, frameEnd: number): void {
    if (packet.fragment === Fragment.later) {
      this.#handleForeignFragment(packet, frameEnd);
      return;
    }
    const { protocol } = packet;
    if (protocol === IpProtocol.tcp || protocol === IpProtocol.udp) this.#handleReply(packet, frameEnd);
    else if (isIcmp(packet)) this.#handleForeignError(packet, frameEnd);
  }

  #handleReply(packet: Packet, frameEnd: number): void {
    if (packet.transport + 4 > frameEnd) return;
    const { key, memory, protocol } = packet;
    const { words } = this.#connections.table;
    const entry = this.#connections.table.findReply(key);
    if (entry === absent || this.#connections.hasExpired(entry, this.#nowMs)) {
      this.#handleUnknownReply(packet, frameEnd);
      return;
    }
    const destination = words[entry + EntryWord.destination]!;
    if (!this.#isIntactReply(packet, frameEnd, destination)) return;
    if (protocol === IpProtocol.udp) {
      this.#connections.followUdp(entry, this.#nowMs);
    } else {
      const flags = memory[packet.transport + TcpOffset.flags]!;
      // The client sees its connection established by this: not before somebody publishes it.
      if ((flags & TcpFlag.syn) !== 0 && !this.#connections.publisher.watch.keepsUp(this.#nowMs)) {
        this.#drop('noPublisher');
        return;
      }
      if (!this.#connections.follow(entry, TcpDirection.output, packet, true, this.#nowMs)) {
        this.#drop('tableFull');
        return;
      }
    }
    const port = words[entry + EntryWord.ports]! & 0xffff;
    this.#forwardOut(packet, destination, words, entry + EntryWord.virtualAddress, port);
  }

  /**
   * Replies of an `ops` service have no entry, but their source can belong to that service only. (IPVS forwards them
   * with the real server's address, which no client takes for an answer.)
   */
  #handleUnknownReply(packet: Packet, frameEnd: number): void {
    const { key } = packet;
    const port = key[KeyWord.ports]! >>> 16;
    const service = this.#services.findReplyService(key[KeyWord.head]!, key, KeyWord.clientAddress, port);
    if (service === undefined || this.#clientHops.isKernelsOwn(packet.ipv6, key, KeyWord.virtualAddress)) return;
    if (service.compiled.service.onePacket !== true) {
      this.#drop('unknownConnection');
      return;
    }
    const destination =
      service.destinations.find((candidate) => this.#destinations.repliesFrom(candidate, key, port)) ?? -1;
    if (destination < 0 || !this.#isIntactReply(packet, frameEnd, destination)) return;
    this.#forwardOut(packet, destination, service.addressWords, 0, service.compiled.service.port);
  }

  /** Whether a real server's packet is intact and may be forwarded. */
  #isIntactReply(packet: Packet, frameEnd: number, destination: number): boolean {
    const { memory, ip } = packet;
    const fault =
      (packet.ipv6 ? checkIpv6(memory, ip, frameEnd - ip) : checkIpv4(memory, ip, frameEnd - ip)) ??
      (packet.fragment === Fragment.later ? undefined : packet.checkTransport());
    if (fault !== undefined) {
      this.#drop(fault);
      return false;
    }
    if (packet.fragment === Fragment.first && !this.#checkFragment(packet)) return false;
    if (this.#destinations.services[destination] === undefined) return false;
    if (this.#leases.isValid(this.#destinations.leaseSlots[destination]!)) return true;
    this.#drop('noLease');
    return false;
  }

  /** A real server's packet or fragment goes to its client. `virtual` holds the virtual address from `at` on. */
  #forwardOut(packet: Packet, destination: number, virtual: Int32Array, at: number, port: number): void {
    const leaseSlot = this.#destinations.leaseSlots[destination]!;
    const hop = this.#clientHops.find(packet.ipv6, packet.key, KeyWord.virtualAddress);
    this.#destinations.countOut(destination, packet.length);
    if (!this.#egress.mayLeave(packet, 0, hop, leaseSlot, virtual, at)) return;
    if (packet.fragment === Fragment.first) this.#fragments.begin(packet, destination, true, this.#nowMs);
    prepareOut(packet, virtual, at, port);
    this.#egress.transmit(packet, hop, leaseSlot);
  }

  #handleForeignError(packet: Packet, frameEnd: number): void {
    const { memory, ip, transport } = packet;
    if (transport >= frameEnd || packet.fragment !== Fragment.whole || !isError(packet)) return;
    const isIntact =
      (packet.ipv6 ? checkIpv6(memory, ip, frameEnd - ip) : checkIpv4(memory, ip, frameEnd - ip)) === undefined;
    if (!isIntact || this.#icmpErrors.followOut(packet, this.#nowMs)) return;
    // The error quotes a packet that only this director can have sent, or that is forged.
    const { quotedKey } = this.#icmpErrors;
    const port = quotedKey[KeyWord.ports]! >>> 16;
    const service = this.#services.findReplyService(quotedKey[KeyWord.head]!, quotedKey, 0, port);
    if (service === undefined) return;
    if (!this.#clientHops.isKernelsOwn(packet.ipv6, packet.key, KeyWord.virtualAddress)) this.#drop('icmpError');
  }

  /** Whether a fragment to a virtual address is a valid first one. Any other has been forwarded or dropped on return. */
  #checkFragment(packet: Packet): boolean {
    const fault = FragmentTable.check(packet);
    if (fault !== undefined) {
      this.#drop(fault);
      return false;
    }
    const datagram = this.#fragments.find(packet, this.#nowMs);
    if (packet.fragment === Fragment.later) {
      if (datagram === unknownDatagram || this.#fragments.isOutbound(datagram)) this.#drop('fragmentUnknown');
      else this.#followFragment(packet, datagram);
      return false;
    }
    if (datagram === unknownDatagram) return true;
    // A second first fragment: its ports may not be those of the other.
    this.#drop(this.#fragments.accept(datagram, packet) ?? 'fragmentOverlap');
    return false;
  }

  /** A later fragment to an address that is not the engine's is left alone, unless its first one was a reply. */
  #handleForeignFragment(packet: Packet, frameEnd: number): void {
    const datagram = this.#fragments.find(packet, this.#nowMs);
    if (datagram === unknownDatagram || !this.#fragments.isOutbound(datagram)) return;
    if (!this.#isIntactReply(packet, frameEnd, this.#fragments.targetOf(datagram))) return;
    const fault = FragmentTable.check(packet);
    if (fault === undefined) this.#followFragment(packet, datagram);
    else this.#drop(fault);
  }

  #followFragment(packet: Packet, datagram: number): void {
    const fault = this.#fragments.accept(datagram, packet);
    if (fault !== undefined) {
      this.#drop(fault);
      return;
    }
    const destination = this.#fragments.targetOf(datagram);
    const outbound = this.#fragments.isOutbound(datagram);
    this.#fragments.finish(datagram);
    const service = this.#destinations.services[destination];
    if (service === undefined) return;
    if (outbound) this.#forwardOut(packet, destination, service.addressWords, 0, 0);
    else this.#forwardIn(packet, destination);
  }

  #drop(reason: DropReason): void {
    this.#tally.drops[Drop[reason]]! += 1;
  }
}

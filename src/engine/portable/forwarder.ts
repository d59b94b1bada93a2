// SPDX-License-Identifier: Apache-2.0
import { isHalfOpenTcpState } from '../../connection/lifecycle.ts';
import { TcpDirection } from '../../connection/tcp-transitions.ts';
import { readI32, readU16 } from '../../lib/bytes.ts';
import { TcpState } from '../../model/tcp-state.ts';
import {
  EtherType,
  ethernetHeaderLength,
  isGroupAddressed,
  readEtherType,
  writeMacAddresses,
} from '../../wire/ethernet.ts';
import { IcmpCode, IcmpType } from '../../wire/icmp.ts';
import {
  checkIpv4,
  IpProtocol,
  Ipv4Flag,
  Ipv4Offset,
  ipv4HeaderLengthMin,
  isFragment,
  isMartianSource,
  readIpv4Destination,
  readIpv4HeaderLength,
  readIpv4Source,
} from '../../wire/ipv4.ts';
import { checkTcp, readTcpHeaderLength, TcpFlag, TcpOffset } from '../../wire/tcp.ts';
import { writeTransportChecksum } from '../../wire/transport-checksum.ts';
import type { DropReason } from '../engine.ts';
import { AddressHost } from './address-host.ts';
import { Answers } from './answers.ts';
import type { ClientHops } from './client-hops.ts';
import type { Connections } from './connections.ts';
import type { Destinations } from './destinations.ts';
import { absent, EntryWord, KeyWord, keyWords } from './entry-layout.ts';
import type { Leases } from './leases.ts';
import type { NextHop } from './next-hop.ts';
import type { Frame, PacketPort } from './packet-port.ts';
import type { PendingFrames } from './pending-frames.ts';
import { decrementTtl, rewriteEndpoint } from './rewrite.ts';
import type { RunningService } from './running-service.ts';
import { selectDestination } from './selection.ts';
import type { Services } from './services.ts';
import { Drop, type Tally } from './tally.ts';

/** What the packet path works on: see each class. */
export interface ForwarderParts {
  readonly services: Services;
  readonly destinations: Destinations;
  readonly connections: Connections;
  readonly leases: Leases;
  readonly clientHops: ClientHops;
  readonly pending: PendingFrames;
  readonly tally: Tally;
}

/**
 * The packet path: lease, connection table, virtual service, selector, entry; then rewriting and transmission. Nothing
 * is allocated for a packet of a known connection. A frame that is not for the engine is left alone: the kernel has its
 * own copy.
 */
export class Forwarder {
  /** Of the batch in progress. */
  nowMs = 0;
  readonly #services: Services;
  readonly #destinations: Destinations;
  readonly #connections: Connections;
  readonly #leases: Leases;
  readonly #clientHops: ClientHops;
  readonly #pending: PendingFrames;
  readonly #tally: Tally;
  readonly #answers = new Answers();
  readonly #host: AddressHost;
  readonly #key = new Int32Array(keyWords);

  constructor(parts: ForwarderParts) {
    this.#services = parts.services;
    this.#destinations = parts.destinations;
    this.#connections = parts.connections;
    this.#leases = parts.leases;
    this.#clientHops = parts.clientHops;
    this.#pending = parts.pending;
    this.#tally = parts.tally;
    this.#host = new AddressHost(parts.services, parts.leases, parts.tally, this.#answers);
  }

  /** Takes one received frame: `PacketPort.receive`'s callback. */
  readonly handle = (frame: Frame, port: PacketPort): void => {
    if (frame.length < ethernetHeaderLength) {
      this.#drop('truncated');
      return;
    }
    const etherType = readEtherType(frame.memory, frame.offset);
    if (etherType === EtherType.ipv4) this.#handleIpv4(frame, port);
    else if (etherType === EtherType.arp) this.#host.handleArp(frame, port);
  };

  #handleIpv4(frame: Frame, port: PacketPort): void {
    const { memory, offset } = frame;
    const ip = offset + ethernetHeaderLength;
    const length = frame.length - ethernetHeaderLength;
    // RFC 1122 section 3.3.6: a unicast packet in a group-addressed frame is not for anybody.
    if (isGroupAddressed(memory, offset)) return;
    if (length < ipv4HeaderLengthMin) {
      this.#drop('truncated');
      return;
    }
    const number = this.#services.findAddressIpv4(readIpv4Destination(memory, ip));
    if (number < 0) {
      this.#handleReply(frame, port);
      return;
    }
    const fault = checkIpv4(memory, ip, length);
    if (fault !== undefined) {
      this.#drop(fault);
      return;
    }
    const source = readIpv4Source(memory, ip);
    if (isMartianSource(source) || this.#services.findAddressIpv4(source) >= 0) {
      this.#drop('martianSource');
      return;
    }
    const { leaseSlot, answer } = this.#services.addresses[number]!;
    if (!this.#leases.isValid(leaseSlot)) {
      this.#drop('noLease');
      return;
    }
    if (isFragment(memory, ip)) {
      this.#drop('fragment');
      return;
    }
    const protocol = memory[ip + Ipv4Offset.protocol];
    if (protocol === IpProtocol.tcp) this.#handleTcp(frame, port);
    else if (protocol === IpProtocol.icmp && answer) this.#host.handleIcmp(frame, port, leaseSlot);
  }

  #handleTcp(frame: Frame, port: PacketPort): void {
    const { memory } = frame;
    const ip = frame.offset + ethernetHeaderLength;
    const tcp = ip + readIpv4HeaderLength(memory, ip);
    const end = ip + readU16(memory, ip + Ipv4Offset.totalLength);
    const fault = checkTcp(memory, tcp, end - tcp);
    if (fault !== undefined) {
      this.#drop(fault);
      return;
    }
    const client = readIpv4Source(memory, ip);
    const virtual = readIpv4Destination(memory, ip);
    const flags = memory[tcp + TcpOffset.flags]!;
    const begins = (flags & (TcpFlag.syn | TcpFlag.ack | TcpFlag.rst)) === TcpFlag.syn;
    // Source and destination port stand side by side: both in one load.
    let entry = this.#connections.table.findIpv4(IpProtocol.tcp, client, virtual, readI32(memory, tcp));
    if (entry !== absent && (this.#connections.hasExpired(entry, this.nowMs) || (begins && this.#isOver(entry)))) {
      this.#connections.close(entry, this.nowMs);
      entry = absent;
    }
    if (entry === absent) {
      const service = this.#services.findServiceIpv4(
        IpProtocol.tcp,
        virtual,
        readU16(memory, tcp + TcpOffset.destinationPort),
      );
      if (service === undefined) return;
      this.#fillKey(client, virtual, readI32(memory, tcp));
      // NONE: the segment itself, once followed, brings it to SYN_RECV.
      entry = begins
        ? this.#schedule(service, TcpState.none, frame, port, ip, tcp, end)
        : this.#resume(service, frame, port, ip, tcp, end);
      if (entry === absent) return;
    }
    this.#forwardIn(entry, frame, port, ip, tcp, end, flags);
  }

  /** IPVS's conn_reuse: a client that opens a connection anew is scheduled anew when the old one is over. */
  #isOver(entry: number): boolean {
    const state = this.#connections.stateOf(entry);
    return state === TcpState.timeWait || state === TcpState.close;
  }

  /** A segment of a connection that nobody knows. Returns an entry only where the selector can name its real server. */
  #resume(service: RunningService, frame: Frame, port: PacketPort, ip: number, tcp: number, end: number): number {
    if (this.#leases.inGrace(service.leaseSlot)) {
      this.#drop('graceUnknownConnection');
      return absent;
    }
    const isReset = (frame.memory[tcp + TcpOffset.flags]! & TcpFlag.rst) !== 0;
    if (!isReset && service.compiled.selector.shape === 'hash') {
      // What sysctl sloppy_tcp allows in IPVS, but in ESTABLISHED at once: the hash gives the server it had before.
      return this.#schedule(service, TcpState.established, frame, port, ip, tcp, end);
    }
    this.#drop('unknownConnection');
    if (!isReset) this.#reset(service, frame, port, ip, tcp, end);
    return absent;
  }

  /** Gives the connection named by `#key` a real server and an entry in `state`, or refuses it and returns `absent`. */
  #schedule(
    service: RunningService,
    state: TcpState,
    frame: Frame,
    port: PacketPort,
    ip: number,
    tcp: number,
    end: number,
  ): number {
    if (this.#connections.table.establishedFull) {
      this.#drop('tableFull');
      return absent;
    }
    const key = this.#key;
    const destination = selectDestination(service, this.#destinations, key[0]!, key[KeyWord.ports]! >>> 16);
    if (destination < 0 || !this.#makeReplyUnique(destination)) {
      this.#drop('noRealServer');
      this.#reset(service, frame, port, ip, tcp, end);
      return absent;
    }
    return this.#connections.open(key, destination, state, isHalfOpenTcpState(state), this.nowMs);
  }

  /**
   * Two virtual services may lead one client port to one real server; its replies could not be told apart. The elder
   * connection gives way when it is over or not yet established.
   */
  #makeReplyUnique(destination: number): boolean {
    const rival = this.#connections.table.findReplyOf(this.#key, destination);
    if (rival === absent) return true;
    const state = this.#connections.stateOf(rival);
    if (state === TcpState.established && !this.#connections.hasExpired(rival, this.nowMs)) return false;
    this.#connections.close(rival, this.nowMs);
    return true;
  }

  #forwardIn(entry: number, frame: Frame, port: PacketPort, ip: number, tcp: number, end: number, flags: number): void {
    const { memory } = frame;
    const destination = this.#connections.table.words[entry + EntryWord.destination]!;
    const hop = this.#destinations.nextHops[destination];
    // An entry of a removed service only waits for the sweep.
    if (this.#destinations.services[destination] === undefined || hop === undefined) return;
    const masquerade = this.#destinations.isMasquerade(destination);
    const direction = masquerade ? TcpDirection.input : TcpDirection.inputOnly;
    if (!this.#connections.follow(entry, direction, flags, this.nowMs)) {
      this.#drop('tableFull');
      return;
    }
    this.#destinations.countIn(destination, end - ip);
    const leaseSlot = this.#destinations.leaseSlots[destination]!;
    if (!this.#mayLeave(frame, port, ip, tcp, end, hop, leaseSlot, readIpv4Destination(memory, ip))) return;
    decrementTtl(memory, ip);
    if (masquerade) {
      const { addresses, ports } = this.#destinations;
      rewriteEndpoint(
        memory,
        ip,
        Ipv4Offset.destination,
        addresses[destination << 2]!,
        tcp,
        TcpOffset.destinationPort,
        ports[destination]!,
        frame.checksumPartial,
      );
    }
    this.#transmit(frame, ip, tcp, end, hop, leaseSlot);
  }

  /** A packet to an address that is not the engine's: perhaps a real server's reply to a masqueraded connection. */
  #handleReply(frame: Frame, port: PacketPort): void {
    const { memory } = frame;
    const ip = frame.offset + ethernetHeaderLength;
    const length = frame.length - ethernetHeaderLength;
    if (memory[ip + Ipv4Offset.protocol] !== IpProtocol.tcp) return;
    const tcp = ip + readIpv4HeaderLength(memory, ip);
    if (tcp + 4 > ip + length || isFragment(memory, ip)) return;
    const real = readIpv4Source(memory, ip);
    const client = readIpv4Destination(memory, ip);
    const ports = readI32(memory, tcp);
    const { table } = this.#connections;
    const entry = table.findReplyIpv4(IpProtocol.tcp, real, client, ports);
    if (entry === absent || this.#connections.hasExpired(entry, this.nowMs)) {
      if (this.#services.isReplyEndpointIpv4(IpProtocol.tcp, real, ports >>> 16)) this.#drop('unknownConnection');
      return;
    }
    const fault = checkIpv4(memory, ip, length) ?? this.#checkReplyTcp(memory, ip, tcp);
    if (fault !== undefined) {
      this.#drop(fault);
      return;
    }
    const destination = table.words[entry + EntryWord.destination]!;
    if (this.#destinations.services[destination] === undefined) return;
    const leaseSlot = this.#destinations.leaseSlots[destination]!;
    if (!this.#leases.isValid(leaseSlot)) {
      this.#drop('noLease');
      return;
    }
    if (!this.#connections.follow(entry, TcpDirection.output, memory[tcp + TcpOffset.flags]!, this.nowMs)) {
      this.#drop('tableFull');
      return;
    }
    this.#forwardOut(entry, destination, leaseSlot, frame, port, ip, tcp);
  }

  #forwardOut(
    entry: number,
    destination: number,
    leaseSlot: number,
    frame: Frame,
    port: PacketPort,
    ip: number,
    tcp: number,
  ): void {
    const { memory } = frame;
    const { words } = this.#connections.table;
    const end = ip + readU16(memory, ip + Ipv4Offset.totalLength);
    const virtual = words[entry + EntryWord.virtualAddress]!;
    const hop = this.#clientHops.findIpv4(readIpv4Destination(memory, ip));
    this.#destinations.countOut(destination, end - ip);
    if (!this.#mayLeave(frame, port, ip, tcp, end, hop, leaseSlot, virtual)) return;
    decrementTtl(memory, ip);
    rewriteEndpoint(
      memory,
      ip,
      Ipv4Offset.source,
      virtual,
      tcp,
      TcpOffset.sourcePort,
      words[entry + EntryWord.ports]! & 0xffff,
      frame.checksumPartial,
    );
    this.#transmit(frame, ip, tcp, end, hop, leaseSlot);
  }

  #checkReplyTcp(memory: Uint8Array, ip: number, tcp: number): DropReason | undefined {
    return checkTcp(memory, tcp, ip + readU16(memory, ip + Ipv4Offset.totalLength) - tcp);
  }

  /** Whether route, TTL and size let the packet go on; otherwise it is counted, and its sender told. */
  #mayLeave(
    frame: Frame,
    port: PacketPort,
    ip: number,
    tcp: number,
    end: number,
    hop: NextHop,
    leaseSlot: number,
    virtual: number,
  ): boolean {
    const { memory, offset, segmentSize } = frame;
    const egress = hop.port;
    if (hop.state === 'unreachable' || egress === undefined) {
      this.#drop('noRoute');
      return false;
    }
    const tooOld = memory[ip + Ipv4Offset.ttl]! <= 1;
    const largest = segmentSize === 0 ? end - ip : tcp - ip + readTcpHeaderLength(memory, tcp) + segmentSize;
    if (!tooOld && largest <= egress.mtu) return true;
    this.#drop(tooOld ? 'ttlExceeded' : 'tooBig');
    const dontFragment = (readU16(memory, ip + Ipv4Offset.fragment) & Ipv4Flag.dontFragment) !== 0;
    if (!tooOld && !dontFragment) return false;
    const type = tooOld ? IcmpType.timeExceeded : IcmpType.destinationUnreachable;
    const code = tooOld ? IcmpCode.ttlExceeded : IcmpCode.fragmentationNeeded;
    const mtu = tooOld ? 0 : egress.mtu;
    if (this.#answers.icmpError(port, memory, offset, ip, end - ip, virtual, type, code, mtu)) {
      this.#leases.use(leaseSlot);
      if (!tooOld) this.#tally.unreachablesSent += 1;
    } else {
      this.#drop('transmitFailed');
    }
    return false;
  }

  #transmit(frame: Frame, ip: number, tcp: number, end: number, hop: NextHop, leaseSlot: number): void {
    const { memory, offset } = frame;
    const egress = hop.port!;
    // What stands behind the packet is the padding of a short Ethernet frame.
    frame.length = end - offset;
    if (hop.state === 'resolved') {
      writeMacAddresses(memory, offset, hop.macAddress, egress.macAddress);
      if (egress.transmitInPlace(frame)) this.#leases.use(leaseSlot);
      else this.#drop('transmitFailed');
      return;
    }
    if (frame.segmentSize !== 0) {
      this.#drop('neighbourQueueFull');
      return;
    }
    const at = this.#pending.hold(memory, offset, frame.length, hop, leaseSlot, this.nowMs);
    if (at < 0 || !frame.checksumPartial) return;
    // A copy is sent as an ordinary frame, which nobody completes.
    const copy = at - offset;
    writeTransportChecksum(this.#pending.memory, copy + ip, copy + tcp, end - tcp, TcpOffset.checksum);
  }

  #reset(service: RunningService, frame: Frame, port: PacketPort, ip: number, tcp: number, end: number): void {
    if (!this.#answers.reset(port, frame.memory, frame.offset, ip, tcp, end)) {
      this.#drop('transmitFailed');
      return;
    }
    this.#leases.use(service.leaseSlot);
    this.#tally.resetsSent += 1;
  }

  #fillKey(client: number, virtual: number, ports: number): void {
    this.#key[KeyWord.clientAddress] = client;
    this.#key[KeyWord.virtualAddress] = virtual;
    this.#key[KeyWord.ports] = ports;
    this.#key[KeyWord.head] = IpProtocol.tcp;
  }

  #drop(reason: DropReason): void {
    this.#tally.drops[Drop[reason]]! += 1;
  }
}

// SPDX-License-Identifier: Apache-2.0
import { readI32, readU16 } from '../../lib/bytes.ts';
import { ethernetHeaderLength } from '../../wire/ethernet.ts';
import { IpProtocol, Ipv4Flag, Ipv4Offset, ipv4HeaderLengthMin, readIpv4HeaderLength } from '../../wire/ipv4.ts';
import { Ipv6Offset, ipv6HeaderLength } from '../../wire/ipv6.ts';
import { emptyIpv6Transport, type Ipv6ChainFault, locateIpv6Transport } from '../../wire/ipv6-extensions.ts';
import { checkTcp, readTcpHeaderLength } from '../../wire/tcp.ts';
import { checkUdp, udpHeaderLength } from '../../wire/udp.ts';
import { EntryFlag, KeyWord, keyWords } from './entry-layout.ts';
import type { Frame, PacketPort } from './packet-port.ts';

/** Whether a packet is whole, the piece of a datagram that holds its transport header, or another piece. */
export const Fragment = { whole: 0, first: 1, later: 2 } as const;

/**
 * The fields of one received packet of either family. One object is reused for all packets, so that the packet path
 * neither allocates nor hands a dozen offsets about. All offsets are into `memory`.
 *
 * `key` is laid out as a flow key (`KeyWord`): the source stands where a client's address does, the destination where
 * the virtual address does. It belongs to the packet as it arrived; rewriting leaves it alone.
 */
export class Packet {
  frame!: Frame;
  /** The port that it came in by. */
  port!: PacketPort;
  memory!: Uint8Array;
  ethernet = 0;
  ip = 0;
  transport = 0;
  /** Behind the last byte. */
  end = 0;
  ipv6 = false;
  protocol = 0;
  checksumPartial = false;
  fragment: number = Fragment.whole;
  /** For a fragment: where it begins in the frame and in the datagram, in bytes, and the datagram's identification. */
  fragmentStart = 0;
  fragmentOffset = 0;
  moreFragments = false;
  identification = 0;
  key: Int32Array;
  // Each family has a key of its own, because the words that IPv4 does not use must be zero.
  readonly #ipv4Key = new Int32Array(keyWords);
  readonly #ipv6Key = new Int32Array(keyWords);
  readonly #located = emptyIpv6Transport();

  constructor() {
    this.key = this.#ipv4Key;
  }

  /** Reads the frame's headers unchecked; at least a minimal IPv4 header is there. */
  readIpv4(frame: Frame, port: PacketPort): void {
    this.#begin(frame, port);
    this.readIpv4At(this.ip);
  }

  /** Reads the frame's headers as far as its bytes go; at least an IPv6 header is there. */
  readIpv6(frame: Frame, port: PacketPort): Ipv6ChainFault | undefined {
    this.#begin(frame, port);
    const { memory, ip } = this;
    const end = ip + ipv6HeaderLength + readU16(memory, ip + Ipv6Offset.payloadLength);
    return this.readIpv6At(ip, Math.min(end, frame.offset + frame.length));
  }

  /** Reads the packet that an ICMP error quotes, as much of it as there is. False when its ports are not there. */
  readQuoted(outer: Packet, ip: number): boolean {
    this.frame = outer.frame;
    this.port = outer.port;
    this.memory = outer.memory;
    this.checksumPartial = false;
    this.ip = ip;
    const left = outer.end - ip;
    const version = outer.ipv6 ? 6 : 4;
    if (left < (outer.ipv6 ? ipv6HeaderLength : ipv4HeaderLengthMin)) return false;
    if (this.memory[ip]! >>> 4 !== version) return false;
    if (outer.ipv6) {
      if (this.readIpv6At(ip, outer.end) !== undefined) return false;
    } else {
      if (readIpv4HeaderLength(this.memory, ip) < ipv4HeaderLengthMin) return false;
      this.readIpv4At(ip);
      this.end = outer.end;
    }
    // RFC 792: at least 8 bytes of what follows the header are quoted.
    return this.fragment !== Fragment.later && this.transport + 8 <= this.end;
  }

  readIpv4At(ip: number): void {
    const { memory } = this;
    const key = this.#ipv4Key;
    this.key = key;
    this.ipv6 = false;
    this.transport = ip + readIpv4HeaderLength(memory, ip);
    this.end = ip + readU16(memory, ip + Ipv4Offset.totalLength);
    const protocol = memory[ip + Ipv4Offset.protocol]!;
    this.protocol = protocol;
    const pieces = readU16(memory, ip + Ipv4Offset.fragment) & (Ipv4Flag.moreFragments | Ipv4Flag.offsetMask);
    if (pieces === 0) {
      this.fragment = Fragment.whole;
    } else {
      this.fragmentStart = this.transport;
      this.fragmentOffset = (pieces & Ipv4Flag.offsetMask) << 3;
      this.moreFragments = (pieces & Ipv4Flag.moreFragments) !== 0;
      this.identification = readU16(memory, ip + Ipv4Offset.identification);
      this.fragment = this.fragmentOffset === 0 ? Fragment.first : Fragment.later;
    }
    key[KeyWord.clientAddress] = readI32(memory, ip + Ipv4Offset.source);
    key[KeyWord.virtualAddress] = readI32(memory, ip + Ipv4Offset.destination);
    // Source and destination port stand side by side: both in one load.
    key[KeyWord.ports] = readI32(memory, this.transport);
    key[KeyWord.head] = protocol;
  }

  readIpv6At(ip: number, end: number): Ipv6ChainFault | undefined {
    const { memory } = this;
    const key = this.#ipv6Key;
    this.key = key;
    this.ipv6 = true;
    this.end = end;
    this.fragment = Fragment.whole;
    for (let i = 0; i < 8; i += 1) key[i] = readI32(memory, ip + Ipv6Offset.source + (i << 2));
    const next = memory[ip + Ipv6Offset.nextHeader]!;
    if (next === IpProtocol.tcp || next === IpProtocol.udp || next === IpProtocol.icmpv6) {
      this.transport = ip + ipv6HeaderLength;
      this.protocol = next;
    } else {
      const located = this.#located;
      const fault = locateIpv6Transport(memory, ip, end, located);
      if (fault !== undefined) return fault;
      this.transport = located.offset;
      this.protocol = located.protocol;
      if (located.fragmented) {
        this.fragmentStart = located.fragmentStart;
        this.fragmentOffset = located.fragmentOffset;
        this.moreFragments = located.moreFragments;
        this.identification = located.identification;
        this.fragment = located.fragmentOffset === 0 ? Fragment.first : Fragment.later;
      }
    }
    key[KeyWord.ports] = readI32(memory, this.transport);
    key[KeyWord.head] = this.protocol | EntryFlag.ipv6;
    return undefined;
  }

  /** Whether the TCP or UDP header is there and its lengths are right. */
  checkTransport(): 'truncated' | 'malformedHeader' | 'fragmentTiny' | undefined {
    const length = this.end - this.transport;
    if (this.fragment === Fragment.whole) {
      if (this.protocol === IpProtocol.tcp) return checkTcp(this.memory, this.transport, length);
      return checkUdp(this.memory, this.transport, length);
    }
    // The length in a UDP header is that of the whole datagram. RFC 1858, RFC 7112: no header in two pieces.
    if (this.protocol === IpProtocol.tcp) {
      return checkTcp(this.memory, this.transport, length) === undefined ? undefined : 'fragmentTiny';
    }
    return length < udpHeaderLength ? 'fragmentTiny' : undefined;
  }

  /** Of IP header and payload, in bytes. */
  get length(): number {
    return this.end - this.ip;
  }

  /** Length of the transport header in bytes. */
  get transportHeaderLength(): number {
    return this.protocol === IpProtocol.tcp ? readTcpHeaderLength(this.memory, this.transport) : udpHeaderLength;
  }

  #begin(frame: Frame, port: PacketPort): void {
    this.frame = frame;
    this.port = port;
    this.memory = frame.memory;
    this.ethernet = frame.offset;
    this.ip = frame.offset + ethernetHeaderLength;
    this.checksumPartial = frame.checksumPartial;
  }
}

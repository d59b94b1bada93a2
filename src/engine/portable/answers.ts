// SPDX-License-Identifier: Apache-2.0
import { readU16, readU32, writeU16, writeU32 } from '../../lib/bytes.ts';
import { internetChecksum, updateChecksum } from '../../lib/checksum.ts';
import { ArpOffset, ArpOperation, arpLength } from '../../wire/arp.ts';
import { EthernetOffset, EtherType, ethernetHeaderLength, macAddressLength } from '../../wire/ethernet.ts';
import { IcmpCode, IcmpOffset, IcmpType, icmpHeaderLength } from '../../wire/icmp.ts';
import { Icmpv6Code, Icmpv6Type, writeIcmpv6Checksum } from '../../wire/icmpv6.ts';
import { IpProtocol, Ipv4Flag, Ipv4Offset, ipv4HeaderLengthMin, writeIpv4Checksum } from '../../wire/ipv4.ts';
import { Ipv6Offset, ipv6HeaderLength } from '../../wire/ipv6.ts';
import {
  NdpOffset,
  NeighbourFlag,
  ndpHopLimit,
  neighbourAdvertisementLength,
  writeTargetOption,
} from '../../wire/ndp.ts';
import { readTcpHeaderLength, TcpFlag, TcpOffset, tcpHeaderLengthMin } from '../../wire/tcp.ts';
import { writeTransportChecksum } from '../../wire/transport-checksum.ts';
import { KeyWord } from './entry-layout.ts';
import type { Packet } from './packet.ts';
import type { PacketPort } from './packet-port.ts';

const answerTtl = 64;
/** RFC 1812 section 4.3.2.3, RFC 4443 section 2.4: as much of the packet as fits into this many bytes of message. */
const icmpLengthMax = 576;
const icmpv6LengthMax = 1280;

/** The problem that an ICMP error reports, in either family. */
export const Problem = { timeExceeded: 0, tooBig: 1, portUnreachable: 2 } as const;
export type Problem = (typeof Problem)[keyof typeof Problem];

/** Type << 8 | code, by `Problem`. */
const icmpProblems = [
  (IcmpType.timeExceeded << 8) | IcmpCode.ttlExceeded,
  (IcmpType.destinationUnreachable << 8) | IcmpCode.fragmentationNeeded,
  (IcmpType.destinationUnreachable << 8) | IcmpCode.portUnreachable,
];
const icmpv6Problems = [
  (Icmpv6Type.timeExceeded << 8) | Icmpv6Code.hopLimitExceeded,
  Icmpv6Type.packetTooBig << 8,
  (Icmpv6Type.destinationUnreachable << 8) | Icmpv6Code.portUnreachable,
];

const allNodes = Int32Array.of(0xff020000 | 0, 0, 0, 1);
const allNodesMac = Uint8Array.of(0x33, 0x33, 0, 0, 0, 1);

/**
 * The packets that the engine sends of its own: resets, ICMP errors, ARP, neighbour and echo replies. An answer leaves by
 * the port that the question came in on, to the MAC address that it came from, so that no engine needs a route for it.
 */
export class Answers {
  readonly #scratch = new Uint8Array(2048);

  /** RFC 9293 section 3.10.7.1 (CLOSED). The caller never answers a reset. */
  reset(packet: Packet): boolean {
    const { memory, transport } = packet;
    const answer = this.#scratch;
    const tcp = this.#begin(packet, packet.key, KeyWord.virtualAddress, IpProtocol.tcp, tcpHeaderLengthMin);
    const flags = memory[transport + TcpOffset.flags]!;
    answer.fill(0, tcp, tcp + tcpHeaderLengthMin);
    writeU16(answer, tcp + TcpOffset.sourcePort, readU16(memory, transport + TcpOffset.destinationPort));
    writeU16(answer, tcp + TcpOffset.destinationPort, readU16(memory, transport + TcpOffset.sourcePort));
    answer[tcp + TcpOffset.dataOffset] = (tcpHeaderLengthMin >>> 2) << 4;
    if ((flags & TcpFlag.ack) !== 0) {
      writeU32(answer, tcp + TcpOffset.sequence, readU32(memory, transport + TcpOffset.acknowledgement));
      answer[tcp + TcpOffset.flags] = TcpFlag.rst;
    } else {
      const controls = ((flags & TcpFlag.syn) === 0 ? 0 : 1) + ((flags & TcpFlag.fin) === 0 ? 0 : 1);
      const length = packet.end - transport - readTcpHeaderLength(memory, transport) + controls;
      writeU32(answer, tcp + TcpOffset.acknowledgement, readU32(memory, transport + TcpOffset.sequence) + length);
      answer[tcp + TcpOffset.flags] = TcpFlag.rst | TcpFlag.ack;
    }
    writeTransportChecksum(answer, ethernetHeaderLength, tcp, tcpHeaderLengthMin, TcpOffset.checksum);
    return packet.port.transmitCopy(answer, 0, tcp + tcpHeaderLengthMin);
  }

  /** An ICMP error that quotes the packet; its source stands in the words of `source` from `at` on. */
  icmpError(packet: Packet, source: Int32Array, at: number, problem: Problem, mtu: number): boolean {
    const { memory, ip, ipv6 } = packet;
    const answer = this.#scratch;
    const room = ipv6
      ? icmpv6LengthMax - ipv6HeaderLength - icmpHeaderLength
      : icmpLengthMax - ipv4HeaderLengthMin - icmpHeaderLength;
    const quoted = Math.min(packet.length, room);
    const length = icmpHeaderLength + quoted;
    const icmp = this.#begin(packet, source, at, ipv6 ? IpProtocol.icmpv6 : IpProtocol.icmp, length);
    writeU16(answer, icmp + IcmpOffset.type, (ipv6 ? icmpv6Problems : icmpProblems)[problem]!);
    writeU32(answer, icmp + IcmpOffset.rest, mtu);
    for (let i = 0; i < quoted; i += 1) answer[icmp + IcmpOffset.payload + i] = memory[ip + i]!;
    if (ipv6) {
      writeIcmpv6Checksum(answer, ethernetHeaderLength, icmp, length);
    } else {
      writeU16(answer, icmp + IcmpOffset.checksum, 0);
      writeU16(answer, icmp + IcmpOffset.checksum, internetChecksum(answer, icmp, length));
    }
    return packet.port.transmitCopy(answer, 0, icmp + length);
  }

  /**
   * Answers a valid solicitation for `target`, in four words (RFC 4861 section 7.2.4): to the sender, or to all nodes
   * when it is duplicate address detection, whose sender has no address yet. The router flag is clear, as in the
   * announcement of a takeover on an interface that does not forward, which the engine's never do.
   */
  neighbourAdvertisement(packet: Packet, target: Int32Array, toAllNodes: boolean): boolean {
    const { port } = packet;
    const answer = this.#scratch;
    const ip = ethernetHeaderLength;
    const length = neighbourAdvertisementLength();
    const message = this.#begin(packet, target, 0, IpProtocol.icmpv6, length);
    answer[ip + Ipv6Offset.hopLimit] = ndpHopLimit;
    if (toAllNodes) {
      answer.set(allNodesMac, EthernetOffset.destination);
      writeWords(answer, ip + Ipv6Offset.destination, allNodes, 0, 4);
    }
    writeU16(answer, message, Icmpv6Type.neighbourAdvertisement << 8);
    const solicited = toAllNodes ? 0 : NeighbourFlag.solicited;
    writeU32(answer, message + NdpOffset.flags, (NeighbourFlag.override | solicited) << 24);
    writeWords(answer, message + NdpOffset.target, target, 0, 4);
    writeTargetOption(answer, message, port.macAddress);
    writeIcmpv6Checksum(answer, ip, message, length);
    return port.transmitCopy(answer, 0, message + length);
  }

  /** `arp` is the offset of a request's message. */
  arpReply(port: PacketPort, bytes: Uint8Array, arp: number): boolean {
    const answer = this.#scratch;
    const message = ethernetHeaderLength;
    for (let i = 0; i < macAddressLength; i += 1) {
      const asker = bytes[arp + ArpOffset.senderMac + i]!;
      const own = port.macAddress[i]!;
      answer[EthernetOffset.destination + i] = asker;
      answer[EthernetOffset.source + i] = own;
      answer[message + ArpOffset.targetMac + i] = asker;
      answer[message + ArpOffset.senderMac + i] = own;
    }
    writeU16(answer, EthernetOffset.etherType, EtherType.arp);
    for (let i = 0; i < ArpOffset.operation; i += 1) answer[message + i] = bytes[arp + i]!;
    writeU16(answer, message + ArpOffset.operation, ArpOperation.reply);
    copyWords(answer, message + ArpOffset.senderAddress, bytes, arp + ArpOffset.targetAddress);
    copyWords(answer, message + ArpOffset.targetAddress, bytes, arp + ArpOffset.senderAddress);
    return port.transmitCopy(answer, 0, message + arpLength());
  }

  /**
   * Ethernet and IP headers of an answer to a packet, back to where it came from. Returns where the payload stands in
   * the scratch memory.
   */
  #begin(packet: Packet, source: Int32Array, at: number, protocol: number, payloadLength: number): number {
    const { port, memory, ethernet, key } = packet;
    const answer = this.#scratch;
    const ip = ethernetHeaderLength;
    for (let i = 0; i < macAddressLength; i += 1) {
      answer[EthernetOffset.destination + i] = memory[ethernet + EthernetOffset.source + i]!;
      answer[EthernetOffset.source + i] = port.macAddress[i]!;
    }
    if (packet.ipv6) {
      writeU16(answer, EthernetOffset.etherType, EtherType.ipv6);
      writeU32(answer, ip, 6 << 28);
      writeU16(answer, ip + Ipv6Offset.payloadLength, payloadLength);
      answer[ip + Ipv6Offset.nextHeader] = protocol;
      answer[ip + Ipv6Offset.hopLimit] = answerTtl;
      writeWords(answer, ip + Ipv6Offset.source, source, at, 4);
      writeWords(answer, ip + Ipv6Offset.destination, key, KeyWord.clientAddress, 4);
      return ip + ipv6HeaderLength;
    }
    writeU16(answer, EthernetOffset.etherType, EtherType.ipv4);
    answer[ip] = 0x45;
    answer[ip + Ipv4Offset.trafficClass] = 0;
    writeU16(answer, ip + Ipv4Offset.totalLength, ipv4HeaderLengthMin + payloadLength);
    // An atomic datagram needs no identification (RFC 6864 section 4.1).
    writeU16(answer, ip + Ipv4Offset.identification, 0);
    writeU16(answer, ip + Ipv4Offset.fragment, Ipv4Flag.dontFragment);
    answer[ip + Ipv4Offset.ttl] = answerTtl;
    answer[ip + Ipv4Offset.protocol] = protocol;
    writeWords(answer, ip + Ipv4Offset.source, source, at, 1);
    writeWords(answer, ip + Ipv4Offset.destination, key, KeyWord.clientAddress, 1);
    writeIpv4Checksum(answer, ip);
    return ip + ipv4HeaderLengthMin;
  }
}

/** Turns an echo request into its reply, in place (RFC 792, RFC 4443 section 4.2): addresses swapped, the data as it came. */
export function turnEchoAround(packet: Packet): void {
  const { memory, ethernet, ip, key, port, ipv6 } = packet;
  for (let i = 0; i < macAddressLength; i += 1) {
    memory[ethernet + i] = memory[ethernet + EthernetOffset.source + i]!;
    memory[ethernet + EthernetOffset.source + i] = port.macAddress[i]!;
  }
  const field = ip + (ipv6 ? Ipv6Offset.source : Ipv4Offset.source);
  const words = ipv6 ? 4 : 1;
  writeWords(memory, field, key, KeyWord.virtualAddress, words);
  writeWords(memory, field + words * 4, key, KeyWord.clientAddress, words);
  if (ipv6) {
    dropExtensionHeaders(packet);
    memory[ip + Ipv6Offset.hopLimit] = answerTtl;
  } else {
    memory[ip + Ipv4Offset.ttl] = answerTtl;
    writeIpv4Checksum(memory, ip);
  }
  const icmp = packet.transport;
  const checksum = readU16(memory, icmp + IcmpOffset.checksum);
  const before = readU16(memory, icmp + IcmpOffset.type);
  memory[icmp + IcmpOffset.type] = ipv6 ? Icmpv6Type.echoReply : IcmpType.echoReply;
  const after = readU16(memory, icmp + IcmpOffset.type);
  writeU16(memory, icmp + IcmpOffset.checksum, updateChecksum(checksum, before, after));
}

/** The extension headers of a request concern its own path, not the reply's. */
function dropExtensionHeaders(packet: Packet): void {
  const { memory, ip, transport, end } = packet;
  const start = ip + ipv6HeaderLength;
  memory.copyWithin(start, transport, end);
  packet.transport = start;
  packet.end = start + end - transport;
  writeU16(memory, ip + Ipv6Offset.payloadLength, end - transport);
  memory[ip + Ipv6Offset.nextHeader] = packet.protocol;
}

function writeWords(target: Uint8Array, offset: number, words: Int32Array, at: number, count: number): void {
  for (let i = 0; i < count; i += 1) writeU32(target, offset + i * 4, words[at + i]!);
}

function copyWords(target: Uint8Array, targetOffset: number, source: Uint8Array, sourceOffset: number): void {
  for (let i = 0; i < 4; i += 1) target[targetOffset + i] = source[sourceOffset + i]!;
}

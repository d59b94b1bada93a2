// SPDX-License-Identifier: Apache-2.0
import { readU32, writeU16, writeU32 } from '../../lib/bytes.ts';
import { internetChecksum, updateChecksum } from '../../lib/checksum.ts';
import { ArpOffset, ArpOperation, arpLength } from '../../wire/arp.ts';
import { EthernetOffset, EtherType, ethernetHeaderLength, macAddressLength } from '../../wire/ethernet.ts';
import { IcmpOffset, IcmpType, icmpHeaderLength } from '../../wire/icmp.ts';
import {
  IpProtocol,
  Ipv4Flag,
  Ipv4Offset,
  ipv4HeaderLengthMin,
  readIpv4HeaderLength,
  writeIpv4Checksum,
} from '../../wire/ipv4.ts';
import { readTcpHeaderLength, TcpFlag, TcpOffset, tcpHeaderLengthMin } from '../../wire/tcp.ts';
import { writeTransportChecksum } from '../../wire/transport-checksum.ts';
import type { PacketPort } from './packet-port.ts';

const answerTtl = 64;
/** RFC 1812 section 4.3.2.3: as much of the packet as fits, the whole message at most 576 bytes. */
const icmpLengthMax = 576;

/**
 * What the engine says itself: resets, ICMP errors, ARP and echo replies. Answers go back out of the port, and to the
 * MAC address, that the question came from, so that every engine can give them without a route.
 *
 * Offsets: `frame` of the Ethernet header, `ip` and `tcp` of those headers, all in `bytes`.
 */
export class Answers {
  readonly #scratch = new Uint8Array(1024);

  /** RFC 9293 section 3.10.7.1 (CLOSED). `segmentEnd` is the offset behind the segment. The caller never answers a reset. */
  reset(port: PacketPort, bytes: Uint8Array, frame: number, ip: number, tcp: number, segmentEnd: number): boolean {
    const answer = this.#scratch;
    const answerTcp = ethernetHeaderLength + ipv4HeaderLengthMin;
    const flags = bytes[tcp + TcpOffset.flags]!;
    this.#beginIpv4(port, bytes, frame, IpProtocol.tcp, tcpHeaderLengthMin);
    copyWords(answer, ethernetHeaderLength + Ipv4Offset.source, bytes, ip + Ipv4Offset.destination);
    copyWords(answer, ethernetHeaderLength + Ipv4Offset.destination, bytes, ip + Ipv4Offset.source);
    answer.fill(0, answerTcp, answerTcp + tcpHeaderLengthMin);
    for (let i = 0; i < 2; i += 1) {
      answer[answerTcp + TcpOffset.sourcePort + i] = bytes[tcp + TcpOffset.destinationPort + i]!;
      answer[answerTcp + TcpOffset.destinationPort + i] = bytes[tcp + TcpOffset.sourcePort + i]!;
    }
    answer[answerTcp + TcpOffset.dataOffset] = (tcpHeaderLengthMin >>> 2) << 4;
    if ((flags & TcpFlag.ack) !== 0) {
      writeU32(answer, answerTcp + TcpOffset.sequence, readU32(bytes, tcp + TcpOffset.acknowledgement));
      answer[answerTcp + TcpOffset.flags] = TcpFlag.rst;
    } else {
      const controls = ((flags & TcpFlag.syn) === 0 ? 0 : 1) + ((flags & TcpFlag.fin) === 0 ? 0 : 1);
      const length = segmentEnd - tcp - readTcpHeaderLength(bytes, tcp) + controls;
      writeU32(answer, answerTcp + TcpOffset.acknowledgement, readU32(bytes, tcp + TcpOffset.sequence) + length);
      answer[answerTcp + TcpOffset.flags] = TcpFlag.rst | TcpFlag.ack;
    }
    writeIpv4Checksum(answer, ethernetHeaderLength);
    writeTransportChecksum(answer, ethernetHeaderLength, answerTcp, tcpHeaderLengthMin, TcpOffset.checksum);
    return port.transmitCopy(answer, 0, answerTcp + tcpHeaderLengthMin);
  }

  /** An ICMP error that quotes the packet, from `source` (the virtual address as a word). `rest`: see `IcmpMessage`. */
  icmpError(
    port: PacketPort,
    bytes: Uint8Array,
    frame: number,
    ip: number,
    packetLength: number,
    source: number,
    type: number,
    code: number,
    rest: number,
  ): boolean {
    const answer = this.#scratch;
    const icmp = ethernetHeaderLength + ipv4HeaderLengthMin;
    const quoted = Math.min(packetLength, icmpLengthMax - ipv4HeaderLengthMin - icmpHeaderLength);
    const length = icmpHeaderLength + quoted;
    this.#beginIpv4(port, bytes, frame, IpProtocol.icmp, length);
    writeU32(answer, ethernetHeaderLength + Ipv4Offset.source, source);
    copyWords(answer, ethernetHeaderLength + Ipv4Offset.destination, bytes, ip + Ipv4Offset.source);
    writeIpv4Checksum(answer, ethernetHeaderLength);
    answer[icmp + IcmpOffset.type] = type;
    answer[icmp + IcmpOffset.code] = code;
    writeU16(answer, icmp + IcmpOffset.checksum, 0);
    writeU32(answer, icmp + IcmpOffset.rest, rest);
    for (let i = 0; i < quoted; i += 1) answer[icmp + IcmpOffset.payload + i] = bytes[ip + i]!;
    writeU16(answer, icmp + IcmpOffset.checksum, internetChecksum(answer, icmp, length));
    return port.transmitCopy(answer, 0, icmp + length);
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

  /** Ethernet and IPv4 headers of an answer, all but the addresses and the checksum. */
  #beginIpv4(port: PacketPort, bytes: Uint8Array, frame: number, protocol: number, payloadLength: number): void {
    const answer = this.#scratch;
    const ip = ethernetHeaderLength;
    for (let i = 0; i < macAddressLength; i += 1) {
      answer[EthernetOffset.destination + i] = bytes[frame + EthernetOffset.source + i]!;
      answer[EthernetOffset.source + i] = port.macAddress[i]!;
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
  }
}

/** Turns an echo request into its reply, in place (RFC 792): addresses swapped, all else as it came. */
export function turnEchoAround(port: PacketPort, bytes: Uint8Array, frame: number, ip: number): void {
  for (let i = 0; i < macAddressLength; i += 1) {
    bytes[frame + i] = bytes[frame + EthernetOffset.source + i]!;
    bytes[frame + EthernetOffset.source + i] = port.macAddress[i]!;
  }
  const source = readU32(bytes, ip + Ipv4Offset.source);
  copyWords(bytes, ip + Ipv4Offset.source, bytes, ip + Ipv4Offset.destination);
  writeU32(bytes, ip + Ipv4Offset.destination, source);
  bytes[ip + Ipv4Offset.ttl] = answerTtl;
  writeIpv4Checksum(bytes, ip);
  const icmp = ip + readIpv4HeaderLength(bytes, ip);
  const checksum = (bytes[icmp + IcmpOffset.checksum]! << 8) | bytes[icmp + IcmpOffset.checksum + 1]!;
  const before = (IcmpType.echoRequest << 8) | bytes[icmp + IcmpOffset.code]!;
  bytes[icmp + IcmpOffset.type] = IcmpType.echoReply;
  writeU16(bytes, icmp + IcmpOffset.checksum, updateChecksum(checksum, before, bytes[icmp + IcmpOffset.code]!));
}

function copyWords(target: Uint8Array, targetOffset: number, source: Uint8Array, sourceOffset: number): void {
  for (let i = 0; i < 4; i += 1) target[targetOffset + i] = source[sourceOffset + i]!;
}

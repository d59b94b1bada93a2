// SPDX-License-Identifier: Apache-2.0
import { writeU16 } from '../lib/bytes.ts';
import { addToSum, foldSum } from '../lib/checksum.ts';
import { IpProtocol, Ipv4Offset, ipv4PseudoHeaderSum } from './ipv4.ts';
import { Ipv6Offset, ipv6PseudoHeaderSum } from './ipv6.ts';

/**
 * Computes the checksum of a TCP segment or UDP datagram and writes it. `ipOffset` is that of the IP header of
 * either family, `transportOffset` and `length` those of the segment, `field` the byte offset of the checksum within
 * it. `protocol` is needed when extension headers stand between.
 */
export function writeTransportChecksum(
  bytes: Uint8Array,
  ipOffset: number,
  transportOffset: number,
  length: number,
  field: number,
  protocol: number = protocolOf(bytes, ipOffset),
): void {
  writeU16(bytes, transportOffset + field, 0);
  const checksum = transportSum(bytes, ipOffset, transportOffset, length, protocol) ^ 0xffff;
  // RFC 768: a UDP checksum that comes out as zero is sent as all ones, because zero means that there is none.
  writeU16(bytes, transportOffset + field, checksum === 0 && protocol === IpProtocol.udp ? 0xffff : checksum);
}

/** Whether the checksum of a segment holds. */
export function verifyTransportChecksum(
  bytes: Uint8Array,
  ipOffset: number,
  transportOffset: number,
  length: number,
  protocol: number = protocolOf(bytes, ipOffset),
): boolean {
  return transportSum(bytes, ipOffset, transportOffset, length, protocol) === 0xffff;
}

function protocolOf(bytes: Uint8Array, ip: number): number {
  return bytes[ip + (isIpv6(bytes, ip) ? Ipv6Offset.nextHeader : Ipv4Offset.protocol)]!;
}

function isIpv6(bytes: Uint8Array, ip: number): boolean {
  return bytes[ip]! >>> 4 === 6;
}

function transportSum(bytes: Uint8Array, ip: number, transport: number, length: number, protocol: number): number {
  const pseudoHeader = isIpv6(bytes, ip)
    ? ipv6PseudoHeaderSum(bytes, ip, length, protocol)
    : ipv4PseudoHeaderSum(bytes, ip, length);
  return foldSum(addToSum(pseudoHeader, bytes, transport, length));
}

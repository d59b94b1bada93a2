// SPDX-License-Identifier: Apache-2.0
import { readI32, readU16, writeU16, writeU32 } from '../../lib/bytes.ts';
import { foldSum } from '../../lib/checksum.ts';
import { Ipv4Offset } from '../../wire/ipv4.ts';
import { TcpOffset } from '../../wire/tcp.ts';

// Changes to packets in place. Checksums follow by RFC 1624 equation 3, HC' = ~(~HC + ~m + m'), never by summing the
// packet again: what was damaged before stays detectable.

/** One hop less, as the kernel does for every forwarding method (decrement_ttl in ip_vs_xmit.c). */
export function decrementTtl(bytes: Uint8Array, ip: number): void {
  const before = readU16(bytes, ip + Ipv4Offset.ttl);
  bytes[ip + Ipv4Offset.ttl]! -= 1;
  const sum = (readU16(bytes, ip + Ipv4Offset.checksum) ^ 0xffff) + (before ^ 0xffff) + (before - 0x0100);
  writeU16(bytes, ip + Ipv4Offset.checksum, foldSum(sum) ^ 0xffff);
}

/**
 * Replaces an address of the IPv4 header (`addressOffset` within it) and a port of the TCP header (`portOffset` within
 * it). With a partial checksum the field holds the folded sum of the pseudo-header alone and uncomplemented: addresses
 * are part of it, ports are not.
 */
export function rewriteEndpoint(
  bytes: Uint8Array,
  ip: number,
  addressOffset: number,
  address: number,
  tcp: number,
  portOffset: number,
  port: number,
  checksumPartial: boolean,
): void {
  const addressBefore = readI32(bytes, ip + addressOffset);
  const portBefore = readU16(bytes, tcp + portOffset);
  const addressChange =
    ((addressBefore >>> 16) ^ 0xffff) + ((addressBefore & 0xffff) ^ 0xffff) + (address >>> 16) + (address & 0xffff);
  writeU32(bytes, ip + addressOffset, address);
  writeU16(bytes, tcp + portOffset, port);
  const ipSum = (readU16(bytes, ip + Ipv4Offset.checksum) ^ 0xffff) + addressChange;
  writeU16(bytes, ip + Ipv4Offset.checksum, foldSum(ipSum) ^ 0xffff);
  const checksum = readU16(bytes, tcp + TcpOffset.checksum);
  if (checksumPartial) {
    writeU16(bytes, tcp + TcpOffset.checksum, foldSum(checksum + addressChange));
  } else {
    const sum = (checksum ^ 0xffff) + addressChange + (portBefore ^ 0xffff) + port;
    writeU16(bytes, tcp + TcpOffset.checksum, foldSum(sum) ^ 0xffff);
  }
}

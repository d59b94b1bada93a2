// SPDX-License-Identifier: Apache-2.0
import { readI32, readU16, writeU16, writeU32 } from '../../lib/bytes.ts';
import { foldSum } from '../../lib/checksum.ts';
import { IpProtocol, Ipv4Offset } from '../../wire/ipv4.ts';
import { Ipv6Offset } from '../../wire/ipv6.ts';
import { TcpOffset } from '../../wire/tcp.ts';
import { UdpOffset } from '../../wire/udp.ts';
import { Fragment, type Packet } from './packet.ts';

// Changes to packets in place. Checksums follow by RFC 1624 equation 3, HC' = ~(~HC + ~m + m'), never by summing the
// packet again: what was damaged before stays detectable, and a fragment needs nothing of the others.

/** Which end of a packet is replaced. */
export const Side = { source: 0, destination: 1 } as const;

/** One hop less, as the kernel does for every forwarding method (decrement_ttl in ip_vs_xmit.c). */
export function decrementTtl(packet: Packet): void {
  const { memory, ip } = packet;
  if (packet.ipv6) {
    memory[ip + Ipv6Offset.hopLimit]! -= 1;
    return;
  }
  const before = readU16(memory, ip + Ipv4Offset.ttl);
  memory[ip + Ipv4Offset.ttl]! -= 1;
  const sum = (readU16(memory, ip + Ipv4Offset.checksum) ^ 0xffff) + (before ^ 0xffff) + (before - 0x0100);
  writeU16(memory, ip + Ipv4Offset.checksum, foldSum(sum) ^ 0xffff);
}

/**
 * Replaces the address and port at one end of a packet; `address` holds the address in words from `at` on. A fragment
 * other than the first has an address alone.
 */
export function rewriteEndpoint(packet: Packet, side: number, address: Int32Array, at: number, port: number): void {
  const change = rewriteAddress(packet, side, address, at);
  if (packet.fragment === Fragment.later) return;
  const { memory, transport } = packet;
  const portAt = transport + (side << 1);
  const portBefore = readU16(memory, portAt);
  writeU16(memory, portAt, port);
  const isUdp = packet.protocol === IpProtocol.udp;
  const checksumAt = transport + (isUdp ? UdpOffset.checksum : TcpOffset.checksum);
  // The quotation of an ICMP error may end before the checksum.
  if (checksumAt + 2 > packet.end) return;
  const checksum = readU16(memory, checksumAt);
  if (packet.checksumPartial) {
    // The field holds the folded sum of the pseudo-header alone, uncomplemented: addresses are in it, ports are not.
    writeU16(memory, checksumAt, foldSum(checksum + change));
    return;
  }
  // RFC 768: zero means that there is no checksum.
  if (isUdp && checksum === 0) return;
  const updated = foldSum((checksum ^ 0xffff) + change + (portBefore ^ 0xffff) + port) ^ 0xffff;
  writeU16(memory, checksumAt, isUdp && updated === 0 ? 0xffff : updated);
}

/** Replaces an address. Returns what the change adds to a sum that the address is part of, not folded. */
export function rewriteAddress(packet: Packet, side: number, address: Int32Array, at: number): number {
  const { memory, ip } = packet;
  if (!packet.ipv6) {
    const field = ip + (side === Side.source ? Ipv4Offset.source : Ipv4Offset.destination);
    const change = replaceWord(memory, field, address[at]!);
    const sum = (readU16(memory, ip + Ipv4Offset.checksum) ^ 0xffff) + change;
    writeU16(memory, ip + Ipv4Offset.checksum, foldSum(sum) ^ 0xffff);
    return change;
  }
  const field = ip + (side === Side.source ? Ipv6Offset.source : Ipv6Offset.destination);
  let change = 0;
  for (let i = 0; i < 4; i += 1) change += replaceWord(memory, field + (i << 2), address[at + i]!);
  return change;
}

function replaceWord(memory: Uint8Array, field: number, word: number): number {
  const before = readI32(memory, field);
  writeU32(memory, field, word);
  return ((before >>> 16) ^ 0xffff) + ((before & 0xffff) ^ 0xffff) + (word >>> 16) + (word & 0xffff);
}

// SPDX-License-Identifier: Apache-2.0
import { readU16, readU32, writeU16, writeU32 } from '../lib/bytes.ts';
import { addToSum } from '../lib/checksum.ts';
import { type IpAddress, ipAddressBytes, ipAddressFromBytes } from '../lib/ip-address.ts';
import { accept, type Result, reject } from '../lib/result.ts';

/** The fixed IPv6 header (RFC 8200 section 3). Extension headers belong to the payload. */
export interface Ipv6Header {
  readonly trafficClass: number;
  /** 20 bits. */
  readonly flowLabel: number;
  readonly payloadLength: number;
  readonly nextHeader: number;
  readonly hopLimit: number;
  readonly source: IpAddress;
  readonly destination: IpAddress;
}

export type Ipv6Fault = 'truncated' | 'malformedHeader';

/** Byte offsets from the header's first byte. */
export const Ipv6Offset = {
  versionAndClass: 0,
  payloadLength: 4,
  nextHeader: 6,
  hopLimit: 7,
  source: 8,
  destination: 24,
  payload: 40,
} as const;

export const ipv6HeaderLength = 40;

/** Undefined for a header that may be read by `Ipv6Offset`. */
export function checkIpv6(bytes: Uint8Array, offset: number, length: number): Ipv6Fault | undefined {
  if (length < ipv6HeaderLength) return 'truncated';
  if (bytes[offset]! >>> 4 !== 6) return 'malformedHeader';
  return readU16(bytes, offset + Ipv6Offset.payloadLength) > length - ipv6HeaderLength ? 'truncated' : undefined;
}

/**
 * The running sum of the pseudo-header (RFC 8200 section 8.1) of the packet whose header stands at `offset`. `protocol`
 * is that of the transport, which the header itself names only when there are no extension headers.
 */
export function ipv6PseudoHeaderSum(
  bytes: Uint8Array,
  offset: number,
  transportLength: number,
  protocol: number,
): number {
  return addToSum(protocol + transportLength, bytes, offset + Ipv6Offset.source, 32);
}

/**
 * Whether an address may not be a packet's source on the wire: unspecified and loopback (RFC 4291 sections 2.5.2 and
 * 2.5.3), IPv4-mapped (RFC 4038 section 4.2) and multicast (RFC 4291 section 2.7).
 */
export function isMartianSourceIpv6(word0: number, word1: number, word2: number, word3: number): boolean {
  if (word0 >>> 24 === 0xff) return true;
  if ((word0 | word1) !== 0) return false;
  return word2 === 0xffff || (word2 === 0 && word3 >>> 0 <= 1);
}

/** fe80::/10: never forwarded (RFC 4291 section 2.5.6). */
export function isLinkLocalIpv6(word0: number): boolean {
  return word0 >>> 22 === 0x3fa;
}

export function parseIpv6(
  bytes: Uint8Array,
  offset = 0,
  length = bytes.length - offset,
): Result<Ipv6Header, Ipv6Fault> {
  const fault = checkIpv6(bytes, offset, length);
  if (fault !== undefined) return reject(fault);
  const first = readU32(bytes, offset);
  return accept({
    trafficClass: (first >>> 20) & 0xff,
    flowLabel: first & 0xfffff,
    payloadLength: readU16(bytes, offset + Ipv6Offset.payloadLength),
    nextHeader: bytes[offset + Ipv6Offset.nextHeader]!,
    hopLimit: bytes[offset + Ipv6Offset.hopLimit]!,
    source: ipAddressFromBytes(bytes, offset + Ipv6Offset.source, 16),
    destination: ipAddressFromBytes(bytes, offset + Ipv6Offset.destination, 16),
  });
}

export function ipv6Length(): number {
  return ipv6HeaderLength;
}

/** Returns where the payload starts. */
export function emitIpv6(header: Ipv6Header, buffer: Uint8Array, offset: number): number {
  writeU32(buffer, offset, (6 << 28) | (header.trafficClass << 20) | header.flowLabel);
  writeU16(buffer, offset + Ipv6Offset.payloadLength, header.payloadLength);
  buffer[offset + Ipv6Offset.nextHeader] = header.nextHeader;
  buffer[offset + Ipv6Offset.hopLimit] = header.hopLimit;
  buffer.set(ipAddressBytes(header.source), offset + Ipv6Offset.source);
  buffer.set(ipAddressBytes(header.destination), offset + Ipv6Offset.destination);
  return offset + ipv6HeaderLength;
}

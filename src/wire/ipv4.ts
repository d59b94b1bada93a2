// SPDX-License-Identifier: Apache-2.0
import { readI32, readU16, writeU16 } from '../lib/bytes.ts';
import { addToSum, foldSum, internetChecksum } from '../lib/checksum.ts';
import { type IpAddress, ipAddressBytes, ipAddressFromBytes } from '../lib/ip-address.ts';
import { accept, type Result, reject } from '../lib/result.ts';

/** An IPv4 header (RFC 791 section 3.1). The checksum is computed when it is emitted. */
export interface Ipv4Header {
  /** DSCP and ECN. */
  readonly trafficClass: number;
  /** Of header and payload, in bytes. */
  readonly totalLength: number;
  readonly identification: number;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** In bytes, a multiple of 8. */
  readonly fragmentOffset: number;
  readonly ttl: number;
  readonly protocol: number;
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** Raw, padded to a multiple of 4 bytes, at most 40. */
  readonly options: Uint8Array;
}

/** `truncated`: fewer bytes than the header says. `malformedHeader`: no IPv4, or lengths that contradict each other. */
export type Ipv4Fault = 'truncated' | 'malformedHeader' | 'badChecksum';

/** Byte offsets from the header's first byte. */
export const Ipv4Offset = {
  versionAndLength: 0,
  trafficClass: 1,
  totalLength: 2,
  identification: 4,
  fragment: 6,
  ttl: 8,
  protocol: 9,
  checksum: 10,
  source: 12,
  destination: 16,
  options: 20,
} as const;

export const ipv4HeaderLengthMin = 20;
export const IpProtocol = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, vrrp: 112 } as const;
/** Bits of the word at `Ipv4Offset.fragment`. */
export const Ipv4Flag = { dontFragment: 0x4000, moreFragments: 0x2000, offsetMask: 0x1fff } as const;

/** In bytes, options included. */
export function readIpv4HeaderLength(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! & 0x0f) << 2;
}

/** Undefined for a header that may be read by `Ipv4Offset` and whose lengths and checksum hold. */
export function checkIpv4(bytes: Uint8Array, offset: number, length: number): Ipv4Fault | undefined {
  if (length < ipv4HeaderLengthMin) return 'truncated';
  const first = bytes[offset]!;
  const headerLength = (first & 0x0f) << 2;
  if (first >>> 4 !== 4 || headerLength < ipv4HeaderLengthMin) return 'malformedHeader';
  const totalLength = readU16(bytes, offset + Ipv4Offset.totalLength);
  if (totalLength < headerLength) return 'malformedHeader';
  if (totalLength > length) return 'truncated';
  // A valid header sums to 0xffff with its checksum in place (RFC 1071 section 1).
  if (foldSum(addToSum(0, bytes, offset, headerLength)) !== 0xffff) return 'badChecksum';
  return undefined;
}

/**
 * Whether an address may not be a packet's source on the wire: this network 0/8, loopback 127/8, multicast 224/4 and
 * class E with the limited broadcast (RFC 1812 section 5.3.7). `word` is the address as a signed 32-bit integer.
 */
export function isMartianSource(word: number): boolean {
  const first = word >>> 24;
  return first === 0 || first === 127 || first >= 224;
}

/** The running sum of the pseudo-header (RFC 9293 section 3.1) of the packet whose header stands at `offset`. */
export function ipv4PseudoHeaderSum(bytes: Uint8Array, offset: number, transportLength: number): number {
  return addToSum(bytes[offset + Ipv4Offset.protocol]! + transportLength, bytes, offset + Ipv4Offset.source, 8);
}

/** Computes the checksum from the bytes and writes it. */
export function writeIpv4Checksum(bytes: Uint8Array, offset: number): void {
  writeU16(bytes, offset + Ipv4Offset.checksum, 0);
  writeU16(bytes, offset + Ipv4Offset.checksum, internetChecksum(bytes, offset, readIpv4HeaderLength(bytes, offset)));
}

/** The destination address as a signed 32-bit integer. */
export function readIpv4Destination(bytes: Uint8Array, offset: number): number {
  return readI32(bytes, offset + Ipv4Offset.destination);
}

/** `options` is a view of `bytes`. */
export function parseIpv4(
  bytes: Uint8Array,
  offset = 0,
  length = bytes.length - offset,
): Result<Ipv4Header, Ipv4Fault> {
  const fault = checkIpv4(bytes, offset, length);
  if (fault !== undefined) return reject(fault);
  const fragment = readU16(bytes, offset + Ipv4Offset.fragment);
  return accept({
    trafficClass: bytes[offset + Ipv4Offset.trafficClass]!,
    totalLength: readU16(bytes, offset + Ipv4Offset.totalLength),
    identification: readU16(bytes, offset + Ipv4Offset.identification),
    dontFragment: (fragment & Ipv4Flag.dontFragment) !== 0,
    moreFragments: (fragment & Ipv4Flag.moreFragments) !== 0,
    fragmentOffset: (fragment & Ipv4Flag.offsetMask) * 8,
    ttl: bytes[offset + Ipv4Offset.ttl]!,
    protocol: bytes[offset + Ipv4Offset.protocol]!,
    source: ipAddressFromBytes(bytes, offset + Ipv4Offset.source, 4),
    destination: ipAddressFromBytes(bytes, offset + Ipv4Offset.destination, 4),
    options: bytes.subarray(offset + Ipv4Offset.options, offset + readIpv4HeaderLength(bytes, offset)),
  });
}

/** Length of the header alone, in bytes. */
export function ipv4Length(header: Pick<Ipv4Header, 'options'>): number {
  return ipv4HeaderLengthMin + header.options.length;
}

/** Returns where the payload starts. */
export function emitIpv4(header: Ipv4Header, buffer: Uint8Array, offset: number): number {
  const headerLength = ipv4Length(header);
  buffer[offset] = 0x40 | (headerLength >>> 2);
  buffer[offset + Ipv4Offset.trafficClass] = header.trafficClass;
  writeU16(buffer, offset + Ipv4Offset.totalLength, header.totalLength);
  writeU16(buffer, offset + Ipv4Offset.identification, header.identification);
  writeU16(
    buffer,
    offset + Ipv4Offset.fragment,
    (header.dontFragment ? Ipv4Flag.dontFragment : 0) |
      (header.moreFragments ? Ipv4Flag.moreFragments : 0) |
      (header.fragmentOffset >>> 3),
  );
  buffer[offset + Ipv4Offset.ttl] = header.ttl;
  buffer[offset + Ipv4Offset.protocol] = header.protocol;
  buffer.set(ipAddressBytes(header.source), offset + Ipv4Offset.source);
  buffer.set(ipAddressBytes(header.destination), offset + Ipv4Offset.destination);
  buffer.set(header.options, offset + Ipv4Offset.options);
  writeIpv4Checksum(buffer, offset);
  return offset + headerLength;
}

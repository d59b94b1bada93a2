// SPDX-License-Identifier: Apache-2.0
import { readU16, writeU16 } from '../lib/bytes.ts';
import { accept, type Result, reject } from '../lib/result.ts';

/** A UDP header (RFC 768). A checksum of 0 means none (IPv4 only). */
export interface UdpHeader {
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Of header and payload, in bytes. */
  readonly length: number;
  readonly checksum: number;
}

export type UdpFault = 'truncated' | 'malformedHeader';

/** Byte offsets from the header's first byte. */
export const UdpOffset = { sourcePort: 0, destinationPort: 2, length: 4, checksum: 6, payload: 8 } as const;

export const udpHeaderLength = 8;

/** Undefined for a header that may be read by `UdpOffset`. `length` is what the IP header leaves. */
export function checkUdp(bytes: Uint8Array, offset: number, length: number): UdpFault | undefined {
  if (length < udpHeaderLength) return 'truncated';
  const said = readU16(bytes, offset + UdpOffset.length);
  if (said < udpHeaderLength) return 'malformedHeader';
  return said > length ? 'truncated' : undefined;
}

export function parseUdp(bytes: Uint8Array, offset = 0, length = bytes.length - offset): Result<UdpHeader, UdpFault> {
  const fault = checkUdp(bytes, offset, length);
  if (fault !== undefined) return reject(fault);
  return accept({
    sourcePort: readU16(bytes, offset + UdpOffset.sourcePort),
    destinationPort: readU16(bytes, offset + UdpOffset.destinationPort),
    length: readU16(bytes, offset + UdpOffset.length),
    checksum: readU16(bytes, offset + UdpOffset.checksum),
  });
}

export function udpLength(): number {
  return udpHeaderLength;
}

/** Returns where the payload starts. */
export function emitUdp(header: UdpHeader, buffer: Uint8Array, offset: number): number {
  writeU16(buffer, offset + UdpOffset.sourcePort, header.sourcePort);
  writeU16(buffer, offset + UdpOffset.destinationPort, header.destinationPort);
  writeU16(buffer, offset + UdpOffset.length, header.length);
  writeU16(buffer, offset + UdpOffset.checksum, header.checksum);
  return offset + udpHeaderLength;
}

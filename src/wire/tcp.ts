// SPDX-License-Identifier: Apache-2.0
import { readU16, readU32, writeU16, writeU32 } from '../lib/bytes.ts';
import { accept, type Result, reject } from '../lib/result.ts';

/** A TCP header (RFC 9293 section 3.1). The checksum covers a pseudo-header and is filled in by `writeTransportChecksum`. */
export interface TcpHeader {
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Unsigned 32 bit, as are acknowledgement numbers. */
  readonly sequence: number;
  readonly acknowledgement: number;
  /** `TcpFlag` bits. */
  readonly flags: number;
  readonly window: number;
  readonly checksum: number;
  readonly urgentPointer: number;
  /** Raw, padded to a multiple of 4 bytes, at most 40. */
  readonly options: Uint8Array;
}

export type TcpFault = 'truncated' | 'malformedHeader';

/** Byte offsets from the header's first byte. */
export const TcpOffset = {
  sourcePort: 0,
  destinationPort: 2,
  sequence: 4,
  acknowledgement: 8,
  dataOffset: 12,
  flags: 13,
  window: 14,
  checksum: 16,
  urgentPointer: 18,
  options: 20,
} as const;

export const tcpHeaderLengthMin = 20;
export const TcpFlag = {
  fin: 0x01,
  syn: 0x02,
  rst: 0x04,
  psh: 0x08,
  ack: 0x10,
  urg: 0x20,
  ece: 0x40,
  cwr: 0x80,
} as const;

/** In bytes, options included. */
export function readTcpHeaderLength(bytes: Uint8Array, offset: number): number {
  return (bytes[offset + TcpOffset.dataOffset]! >>> 4) << 2;
}

/** Undefined for a header that may be read by `TcpOffset`. `length` is that of header and payload. */
export function checkTcp(bytes: Uint8Array, offset: number, length: number): TcpFault | undefined {
  if (length < tcpHeaderLengthMin) return 'truncated';
  const headerLength = readTcpHeaderLength(bytes, offset);
  return headerLength < tcpHeaderLengthMin || headerLength > length ? 'malformedHeader' : undefined;
}

/** `options` is a view of `bytes`. */
export function parseTcp(bytes: Uint8Array, offset = 0, length = bytes.length - offset): Result<TcpHeader, TcpFault> {
  const fault = checkTcp(bytes, offset, length);
  if (fault !== undefined) return reject(fault);
  return accept({
    sourcePort: readU16(bytes, offset + TcpOffset.sourcePort),
    destinationPort: readU16(bytes, offset + TcpOffset.destinationPort),
    sequence: readU32(bytes, offset + TcpOffset.sequence),
    acknowledgement: readU32(bytes, offset + TcpOffset.acknowledgement),
    flags: bytes[offset + TcpOffset.flags]!,
    window: readU16(bytes, offset + TcpOffset.window),
    checksum: readU16(bytes, offset + TcpOffset.checksum),
    urgentPointer: readU16(bytes, offset + TcpOffset.urgentPointer),
    options: bytes.subarray(offset + TcpOffset.options, offset + readTcpHeaderLength(bytes, offset)),
  });
}

/** Length of the header alone, in bytes. */
export function tcpLength(header: Pick<TcpHeader, 'options'>): number {
  return tcpHeaderLengthMin + header.options.length;
}

/** Returns where the payload starts. */
export function emitTcp(header: TcpHeader, buffer: Uint8Array, offset: number): number {
  const headerLength = tcpLength(header);
  writeU16(buffer, offset + TcpOffset.sourcePort, header.sourcePort);
  writeU16(buffer, offset + TcpOffset.destinationPort, header.destinationPort);
  writeU32(buffer, offset + TcpOffset.sequence, header.sequence);
  writeU32(buffer, offset + TcpOffset.acknowledgement, header.acknowledgement);
  buffer[offset + TcpOffset.dataOffset] = (headerLength >>> 2) << 4;
  buffer[offset + TcpOffset.flags] = header.flags;
  writeU16(buffer, offset + TcpOffset.window, header.window);
  writeU16(buffer, offset + TcpOffset.checksum, header.checksum);
  writeU16(buffer, offset + TcpOffset.urgentPointer, header.urgentPointer);
  buffer.set(header.options, offset + TcpOffset.options);
  return offset + headerLength;
}

// SPDX-License-Identifier: Apache-2.0
import { writeU16 } from '../lib/bytes.ts';
import { addToSum, foldSum } from '../lib/checksum.ts';
import { ipv4PseudoHeaderSum } from './ipv4.ts';

/**
 * Counts the checksum of a TCP segment or UDP datagram anew and writes it. `ipOffset` is that of the IPv4 header,
 * `transportOffset` and `length` those of the segment, `field` the byte offset of the checksum within it.
 */
export function writeTransportChecksum(
  bytes: Uint8Array,
  ipOffset: number,
  transportOffset: number,
  length: number,
  field: number,
): void {
  writeU16(bytes, transportOffset + field, 0);
  writeU16(bytes, transportOffset + field, transportSum(bytes, ipOffset, transportOffset, length) ^ 0xffff);
}

/** Whether the checksum of a segment holds. */
export function verifyTransportChecksum(
  bytes: Uint8Array,
  ipOffset: number,
  transportOffset: number,
  length: number,
): boolean {
  return transportSum(bytes, ipOffset, transportOffset, length) === 0xffff;
}

function transportSum(bytes: Uint8Array, ipOffset: number, transportOffset: number, length: number): number {
  return foldSum(addToSum(ipv4PseudoHeaderSum(bytes, ipOffset, length), bytes, transportOffset, length));
}

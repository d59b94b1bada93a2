// SPDX-License-Identifier: Apache-2.0
import { readU16 } from './bytes.ts';

/**
 * Adds `length` bytes to a running ones' complement sum (RFC 1071). An odd last byte is padded with zero, so only the
 * last piece of a message may be odd. The result is not folded.
 */
export function addToSum(sum: number, bytes: Uint8Array, offset = 0, length = bytes.length - offset): number {
  const end = offset + length;
  let i = offset;
  for (; i + 1 < end; i += 2) sum += readU16(bytes, i);
  if (i < end) sum += bytes[i]! << 8;
  return sum;
}

/** Folds a sum to 16 bits. */
export function foldSum(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

/** The internet checksum of a message: the value of its checksum field, which must be zero while summing. */
export function internetChecksum(bytes: Uint8Array, offset = 0, length = bytes.length - offset, initial = 0): number {
  return foldSum(addToSum(initial, bytes, offset, length)) ^ 0xffff;
}

/** RFC 1624 equation 3: the checksum after one 16-bit word of the message changed from `before` to `after`. */
export function updateChecksum(checksum: number, before: number, after: number): number {
  return foldSum((checksum ^ 0xffff) + (before ^ 0xffff) + after) ^ 0xffff;
}

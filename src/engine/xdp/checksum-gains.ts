// SPDX-License-Identifier: Apache-2.0
import { foldSum } from '../../lib/checksum.ts';
import { type IpAddress, ipAddressBytes } from '../../lib/ip-address.ts';

/** The sums that a complemented checksum gains when an endpoint is replaced (RFC 1624 equation 3: ~m + m'). */
export interface ChecksumGains {
  /** When the address is replaced. */
  readonly address: number;
  /** When address and port are replaced. */
  readonly endpoint: number;
}

interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
}

/** The gain when nothing changes: ones' complement zero. */
export const noGain = 0xffff;

/**
 * 16 bits each, never 0. Words are summed as a little-endian machine loads them, which is how the program loads the
 * checksum that it adds them to: the byte order does not matter to ones' complement addition, as long as it is the same
 * for all words (RFC 1071 section 2 (B)).
 */
export function checksumGains(before: Endpoint, after: Endpoint): ChecksumGains {
  const address = gain(ipAddressBytes(before.address), ipAddressBytes(after.address));
  return { address, endpoint: fold(address + gain(portBytes(before.port), portBytes(after.port))) };
}

function gain(before: Uint8Array, after: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < before.length; i += 2) sum += (littleWord(before, i) ^ 0xffff) + littleWord(after, i);
  return fold(sum);
}

function littleWord(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

function portBytes(port: number): Uint8Array {
  return Uint8Array.of(port >> 8, port);
}

function fold(sum: number): number {
  return foldSum(sum) || noGain;
}

// SPDX-License-Identifier: Apache-2.0
import { type IpAddress, ipAddressBytes } from '../../lib/ip-address.ts';
import type { MappedArray } from './mapped-array.ts';

/** FILTER_BITS of layout.h. */
const filterBits = 1024;

/** A filter of `struct settings`: one bit for each address, `filter_bit` of forward.h. */
export function filterOf(addresses: Iterable<IpAddress>): Uint32Array {
  const filter = new Uint32Array(filterBits / 32);
  for (const address of addresses) {
    const bytes = ipAddressBytes(address);
    // Words in the byte order in which the program loads them.
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let folded = 0;
    for (let at = 0; at < bytes.length; at += 4) folded ^= words.getUint32(at, true);
    const bit = Math.imul(folded, 0x9e3779b1) >>> (32 - Math.log2(filterBits));
    filter[bit >>> 5]! |= 1 << (bit & 31);
  }
  return filter;
}

/** `field`: of `struct settings`. */
export function writeFilter(settings: MappedArray, field: number, filter: Uint32Array): void {
  for (const [i, word] of filter.entries()) settings.writeWord(0, field + 4 * i, word);
}

export function addToFilter(settings: MappedArray, field: number, filter: Uint32Array): void {
  for (const [i, word] of filter.entries()) {
    settings.writeWord(0, field + 4 * i, settings.readWord(0, field + 4 * i) | word);
  }
}

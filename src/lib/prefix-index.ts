// SPDX-License-Identifier: Apache-2.0
import { type Family, familyOf, type IpAddress, ipAddressBytes } from './ip-address.ts';
import type { Prefix } from './prefix.ts';

/** Values by prefix, of both families, with look-up of the longest that covers an address. */
export class PrefixIndex<Value> {
  /** Keyed by prefix length, then by the masked bytes. */
  readonly #tables: Readonly<Record<Family, Map<number, Map<string, Value>>>> = { ipv4: new Map(), ipv6: new Map() };
  /** The lengths that occur, the longest first. */
  readonly #lengths: Record<Family, number[]> = { ipv4: [], ipv6: [] };

  get({ address, length }: Prefix): Value | undefined {
    return this.#tables[familyOf(address)].get(length)?.get(keyOf(ipAddressBytes(address), length));
  }

  set({ address, length }: Prefix, value: Value): void {
    const family = familyOf(address);
    let table = this.#tables[family].get(length);
    if (table === undefined) {
      table = new Map();
      this.#tables[family].set(length, table);
      this.#sortLengths(family);
    }
    table.set(keyOf(ipAddressBytes(address), length), value);
  }

  delete({ address, length }: Prefix): void {
    const family = familyOf(address);
    const table = this.#tables[family].get(length);
    if (table?.delete(keyOf(ipAddressBytes(address), length)) !== true || table.size > 0) return;
    this.#tables[family].delete(length);
    this.#sortLengths(family);
  }

  /** The value of the longest prefix that covers the address and is shorter than `lengthBelow` bits. */
  longest(address: IpAddress, lengthBelow = Number.POSITIVE_INFINITY): Value | undefined {
    const family = familyOf(address);
    const bytes = ipAddressBytes(address);
    for (const length of this.#lengths[family]) {
      if (length >= lengthBelow) continue;
      const value = this.#tables[family].get(length)!.get(keyOf(bytes, length));
      if (value !== undefined) return value;
    }
    return undefined;
  }

  *values(families: readonly Family[] = ['ipv4', 'ipv6']): Generator<Value> {
    for (const family of families) {
      for (const table of this.#tables[family].values()) yield* table.values();
    }
  }

  #sortLengths(family: Family): void {
    this.#lengths[family] = [...this.#tables[family].keys()].sort((a, b) => b - a);
  }
}

/** True when the address lies within the prefix. */
export function covers(prefix: Prefix, address: IpAddress): boolean {
  if (familyOf(prefix.address) !== familyOf(address)) return false;
  return keyOf(ipAddressBytes(prefix.address), prefix.length) === keyOf(ipAddressBytes(address), prefix.length);
}

function keyOf(bytes: Uint8Array, length: number): string {
  let key = '';
  for (let i = 0; i * 8 < length; i += 1) {
    const bits = length - i * 8;
    key += String.fromCharCode(bits >= 8 ? bytes[i]! : bytes[i]! & (0xff << (8 - bits)));
  }
  return key;
}

// SPDX-License-Identifier: Apache-2.0

import { finishHash, mixWord } from '../../lib/hash.ts';
import { familyOf, type IpAddress, ipAddressBytes } from '../../lib/ip-address.ts';
import { HashIndex } from './hash-index.ts';

const wordsPerKey = 5;
/** Marks an IPv6 address in the tag, because its words may equal those of an IPv4 address. */
const ipv6Tag = 1 << 30;

/** Maps an address with a tag (a port with a protocol, or 0) to a number; built once for each configuration. */
export class KeyIndex {
  readonly #index: HashIndex;
  readonly #keys: Int32Array;
  readonly #values: Int32Array;
  #length = 0;

  constructor(keysMax: number) {
    this.#index = new HashIndex(keysMax);
    this.#keys = new Int32Array(keysMax * wordsPerKey);
    this.#values = new Int32Array(keysMax);
  }

  /** `value` is not negative. Of two values for one key the first holds. */
  add(address: IpAddress, tag: number, value: number): void {
    const words = addressWords(address);
    if (familyOf(address) === 'ipv6') tag |= ipv6Tag;
    if (this.#find(words[0]!, words[1]!, words[2]!, words[3]!, tag) >= 0) return;
    const number = this.#length;
    this.#length += 1;
    this.#keys.set(words, number * wordsPerKey);
    this.#keys[number * wordsPerKey + 4] = tag;
    this.#values[number] = value;
    this.#index.insert(hashKey(words[0]!, words[1]!, words[2]!, words[3]!, tag), number + 1);
  }

  /** The value of an address, or -1. */
  findIpv4(address: number, tag: number): number {
    return this.#find(address, 0, 0, 0, tag);
  }

  /** The value of the address in the four words from `at` on, or -1. */
  find(ipv6: boolean, words: Int32Array, at: number, tag: number): number {
    if (!ipv6) return this.#find(words[at]!, 0, 0, 0, tag);
    return this.#find(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!, tag | ipv6Tag);
  }

  #find(word0: number, word1: number, word2: number, word3: number, tag: number): number {
    const { slots, mask } = this.#index;
    const keys = this.#keys;
    const hash = hashKey(word0, word1, word2, word3, tag);
    for (let at = (hash << 1) & mask; ; at = (at + 2) & mask) {
      const reference = slots[at]!;
      if (reference === 0) return -1;
      if (slots[at + 1] !== hash) continue;
      const key = (reference - 1) * wordsPerKey;
      if (
        keys[key] === word0 &&
        keys[key + 4] === tag &&
        keys[key + 1] === word1 &&
        keys[key + 2] === word2 &&
        keys[key + 3] === word3
      ) {
        return this.#values[reference - 1]!;
      }
    }
  }
}

/** A port with its protocol number as a tag. */
export function endpointTag(protocol: number, port: number): number {
  return (protocol << 16) | port;
}

/** Four big-endian words; IPv4 uses the first. */
export function addressWords(address: IpAddress): Int32Array {
  const words = new Int32Array(4);
  for (const [i, byte] of ipAddressBytes(address).entries()) words[i >> 2]! |= byte << (24 - 8 * (i & 3));
  return words;
}

function hashKey(word0: number, word1: number, word2: number, word3: number, tag: number): number {
  let state = mixWord(mixWord(tag, word0), tag);
  if ((word1 | word2 | word3) !== 0) state = mixWord(mixWord(mixWord(state, word1), word2), word3);
  return finishHash(state) | 0;
}

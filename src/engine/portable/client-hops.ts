// SPDX-License-Identifier: Apache-2.0

import { writeU32 } from '../../lib/bytes.ts';
import { finishHash, mixWord } from '../../lib/hash.ts';
import { ipAddressFromBytes } from '../../lib/ip-address.ts';
import type { NextHop, NextHopResolver } from './next-hop.ts';

/** A direct-mapped cache of the next hops of masquerade replies: a miss costs a call of the resolver, nothing else. */
export class ClientHops {
  readonly #resolver: NextHopResolver;
  readonly #addresses: Int32Array;
  readonly #families: Uint8Array;
  readonly #hops: (NextHop | undefined)[];
  readonly #mask: number;
  readonly #ipv4Bytes = new Uint8Array(4);
  readonly #ipv6Bytes = new Uint8Array(16);

  /** `size` is a power of two. */
  constructor(resolver: NextHopResolver, size: number) {
    this.#resolver = resolver;
    this.#addresses = new Int32Array(size * 4);
    this.#families = new Uint8Array(size);
    this.#hops = new Array<NextHop | undefined>(size).fill(undefined);
    this.#mask = size - 1;
  }

  /** Whether packets to the address are the kernel's, as the replies of real servers to the director's health checks are. */
  isKernelsOwn(ipv6: boolean, words: Int32Array, at: number): boolean {
    return this.find(ipv6, words, at).state === 'unreachable';
  }

  /** The next hop towards the address in the four words from `at` on; IPv4 uses the first. */
  find(ipv6: boolean, words: Int32Array, at: number): NextHop {
    const hash = ipv6
      ? mixWord(mixWord(mixWord(mixWord(1, words[at]!), words[at + 1]!), words[at + 2]!), words[at + 3]!)
      : mixWord(0, words[at]!);
    const slot = finishHash(hash) & this.#mask;
    const cached = this.#hops[slot];
    // An unreachable next hop is looked up again: there may be a route by now.
    if (cached !== undefined && cached.state !== 'unreachable' && this.#holds(slot, ipv6, words, at)) return cached;
    const bytes = ipv6 ? this.#ipv6Bytes : this.#ipv4Bytes;
    for (let i = 0; i < bytes.length; i += 4) writeU32(bytes, i, words[at + (i >> 2)]!);
    const hop = this.#resolver.resolve(ipAddressFromBytes(bytes));
    for (let i = 0; i < 4; i += 1) this.#addresses[(slot << 2) + i] = ipv6 || i === 0 ? words[at + i]! : 0;
    this.#families[slot] = ipv6 ? 6 : 4;
    this.#hops[slot] = hop;
    return hop;
  }

  #holds(slot: number, ipv6: boolean, words: Int32Array, at: number): boolean {
    const addresses = this.#addresses;
    const first = slot << 2;
    if (addresses[first] !== words[at] || this.#families[slot] !== (ipv6 ? 6 : 4)) return false;
    return (
      !ipv6 ||
      (addresses[first + 1] === words[at + 1] &&
        addresses[first + 2] === words[at + 2] &&
        addresses[first + 3] === words[at + 3])
    );
  }
}

// SPDX-License-Identifier: Apache-2.0

import { writeU32 } from '../../lib/bytes.ts';
import { finishHash, mixWord } from '../../lib/hash.ts';
import { ipAddressFromBytes } from '../../lib/ip-address.ts';
import type { NextHop, NextHopResolver } from './next-hop.ts';

/** A direct-mapped cache of the next hops of masquerade replies: a miss costs a call of the resolver, nothing else. */
export class ClientHops {
  readonly #resolver: NextHopResolver;
  readonly #addresses: Int32Array;
  readonly #hops: (NextHop | undefined)[];
  readonly #mask: number;
  readonly #bytes = new Uint8Array(4);

  /** `size` is a power of two. */
  constructor(resolver: NextHopResolver, size: number) {
    this.#resolver = resolver;
    this.#addresses = new Int32Array(size);
    this.#hops = new Array<NextHop | undefined>(size).fill(undefined);
    this.#mask = size - 1;
  }

  findIpv4(address: number): NextHop {
    const slot = finishHash(mixWord(0, address)) & this.#mask;
    const cached = this.#hops[slot];
    // An unreachable one is asked for again: the route may have come.
    if (cached !== undefined && this.#addresses[slot] === address && cached.state !== 'unreachable') return cached;
    writeU32(this.#bytes, 0, address);
    const hop = this.#resolver.resolve(ipAddressFromBytes(this.#bytes));
    this.#addresses[slot] = address;
    this.#hops[slot] = hop;
    return hop;
  }
}

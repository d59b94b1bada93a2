// SPDX-License-Identifier: Apache-2.0

/** A seeded source of randomness: the same seed gives the same sequence everywhere. Not for secrets. */
export interface Prng {
  /** A 32-bit unsigned integer. */
  next(): number;
  /** A float in [0, 1). */
  fraction(): number;
  /** An integer in [0, bound). */
  below(bound: number): number;
}

/** Mulberry32: 32 bits of state, good enough for schedules of events. */
export function createPrng(seed: number): Prng {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const fraction = (): number => next() / 0x1_0000_0000;
  return { next, fraction, below: (bound) => Math.floor(fraction() * bound) };
}

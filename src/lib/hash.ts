// SPDX-License-Identifier: Apache-2.0

// The hash of tables and selectors. Every engine computes the same value for the same flow, so a pair of directors
// that run different engines still picks the same real server. Words are 32-bit, in host order of their big-endian
// value; arithmetic is modulo 2^32, which C repeats exactly.

/** Mixes one word into the state (the round of MurmurHash3, 32 bit). Returns a signed 32-bit integer. */
export function mixWord(state: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = (k << 15) | (k >>> 17);
  state ^= Math.imul(k, 0x1b873593);
  state = (state << 13) | (state >>> 19);
  return (Math.imul(state, 5) + 0xe6546b64) | 0;
}

/** Spreads the state over all bits. Returns an unsigned 32-bit integer. */
export function finishHash(state: number): number {
  state ^= state >>> 16;
  state = Math.imul(state, 0x85ebca6b);
  state ^= state >>> 13;
  state = Math.imul(state, 0xc2b2ae35);
  state ^= state >>> 16;
  return state >>> 0;
}

/** The hash of a sequence of 32-bit words under a seed. */
export function hashWords(words: ArrayLike<number>, seed = 0): number {
  let state = seed | 0;
  for (let i = 0; i < words.length; i += 1) state = mixWord(state, words[i]!);
  return finishHash(state ^ words.length);
}

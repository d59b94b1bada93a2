// SPDX-License-Identifier: Apache-2.0

/**
 * Open addressing with linear probing, as pairs of words: reference (0: empty) and the whole hash. With the hash beside
 * the reference a probe touches an entry only when it is most probably the one, and a deletion can shift its successors
 * back without reading any entry, so there are no tombstones and look-ups never degrade.
 *
 * The memory is reserved at once and is zero: the kernel hands its pages out as they are touched, so a large table costs
 * a small setup nothing and never pauses to grow.
 */
export class HashIndex {
  /** Look-ups walk it themselves: see `ConnectionTable`. */
  readonly slots: Int32Array;
  /** Mask of a word offset into `slots`. */
  readonly mask: number;

  /** Stays at most two thirds full with `referencesMax` references. */
  constructor(referencesMax: number) {
    let size = 16;
    while (size * 2 < referencesMax * 3) size *= 2;
    this.slots = new Int32Array(size * 2);
    this.mask = size * 2 - 1;
  }

  /** `reference` is not 0 and not in the index. */
  insert(hash: number, reference: number): void {
    const { slots, mask } = this;
    let at = (hash << 1) & mask;
    while (slots[at] !== 0) at = (at + 2) & mask;
    slots[at] = reference;
    slots[at + 1] = hash;
  }

  /** Returns false when it was not there. */
  remove(hash: number, reference: number): boolean {
    const { slots, mask } = this;
    let hole = (hash << 1) & mask;
    while (slots[hole] !== reference) {
      if (slots[hole] === 0) return false;
      hole = (hole + 2) & mask;
    }
    for (let at = (hole + 2) & mask; slots[at] !== 0; at = (at + 2) & mask) {
      const home = (slots[at + 1]! << 1) & mask;
      // A reference may move back into the hole unless its home slot lies behind the hole.
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      slots[hole] = slots[at]!;
      slots[hole + 1] = slots[at + 1]!;
      hole = at;
    }
    slots[hole] = 0;
    return true;
  }
}

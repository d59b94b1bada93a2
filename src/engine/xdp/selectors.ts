// SPDX-License-Identifier: Apache-2.0
import { emptySlot, type Selector } from '../../model/selector.ts';
import { graceMs } from './destinations.ts';
import { SelectorShape } from './layout/enums.ts';
import { noDestination } from './limits.ts';
import type { MappedArray } from './mapped-array.ts';
import { SlotRegions } from './slot-regions.ts';

/** A part of the slots: a selector, or the list of a service's real servers. */
export interface SlotRegion {
  readonly start: number;
  readonly length: number;
}

export const noRegion: SlotRegion = { start: 0, length: 0 };

/** `struct slot`: destination, divisor. */
const wordsPerSlot = 2;

interface Retired extends SlotRegion {
  readonly atMs: number;
}

/**
 * The slots of all services. A selector is replaced by another one elsewhere, so that the program meets the one or the
 * other; the old one stays until nobody can be reading it any more.
 */
export class SlotSpace {
  readonly #slots: MappedArray;
  readonly #regions: SlotRegions;
  #retired: Retired[] = [];

  constructor(slots: MappedArray) {
    this.#slots = slots;
    this.#regions = new SlotRegions(slots.length);
  }

  /** A region that a former process wrote. False when it overlaps another. */
  adopt({ start, length }: SlotRegion): boolean {
    return this.#regions.reserve(start, length);
  }

  /** Destination numbers of a region. */
  read({ start, length }: SlotRegion): number[] {
    return Array.from({ length }, (_, i) => this.#slots.words[(start + i) * wordsPerSlot]!);
  }

  holds(region: SlotRegion, words: Uint32Array): boolean {
    if (region.length * wordsPerSlot !== words.length) return false;
    const at = region.start * wordsPerSlot;
    return words.every((word, i) => this.#slots.words[at + i] === word);
  }

  /** Room for what is to take the place of `before`; undefined when there is none. */
  allocate(length: number, before: SlotRegion): SlotRegion | undefined {
    const start = this.#regions.allocate(length);
    if (start !== undefined) return { start, length };
    // Slots are whole each by itself, so with its order disturbed for a moment a selector can be written over.
    return length <= before.length ? { start: before.start, length } : undefined;
  }

  /** Of a region that was allocated and came to nothing. */
  giveBack({ start, length }: SlotRegion, before: SlotRegion): void {
    if (start !== before.start || before.length === 0) this.#regions.release(start, length);
  }

  write({ start }: SlotRegion, words: Uint32Array): void {
    this.#slots.words.set(words, start * wordsPerSlot);
  }

  /** `after` is in force instead of `before`. */
  replaced(before: SlotRegion, after: SlotRegion, nowMs: number): void {
    const kept = before.start === after.start && after.length > 0 ? after.length : 0;
    const { start, length } = before;
    if (length > kept) this.#retired.push({ start: start + kept, length: length - kept, atMs: nowMs });
  }

  collect(nowMs: number): void {
    const isDue = ({ atMs }: Retired): boolean => nowMs - atMs >= graceMs;
    for (const { start, length } of this.#retired.filter(isDue)) this.#regions.release(start, length);
    this.#retired = this.#retired.filter((region) => !isDue(region));
  }

  /** First slot in the low half, how many in the high one: `selector` and `destinations` of `struct service`. */
  static pack({ start, length }: SlotRegion): bigint {
    return BigInt(start) | (BigInt(length) << 32n);
  }

  static unpack(packed: bigint): SlotRegion {
    return { start: Number(packed & 0xffff_ffffn), length: Number((packed >> 32n) & 0xffff_ffffn) };
  }
}

export function selectorLength(selector: Selector): number {
  return selector.shape === 'least' ? selector.candidates.length : selector.slots.length;
}

/** `destinations`: numbers by index of the real server. */
export function selectorWords(selector: Selector, destinations: readonly number[]): Uint32Array {
  const numberOf = (realServer: number): number =>
    realServer === emptySlot ? noDestination : (destinations[realServer] ?? noDestination);
  if (selector.shape !== 'least') return slotWords(Array.from(selector.slots, numberOf));
  const divisors = selector.candidates.map(({ divisor }) => divisor);
  return slotWords(
    selector.candidates.map(({ realServer }) => numberOf(realServer)),
    divisors,
  );
}

/** A divisor is written in every shape, so that a service may change its shape with its slots in use. */
export function slotWords(destinations: readonly number[], divisors: readonly number[] = []): Uint32Array {
  return Uint32Array.from({ length: destinations.length * wordsPerSlot }, (_, i) =>
    (i & 1) === 0 ? destinations[i >> 1]! : (divisors[i >> 1] ?? 1),
  );
}

/** `SelectorShape`. */
export function shapeOf({ shape }: Selector): number {
  return SelectorShape[shape];
}

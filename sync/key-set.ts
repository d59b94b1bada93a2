// SPDX-License-Identifier: Apache-2.0
import { finishHash, mixWord } from '../src/lib/hash.ts';
import { headKeyOf, RecordOffset, recordWords } from '../src/model/connection-batch.ts';

/**
 * Remembers which connections have had an event lately, and which sender had the last one. Connections are known by a
 * hash of 53 bits: two that share it cost at most one entry of a snapshot, which the next refresh brings. Bounded:
 * beyond `capacity` nothing is added and `overflowed` is set.
 */
export class KeySet {
  readonly #speakers = new Map<number, number>();
  readonly #capacity: number;
  overflowed = false;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#speakers.size;
  }

  noteBatch(batch: Int32Array, speaker: number): void {
    for (let at = 0; at < batch.length; at += recordWords) {
      const key = keyOf(batch, at);
      if (this.#speakers.size >= this.#capacity && !this.#speakers.has(key)) {
        this.overflowed = true;
        return;
      }
      this.#speakers.set(key, speaker);
    }
  }

  /** The sender of the last event about the connection of the record at word `at`. */
  speakerOf(batch: Int32Array, at: number): number | undefined {
    return this.#speakers.size === 0 ? undefined : this.#speakers.get(keyOf(batch, at));
  }

  clear(): void {
    this.#speakers.clear();
    this.overflowed = false;
  }
}

/**
 * The batch without the records (given by their word offset) for which `drop` holds; the same batch if it never does.
 */
export function withoutRecords(batch: Int32Array, drop: (at: number) => boolean): Int32Array {
  const kept = new Int32Array(batch.length);
  let length = 0;
  for (let at = 0; at < batch.length; at += recordWords) {
    if (drop(at)) continue;
    kept.set(batch.subarray(at, at + recordWords), length);
    length += recordWords;
  }
  return length === batch.length ? batch : kept.subarray(0, length);
}

function keyOf(batch: Int32Array, at: number): number {
  return hashKey(batch, at, 0x5bd1e995) * 0x20_0000 + (hashKey(batch, at, 0x1b873593) >>> 11);
}

/** Hashes protocol, family, template flag, ports, client address and virtual address. */
function hashKey(batch: Int32Array, at: number, seed: number): number {
  let state = mixWord(seed, headKeyOf(batch[at + RecordOffset.head]!));
  state = mixWord(state, batch[at + RecordOffset.ports]!);
  for (let word = RecordOffset.clientAddress; word < RecordOffset.realAddress; word += 1) {
    state = mixWord(state, batch[at + word]!);
  }
  return finishHash(state);
}

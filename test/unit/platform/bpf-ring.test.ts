// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { RingRecords } from '../../../src/platform/linux/bpf/ring-reader.ts';

const ringLength = 4096;
const busy = 1 << 31;
const discard = 1 << 30;

/** A ring as the kernel writes it, both copies of the records kept the same. */
class Ring {
  readonly consumer = new ArrayBuffer(8);
  readonly producer = new ArrayBuffer(8);
  readonly records = new ArrayBuffer(2 * ringLength);
  readonly #words = new Int32Array(this.records);
  position: number;

  constructor(start = 0) {
    this.position = start;
    new BigInt64Array(this.consumer)[0] = BigInt(start);
    new BigInt64Array(this.producer)[0] = BigInt(start);
  }

  /** Gives the position of the record's header. */
  write(words: readonly number[], flags = 0): number {
    const at = this.position;
    this.#store(at, (words.length * 4) | flags);
    for (const [i, word] of words.entries()) this.#store(at + 8 + 4 * i, word);
    this.position += (8 + words.length * 4 + 7) & ~7;
    new BigInt64Array(this.producer)[0] = BigInt(this.position);
    return at;
  }

  commit(at: number, words: readonly number[]): void {
    this.#store(at, words.length * 4);
  }

  get consumed(): number {
    return Number(new BigInt64Array(this.consumer)[0]);
  }

  reader(): RingRecords {
    return new RingRecords(this.consumer, this.producer, this.records);
  }

  #store(position: number, word: number): void {
    const at = (position % ringLength) / 4;
    this.#words[at] = word;
    this.#words[at + ringLength / 4] = word;
  }
}

function readAll(reader: RingRecords, max = 1000): number[][] {
  const records: number[][] = [];
  const count = reader.read(max, (words, offset, length) => records.push([...words.subarray(offset, offset + length)]));
  assert.equal(count, records.length);
  return records;
}

describe('records of a BPF ring buffer', () => {
  test('come in order, once', () => {
    const ring = new Ring();
    const reader = ring.reader();
    assert.deepEqual([reader.isEmpty(), readAll(reader)], [true, []]);
    ring.write([1, 2, 3]);
    ring.write([4, 5]);
    assert.equal(reader.isEmpty(), false);
    assert.deepEqual(readAll(reader), [
      [1, 2, 3],
      [4, 5],
    ]);
    assert.deepEqual([reader.isEmpty(), readAll(reader), ring.consumed], [true, [], ring.position]);
  });

  test('as many as were asked for; the rest waits', () => {
    const ring = new Ring();
    for (const word of [1, 2, 3]) ring.write([word]);
    const reader = ring.reader();
    assert.deepEqual(readAll(reader, 2), [[1], [2]]);
    assert.equal(ring.consumed, 32);
    assert.deepEqual(readAll(reader, 2), [[3]]);
  });

  test('a discarded one is skipped', () => {
    const ring = new Ring();
    ring.write([1]);
    ring.write([2], discard);
    ring.write([3]);
    assert.deepEqual(readAll(ring.reader()), [[1], [3]]);
    assert.equal(ring.consumed, ring.position);
  });

  test('one that is being written holds up those behind it', () => {
    const ring = new Ring();
    ring.write([1]);
    const second = ring.write([2], busy);
    ring.write([3]);
    const reader = ring.reader();
    assert.deepEqual(readAll(reader), [[1]]);
    assert.deepEqual(readAll(reader), []);
    ring.commit(second, [2]);
    assert.deepEqual(readAll(reader), [[2], [3]]);
  });

  test('a reader that throws does not meet the same record again', () => {
    const ring = new Ring();
    ring.write([1]);
    ring.write([2]);
    const reader = ring.reader();
    assert.throws(() => reader.read(10, () => assert.fail('no')), /no/);
    assert.deepEqual(readAll(reader), [[2]]);
  });

  test('whatever their sizes, around the end of the ring and past 2^32 bytes', () => {
    const starts = fc.constantFrom(0, 2 ** 31 - 4096, 2 ** 32 - 4096, 2 ** 33 - 8);
    const lengths = fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(starts, lengths, fc.integer({ min: 1, max: 9 }), (start, sizes, perRead) => {
        const ring = new Ring(start);
        const reader = ring.reader();
        const [written, got]: [number[][], number[][]] = [[], []];
        for (const [i, size] of sizes.entries()) {
          const record = Array.from({ length: size }, (_, at) => i * 1000 + at);
          // Full as the kernel would have it: the reader catches up first.
          while (ring.position - ring.consumed + size * 4 + 16 > ringLength) got.push(...readAll(reader, perRead));
          ring.write(record);
          written.push(record);
        }
        while (!reader.isEmpty()) got.push(...readAll(reader, perRead));
        assert.deepEqual(got, written);
        assert.equal(ring.consumed, ring.position);
      }),
      { numRuns: 200 },
    );
  });
});

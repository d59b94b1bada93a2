// SPDX-License-Identifier: Apache-2.0
import type { BpfMap, BpfRingReader } from '../../../engine/xdp/bpf-object.ts';
import { getpagesize, MAP_SHARED, memoryAt, mmap, PROT_READ, pinnedMemory, ppollOnPool } from '../libc.ts';
import { Wake } from '../process/wake.ts';

// A BPF ring buffer (kernel/bpf/ringbuf.c; Documentation/bpf/ringbuf.rst) consists of a page with the consumer's
// position, which this process writes, a page with the producers' position, and the records, mapped twice in a row, so
// that a record that wraps around is in one piece. Both positions count bytes from the beginning and never go back.

/** The header of a record: u32 length with two flags, u32 page offset. */
const recordHeaderWords = 2;
const busyBit = 1 << 31;
const discardBit = 1 << 30;

// struct pollfd { int fd; short events; short revents; }, asm-generic/poll.h
const pollfdLength = 8;
const POLLIN = 1;

/** The records between two positions in the memory of a ring buffer. It makes no system call, so any memory will do. */
export class RingRecords {
  readonly #consumer: BigInt64Array;
  readonly #producer: Int32Array;
  readonly #words: Int32Array;
  /** Bytes, less one: the ring's length is a power of two. */
  readonly #mask: number;
  /** A number is exact here: 2^53 bytes are months at a gigabyte a second. */
  #position: number;

  /**
   * `consumer` begins with the consumer's position, `producer` with the producers'; `records` is the ring, mapped twice
   * in a row.
   */
  constructor(consumer: ArrayBuffer, producer: ArrayBuffer, records: ArrayBuffer) {
    this.#consumer = new BigInt64Array(consumer, 0, 1);
    this.#producer = new Int32Array(producer, 0, 2);
    this.#words = new Int32Array(records);
    this.#mask = records.byteLength / 2 - 1;
    this.#position = Number(Atomics.load(this.#consumer, 0));
  }

  /** See BpfRingReader. The record with which `visit` threw counts as read. */
  read(recordsMax: number, visit: (words: Int32Array, offset: number, length: number) => void): number {
    const words = this.#words;
    const from = this.#position;
    let count = 0;
    try {
      // The low halves suffice: the positions lie less than a ring apart.
      let available = (Atomics.load(this.#producer, 0) - (from | 0)) | 0;
      for (let taken = 0; available > 0 && taken < recordsMax; taken += 1) {
        const at = (this.#position & this.#mask) >>> 2;
        const header = Atomics.load(words, at);
        if ((header & busyBit) !== 0) break;
        const bytes = header & ~discardBit;
        const step = ((bytes + 7) & ~7) + recordHeaderWords * 4;
        this.#position += step;
        available -= step;
        if ((header & discardBit) !== 0) continue;
        count += 1;
        visit(words, at + recordHeaderWords, bytes >>> 2);
      }
    } finally {
      // Written whole, once a batch: the kernel would take half a position for an overrun.
      if (this.#position !== from) Atomics.store(this.#consumer, 0, BigInt(this.#position));
    }
    return count;
  }

  get position(): number {
    return this.#position;
  }

  isEmpty(): boolean {
    return ((Atomics.load(this.#producer, 0) - (this.#position | 0)) | 0) <= 0;
  }
}

/**
 * Opens a ring buffer; the descriptor of the map must stay open for `wait`. `asleep`: one word of a mapped array that
 * is 1 during `wait`, for programs that skip the wake-up otherwise (they set it to 0 when they wake the reader). Throws
 * one sentence when the ring cannot be mapped.
 */
export function openRingReader(
  map: Pick<BpfMap, 'fd' | 'name' | 'maxEntries'>,
  asleep: Int32Array = new Int32Array(1),
): BpfRingReader {
  const page = getpagesize();
  const purpose = `map the BPF ring buffer ${map.name}`;
  const consumer = mmap(0, page, MAP_SHARED, map.fd, purpose);
  const length = page + 2 * map.maxEntries;
  const producer = mmap(0, length, MAP_SHARED, map.fd, purpose, { protection: PROT_READ, offset: page });
  const records = new RingRecords(
    memoryAt(consumer, 8),
    memoryAt(producer, 8),
    memoryAt(producer + page, 2 * map.maxEntries),
  );
  return new MappedRingReader(map.fd, records, asleep);
}

class MappedRingReader implements BpfRingReader {
  readonly #records: RingRecords;
  readonly #wake = Wake.create();
  readonly #pollfds = pinnedMemory(2 * pollfdLength);
  readonly #results = new Int16Array(this.#pollfds.bytes.buffer);
  /** struct timespec { i64 seconds, nanoseconds; } */
  readonly #timeout = pinnedMemory(16);
  readonly #timespec = new BigInt64Array(this.#timeout.bytes.buffer);
  readonly #asleep: Int32Array;
  #stopped = false;

  constructor(fd: number, records: RingRecords, asleep: Int32Array) {
    this.#records = records;
    this.#asleep = asleep;
    const numbers = new Int32Array(this.#pollfds.bytes.buffer);
    numbers[0] = fd;
    numbers[2] = this.#wake.fd;
    this.#results[2] = POLLIN;
    this.#results[6] = POLLIN;
  }

  read(recordsMax: number, visit: (words: Int32Array, offset: number, length: number) => void): number {
    return this.#records.read(recordsMax, visit);
  }

  get position(): number {
    return this.#records.position;
  }

  async wait(timeoutMs: number): Promise<boolean> {
    if (this.#stopped) return false;
    if (!this.#records.isEmpty()) return true;
    const us = Math.max(0, Math.ceil(timeoutMs * 1000));
    this.#timespec[0] = BigInt(Math.floor(us / 1e6));
    this.#timespec[1] = BigInt((us % 1e6) * 1000);
    // The word is set before poll(2) looks once more: no record that was written before it was set is missed.
    Atomics.store(this.#asleep, 0, 1);
    // A failure (a signal, no memory) ends the wait early, which a caller has to expect anyway.
    await ppollOnPool(this.#pollfds.address, 2, this.#timeout.address);
    Atomics.store(this.#asleep, 0, 0);
    return !this.#stopped && !this.#records.isEmpty();
  }

  stop(): void {
    this.#stopped = true;
    this.#wake.signal();
  }

  close(): void {
    this.#wake.close();
  }
}

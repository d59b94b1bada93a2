// SPDX-License-Identifier: Apache-2.0
import { fstatSync, readFileSync } from 'node:fs';
import type { LeaseWriter } from '../../../director/ports.ts';
import type { LeaseReader, PublisherReader } from '../../../engine/engine.ts';
import { leaseSlots, Sign, signs } from '../../../model/lease.ts';
import {
  checked,
  close,
  fcntl,
  ftruncate,
  MAP_SHARED,
  memfd_create,
  memoryAt,
  mmap,
  pinnedMemory,
  ppoll,
} from '../libc.ts';

// A u64 of CLOCK_MONOTONIC nanoseconds per slot.
const bytesPerSlot = 8;
/** Follows the leases: counts how often the engine has begun or ended a round, so it is odd while it may be sending. */
const roundWord = leaseSlots * 2;
/** After the round word: since when each lease has been held without a break. Only the program in the kernel reads it. */
const sinceSlot = leaseSlots + 1;
/** Then the signs of life, and last the numbers of the event batches that the portable engine's publisher has sent and released. */
const signSlot = sinceSlot + leaseSlots;
const takenWord = 2 * (signSlot + signs);
const releasedWord = takenWord + 1;
const length = (signSlot + signs + 1) * bytesPerSlot;

/** A round takes well under a millisecond; an engine that was descheduled in the middle of one gets this long. */
const roundEndMsMax = 10;
const roundLookNs = 200_000n;

// linux/memfd.h, linux/fcntl.h
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
const F_SEAL_SEAL = 1;
const F_SEAL_SHRINK = 2;
const F_SEAL_GROW = 4;

// linux/bpf.h
const BPF_MAP_TYPE_ARRAY = 2;
const BPF_F_MMAPABLE = 0x400;

const nsMax = (1n << 63n) - 1n;
/** Later than any time: it stands for a word without an end. */
const endlessMs = 9e12;

/**
 * The lease array in memory shared by processes: the director creates it, the vrrp process (given the descriptor) and
 * the engine thread attach to it. With the xdp engine it is a BPF array of u64, which the program reads. It lives as
 * long as a process holds the descriptor or a mapping; mappings are never undone, since a view of unmapped memory kills
 * the process that touches it.
 */
export class LeaseMemory implements LeaseWriter, LeaseReader, PublisherReader {
  readonly fd: number;
  readonly #untilNs: BigInt64Array;
  /** The same slots as pairs of (low, high) words, and the round word: reading them allocates no BigInt. */
  readonly #words: Int32Array;
  /** struct timespec { i64 seconds, nanoseconds; } */
  readonly #pause = pinnedMemory(16);

  /** CLOCK_MONOTONIC: when each lease in `untilNs` began, which the program in the kernel cannot observe itself. */
  readonly #sinceNs: BigInt64Array;
  readonly #signsNs: BigInt64Array;

  private constructor(fd: number) {
    this.fd = fd;
    const memory = memoryAt(mmap(0, length, MAP_SHARED, fd, 'map the lease memory'), length);
    this.#untilNs = new BigInt64Array(memory, 0, leaseSlots);
    this.#sinceNs = new BigInt64Array(memory, sinceSlot * bytesPerSlot, leaseSlots);
    this.#signsNs = new BigInt64Array(memory, signSlot * bytesPerSlot, signs);
    this.#words = new Int32Array(memory);
    new BigInt64Array(this.#pause.bytes.buffer)[1] = roundLookNs;
  }

  static create(): LeaseMemory {
    const purpose = 'create the lease memory';
    const fd = checked('memfd_create', memfd_create('baton-lease', MFD_CLOEXEC | MFD_ALLOW_SEALING), purpose);
    checked('ftruncate', ftruncate(fd, length), purpose);
    // A file that shrinks under a mapping turns reads into SIGBUS.
    checked('fcntl', fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), purpose);
    return new LeaseMemory(fd);
  }

  /**
   * Attaches to an inherited descriptor: that of the memory that `create` made, or of a BPF array that can be mapped.
   * Throws a sentence when it is neither.
   */
  static attach(fd: number): LeaseMemory {
    if (mappableArrayLength(fd) >= length) return new LeaseMemory(fd);
    const seals = fcntl(fd, F_GET_SEALS, 0);
    if (seals === -1 || (seals & F_SEAL_SHRINK) === 0 || fstatSync(fd).size !== length) {
      throw new Error(`descriptor ${fd} is not the lease memory; the director passes it when it starts the process`);
    }
    return new LeaseMemory(fd);
  }

  grant(slot: number, untilMs: number): void {
    const index = checkedSlot(slot);
    // This word is stored first: a reader that sees the lease must see its beginning too.
    const nowNs = process.hrtime.bigint();
    if (Atomics.load(this.#untilNs, index) <= nowNs) Atomics.store(this.#sinceNs, index, nowNs);
    Atomics.store(this.#untilNs, index, nanoseconds(untilMs));
  }

  /**
   * Returns when no frame can leave under the lease any more: a round that read it before the revocation has ended, or
   * `roundEndMsMax` has passed. Only then may a peer be told that the address is free.
   */
  revoke(slot: number): void {
    Atomics.store(this.#untilNs, checkedSlot(slot), 0n);
    const round = Atomics.load(this.#words, roundWord);
    const looksMax = roundEndMsMax / (Number(roundLookNs) / 1e6);
    // Rounds that begin later read the lease later (both sides are sequentially consistent), so one change is enough.
    for (let i = 0; i < looksMax && (round & 1) === 1 && Atomics.load(this.#words, roundWord) === round; i += 1) {
      ppoll(0, 0, this.#pause.address, 0);
    }
  }

  /** Called by the engine: from here on frames may be sent under the leases as they are read. */
  beginRound(): void {
    Atomics.add(this.#words, roundWord, 1);
  }

  /** Called by the engine: every frame of the round has left, or was discarded. */
  endRound(): void {
    Atomics.add(this.#words, roundWord, 1);
  }

  validUntilMs(slot: number): number {
    return slot < 0 || slot >= leaseSlots ? 0 : this.#readMs(slot);
  }

  /** A part is alive until then, in monotonic milliseconds; Infinity: nobody watches it. */
  sign(part: Sign, untilMs: number): void {
    Atomics.store(this.#signsNs, part, nanoseconds(untilMs));
  }

  /** Infinity when nobody watches the part; 0 when it has never signed. */
  signedUntilMs(part: Sign): number {
    const ns = Atomics.load(this.#signsNs, part);
    return ns === nsMax ? Number.POSITIVE_INFINITY : Number(ns) / 1e6;
  }

  publisherUntilMs(): number {
    const untilMs = this.#readMs(signSlot + Sign.publisher);
    return untilMs >= endlessMs ? Number.POSITIVE_INFINITY : untilMs;
  }

  peerUntilMs(): number {
    return this.#readMs(signSlot + Sign.peer);
  }

  takenBatch(): number {
    return Atomics.load(this.#words, takenWord);
  }

  /** Called by the portable engine's publisher: this batch of events has left for the peers. */
  takeBatch(number: number): void {
    Atomics.store(this.#words, takenWord, number);
  }

  releasedBatch(): number {
    return Atomics.load(this.#words, releasedWord);
  }

  /** Called by the portable engine's publisher: the SYNs of this batch and of those before it may go on. */
  releaseBatch(number: number): void {
    Atomics.store(this.#words, releasedWord, number);
  }

  /** Closes the descriptor. The mapping stays until the process ends. */
  close(): void {
    close(this.fd);
  }

  /**
   * Reads the halves of a u64 separately, the high one twice: a mixture arises only from a revocation and a grant between
   * the two reads, and then it is shorter than the granted lease, never longer.
   */
  #readMs(slot: number): number {
    const words = this.#words;
    for (;;) {
      const high = Atomics.load(words, 2 * slot + 1);
      const low = Atomics.load(words, 2 * slot) >>> 0;
      if (Atomics.load(words, 2 * slot + 1) === high) return (high * 0x1_0000_0000 + low) / 1e6;
    }
  }
}

/** Bytes of a BPF array whose values are whole u64 words; 0 for any other descriptor (fs/proc/fd.c, syscall.c). */
function mappableArrayLength(fd: number): number {
  let text: string;
  try {
    text = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
  } catch {
    return 0;
  }
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s*(\\w+)$`, 'm').exec(text)?.[1]);
  const valueSize = field('value_size');
  const isMappable = field('map_type') === BPF_MAP_TYPE_ARRAY && (field('map_flags') & BPF_F_MMAPABLE) !== 0;
  return isMappable && valueSize % bytesPerSlot === 0 ? valueSize * field('max_entries') : 0;
}

function nanoseconds(untilMs: number): bigint {
  return untilMs >= endlessMs ? nsMax : BigInt(Math.max(0, Math.floor(untilMs * 1e6)));
}

function checkedSlot(slot: number): number {
  if (!Number.isInteger(slot) || slot < 0 || slot >= leaseSlots) {
    throw new RangeError(`lease slot ${slot} is not within 0..${leaseSlots - 1}`);
  }
  return slot;
}

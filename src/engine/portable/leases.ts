// SPDX-License-Identifier: Apache-2.0
import type { LeaseReader } from '../engine.ts';

/**
 * The leases as one batch of frames sees them: read when the batch begins, and again before any of its frames leaves,
 * because a process may be frozen in between for longer than a lease lasts.
 */
export class Leases {
  readonly #reader: LeaseReader;
  #gracePeriodMs = 0;
  #recordsExpectedUntilMs = 0;
  /** By slot; the slots that the configuration names. */
  #slots: readonly number[] = [];
  #validUntilMs = new Float64Array(0);
  #takenOverAtMs = new Float64Array(0);
  /** Slots under which the present batch has queued a frame. */
  #used = new Uint8Array(0);
  #nowMs = 0;

  constructor(reader: LeaseReader) {
    this.#reader = reader;
  }

  configure(slots: Iterable<number>, gracePeriodMs: number): void {
    this.#slots = [...new Set(slots)].filter((slot) => slot >= 0);
    this.#gracePeriodMs = gracePeriodMs;
    const length = Math.max(0, ...this.#slots.map((slot) => slot + 1), this.#used.length);
    const validUntilMs = new Float64Array(length);
    const takenOverAtMs = new Float64Array(length).fill(Number.NEGATIVE_INFINITY);
    validUntilMs.set(this.#validUntilMs);
    takenOverAtMs.set(this.#takenOverAtMs);
    this.#validUntilMs = validUntilMs;
    this.#takenOverAtMs = takenOverAtMs;
    this.#used = new Uint8Array(length);
  }

  /** Begins a batch. A slot that is valid now, and was not when the last batch began, has been taken over. */
  read(nowMs: number): void {
    for (const slot of this.#slots) {
      const untilMs = this.#reader.validUntilMs(slot);
      const wasValid = this.#validUntilMs[slot]! > this.#nowMs;
      if (!wasValid && untilMs > nowMs) this.#takenOverAtMs[slot] = nowMs;
      this.#validUntilMs[slot] = untilMs;
      this.#used[slot] = 0;
    }
    this.#nowMs = nowMs;
  }

  /** `endlessLease` is less than every slot. */
  isValid(slot: number): boolean {
    return slot < 0 || this.#validUntilMs[slot]! > this.#nowMs;
  }

  /** Until this time, in monotonic milliseconds, connections may be on their way to the table under any lease. */
  set recordsExpectedUntilMs(untilMs: number) {
    this.#recordsExpectedUntilMs = untilMs;
  }

  inGrace(slot: number): boolean {
    if (this.#recordsExpectedUntilMs > this.#nowMs) return true;
    return slot >= 0 && this.#nowMs - this.#takenOverAtMs[slot]! < this.#gracePeriodMs;
  }

  /** When the lease was taken over, in monotonic milliseconds; undefined: it has been valid from the first. */
  takenOverAtMs(slot: number): number | undefined {
    const atMs = slot < 0 ? Number.NEGATIVE_INFINITY : this.#takenOverAtMs[slot]!;
    return atMs === Number.NEGATIVE_INFINITY ? undefined : atMs;
  }

  /** A frame has been queued on the strength of this lease. */
  use(slot: number): void {
    if (slot >= 0) this.#used[slot] = 1;
  }

  /** Whether a lease that the present batch relied on has run out since it began. */
  haveLapsed(nowMs: number): boolean {
    for (const slot of this.#slots) {
      if (this.#used[slot] === 1 && this.#reader.validUntilMs(slot) <= nowMs) return true;
    }
    return false;
  }
}

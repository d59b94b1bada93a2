// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../../src/lib/clock.ts';

interface Task {
  readonly atMs: number;
  readonly run: () => void;
}

/**
 * A clock that moves only when told to. Tasks run at exactly their time, in order of time and then of registration, on
 * the caller's stack: the same program gives the same run every time.
 */
export class SimulatedTime implements Clock {
  #nowMs: number;
  /** Sorted: the earliest first. */
  readonly #tasks: Task[] = [];

  constructor(startMs = 0) {
    this.#nowMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  /** A task whose time has passed already runs at the next advance, still in its turn, never from within this call. */
  callAt(atMs: number, run: () => void): () => void {
    if (Number.isNaN(atMs)) throw new RangeError('a task needs a time');
    const task: Task = { atMs: Math.max(atMs, this.#nowMs), run };
    this.#tasks.splice(this.#placeOf(task), 0, task);
    return () => {
      const index = this.#tasks.indexOf(task);
      if (index >= 0) this.#tasks.splice(index, 1);
    };
  }

  /** When the next task is due; undefined when there is none. */
  nextTaskMs(): number | undefined {
    return this.#tasks[0]?.atMs;
  }

  get pendingCount(): number {
    return this.#tasks.length;
  }

  /** Runs all that is due up to and including `untilMs`, also what those tasks ask for, then stands at `untilMs`. */
  advanceTo(untilMs: number): void {
    if (untilMs < this.#nowMs)
      throw new RangeError(`time stands at ${this.#nowMs} ms and cannot go back to ${untilMs}`);
    while (this.#runNext(untilMs));
    this.#nowMs = untilMs;
  }

  advanceBy(durationMs: number): void {
    this.advanceTo(this.#nowMs + durationMs);
  }

  /**
   * Runs task after task until `condition` holds, and stands at the time it came to hold. Returns whether it did before
   * `limitMs` (an absolute time) or the last task; without it, time stands at the limit.
   */
  runUntil(condition: () => boolean, limitMs = Number.POSITIVE_INFINITY): boolean {
    while (!condition()) {
      if (this.#runNext(limitMs)) continue;
      if (Number.isFinite(limitMs)) this.#nowMs = Math.max(this.#nowMs, limitMs);
      return condition();
    }
    return true;
  }

  #runNext(limitMs: number): boolean {
    const task = this.#tasks[0];
    if (task === undefined || task.atMs > limitMs) return false;
    this.#tasks.shift();
    this.#nowMs = task.atMs;
    task.run();
    return true;
  }

  #placeOf(task: Task): number {
    let low = 0;
    let high = this.#tasks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#tasks[middle]!.atMs <= task.atMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

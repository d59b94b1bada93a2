// SPDX-License-Identifier: Apache-2.0
import { ways } from './limits.ts';
import type { Mailbox } from './mailbox.ts';
import type { TableSpan } from './table-span.ts';

/** The sweep passes every entry about this often. */
export const sweepPeriodMs = 1_000;
/** A bound on the slots of one run, about 0.1 ms in which its processor forwards nothing. */
export const runSlotsMax = 4_096;
/** A bound on the slots of one call: a larger table takes longer than `sweepPeriodMs`. */
const callSlotsMax = 131_072;

/** Expires and refreshes entries, a share of the tables at a time. */
export class Sweep {
  readonly #mailbox: Pick<Mailbox, 'sweep'>;
  readonly #span: Pick<TableSpan, 'end' | 'tableEnd' | 'isEmptyAt'>;
  #cursor = 0;
  #round = 0;
  #sweptAtMs = Number.NaN;

  constructor(mailbox: Pick<Mailbox, 'sweep'>, span: Pick<TableSpan, 'end' | 'tableEnd' | 'isEmptyAt'>) {
    this.#mailbox = mailbox;
    this.#span = span;
  }

  /** How many rounds are complete. */
  get round(): number {
    return this.#round;
  }

  /** Sweeps a share of the tables in proportion to the time since the last call. */
  advance(nowMs: number): void {
    const elapsedMs = Number.isNaN(this.#sweptAtMs) ? 0 : nowMs - this.#sweptAtMs;
    this.#sweptAtMs = nowMs;
    const share = Math.ceil((this.#span.end * Math.min(elapsedMs, sweepPeriodMs)) / sweepPeriodMs);
    for (let left = Math.min(share, callSlotsMax); left > 0; left -= this.#step(left)) {
      if (this.#cursor < this.#span.end) continue;
      this.#cursor = 0;
      this.#round += 1;
    }
  }

  /** Passes at most `left` slots, rounded up to whole buckets. Returns how many. */
  #step(left: number): number {
    const from = this.#cursor;
    const span = Math.min(Math.ceil(left / ways) * ways, this.#span.tableEnd(from) - from);
    if (this.#span.isEmptyAt(from)) this.#cursor = from + span;
    else this.#cursor = this.#mailbox.sweep(from, Math.min(span, runSlotsMax), this.#round) ?? this.#span.end;
    return Math.max(1, this.#cursor - from);
  }
}

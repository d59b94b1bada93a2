// SPDX-License-Identifier: Apache-2.0
import { type ApplyOutcome, addOutcomes, type ConnectionPort, nothingApplied } from '../../engine/engine.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { recordWords } from '../../model/connection-batch.ts';

/** Sums since the start, and the number of records that are waiting. */
export interface ApplyTotals extends ApplyOutcome {
  readonly failures: number;
  readonly queuedRecords: number;
}

export interface ApplyQueueOptions {
  readonly connections: ConnectionPort;
  readonly clock: Clock;
  readonly log: Log;
  /** The most records that may wait. */
  readonly recordsMax: number;
  /** Between attempts when a batch could not be written. */
  readonly retryMs: number;
  /** `batches` further batches are in the table. */
  readonly onApplied: (batches: number) => void;
}

/** The most records in one write: a batch that arrives during a write waits no longer than that takes. */
const writeRecordsMax = 8192;

/** Writes batches into the table in order: one write at a time, the batches that arrive meanwhile in the next one. */
export class ApplyQueue {
  readonly #options: ApplyQueueOptions;
  #waiting: Int32Array[] = [];
  #queuedRecords = 0;
  #writing = false;
  #closed = false;
  #outcome = nothingApplied;
  #failures = 0;

  constructor(options: ApplyQueueOptions) {
    this.#options = options;
  }

  /** False when it is full. */
  push(batch: Int32Array): boolean {
    const records = batch.length / recordWords;
    if (this.#queuedRecords > 0 && this.#queuedRecords + records > this.#options.recordsMax) return false;
    this.#queuedRecords += records;
    this.#waiting.push(batch);
    this.#writeNext();
    return true;
  }

  totals(): ApplyTotals {
    return { ...this.#outcome, failures: this.#failures, queuedRecords: this.#queuedRecords };
  }

  close(): void {
    this.#closed = true;
  }

  #writeNext(): void {
    if (this.#writing || this.#closed || this.#waiting.length === 0) return;
    this.#writing = true;
    const { batch, batches } = this.#gather();
    this.#write(batch, batches);
  }

  #write(batch: Int32Array, batches: number): void {
    // Counted before the write, since a port that transfers the memory to another thread leaves an empty array here.
    const records = batch.length / recordWords;
    this.#options.connections.applyBatch(batch).then(
      (outcome) => {
        this.#writing = false;
        this.#queuedRecords -= records;
        this.#outcome = addOutcomes(this.#outcome, outcome);
        this.#options.onApplied(batches);
        this.#writeNext();
      },
      (error: unknown) => {
        if (this.#closed) return;
        this.#failures += 1;
        const { clock, log, retryMs } = this.#options;
        log('warn', `connection entries could not be written to the table, trying again: ${String(error)}`);
        clock.callAt(clock.nowMs() + retryMs, () => {
          if (!this.#closed) this.#write(batch, batches);
        });
      },
    );
  }

  /** Takes whole batches from the front: as many as fit into one write, at least one. */
  #gather(): { batch: Int32Array; batches: number } {
    let words = 0;
    let batches = 0;
    for (const one of this.#waiting) {
      if (batches > 0 && words + one.length > writeRecordsMax * recordWords) break;
      words += one.length;
      batches += 1;
    }
    const taken = this.#waiting.slice(0, batches);
    this.#waiting = this.#waiting.slice(batches);
    if (batches === 1) return { batch: taken[0]!, batches };
    const batch = new Int32Array(words);
    let at = 0;
    for (const one of taken) {
      batch.set(one, at);
      at += one.length;
    }
    return { batch, batches };
  }
}

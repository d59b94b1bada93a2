// SPDX-License-Identifier: Apache-2.0
import type { ConnectionPort } from '../../engine/engine.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { ConnectionEvent, RecordFlag, RecordOffset, recordWords, withEvent } from '../../model/connection-batch.ts';

export interface TableResendOptions {
  readonly connections: ConnectionPort;
  readonly clock: Clock;
  readonly log: Log;
  /** Sends upserts to the peers. */
  readonly publish: (batch: Int32Array) => void;
}

const recordsPerPage = 2048;
/** Between two pages: a reader that could not keep up with the events must not be flooded with the table. */
const pageSpacingMs = 20;

/**
 * After events were lost: sends every local entry of the table again. Entries that peers have and the table no longer
 * has expire at the peers by their own timeout.
 */
export class TableResend {
  readonly #options: TableResendOptions;
  #running = false;
  #again = false;
  #closed = false;

  constructor(options: TableResendOptions) {
    this.#options = options;
  }

  /** A start during a resend makes another one follow, because entries of pages already read may have changed. */
  start(): void {
    if (this.#running) this.#again = true;
    else {
      this.#running = true;
      this.#options.log('warn', 'connection events were lost; the table is sent to the peers again');
      this.#next(0);
    }
  }

  close(): void {
    this.#closed = true;
  }

  #next(cursor: number): void {
    const { connections, publish, log } = this.#options;
    connections.exportPage(cursor, recordsPerPage).then(
      ({ batch, next }) => {
        if (this.#closed) return;
        const local = localUpserts(batch);
        if (local.length > 0) publish(local);
        if (next !== undefined) this.#after(next);
        else if (this.#again) {
          this.#again = false;
          this.#after(0);
        } else this.#running = false;
      },
      (error: unknown) => {
        if (this.#closed) return;
        log('warn', `a page of the connection table could not be read, trying again: ${String(error)}`);
        this.#after(cursor);
      },
    );
  }

  #after(cursor: number): void {
    const { clock } = this.#options;
    clock.callAt(clock.nowMs() + pageSpacingMs, () => {
      if (!this.#closed) this.#next(cursor);
    });
  }
}

function localUpserts(batch: Int32Array): Int32Array {
  const chosen = new Int32Array(batch.length);
  let words = 0;
  for (let at = 0; at < batch.length; at += recordWords) {
    const head = batch[at + RecordOffset.head]!;
    if ((head & RecordFlag.local) === 0) continue;
    chosen.set(batch.subarray(at, at + recordWords), words);
    chosen[words + RecordOffset.head] = withEvent(head, ConnectionEvent.upsert);
    words += recordWords;
  }
  return chosen.slice(0, words);
}

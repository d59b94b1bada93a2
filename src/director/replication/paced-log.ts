// SPDX-License-Identifier: Apache-2.0
import type { Log, LogLevel } from '../../lib/log.ts';

interface Line {
  readonly loggedMs: number;
  leftOut: number;
  /** The last one that was left out. */
  latest: { readonly level: LogLevel; readonly sentence: string; readonly fields: Readonly<Record<string, unknown>> };
}

/** A datagram can cause a line of one kind at most this often. */
const periodMs = 1000;

/**
 * Passes a line on at once, and a later one of its kind a second after that, with the number of those left out. What a
 * stranger sends would otherwise fill the disk.
 */
export class PacedLog {
  readonly #log: Log;
  /** By kind, of which there are few: it must not quote what a datagram says. */
  readonly #lines = new Map<string, Line>();

  constructor(log: Log) {
    this.#log = log;
  }

  write(kind: string, latest: Line['latest'], nowMs: number): void {
    const line = this.#lines.get(kind);
    if (line !== undefined) {
      line.leftOut += 1;
      line.latest = latest;
      return;
    }
    this.#log(latest.level, latest.sentence, latest.fields);
    this.#lines.set(kind, { loggedMs: nowMs, leftOut: 0, latest });
  }

  /** To be called often: logs what was left out and is due. */
  flush(nowMs: number): void {
    for (const [kind, { loggedMs, leftOut, latest }] of this.#lines) {
      if (nowMs < loggedMs + periodMs) continue;
      if (leftOut === 0) {
        this.#lines.delete(kind);
        continue;
      }
      const more = leftOut === 1 ? '' : ` (the last of ${leftOut} such changes within a second)`;
      this.#log(latest.level, `${latest.sentence}${more}`, latest.fields);
      this.#lines.set(kind, { loggedMs: nowMs, leftOut: 0, latest });
    }
  }
}

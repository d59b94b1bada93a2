// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../lib/clock.ts';
import type { LogLevel } from '../lib/log.ts';

/** Datagrams can cause a line at most this often. */
const periodMs = 1000;
/** So many different lines are told apart; beyond that, all further ones count as one. */
const linesMax = 256;

/** `about`: what a log takes beside the sentence. */
type Write<About> = (level: LogLevel, sentence: string, about: About) => void;

interface Line<About> {
  /** From then on the next one is passed on at once. */
  untilMs: number;
  /** The last one that was left out, and how many were. */
  last: Parameters<Write<About>> | undefined;
  leftOut: number;
}

/**
 * Passes a line on at once, and then the same kind of line at most once a second, with a count of those that were left
 * out. What a stranger sends would otherwise fill the disk, and the
 * time of the thread.
 */
export class BoundedLog<About> {
  readonly #clock: Clock;
  readonly #log: Write<About>;
  readonly #lines = new Map<string, Line<About>>();
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, log: Write<About>) {
    this.#clock = clock;
    this.#log = log;
  }

  /** `kind` names the line among all others; it must not quote what a datagram says. */
  write(kind: string, ...sentence: Parameters<Write<About>>): void {
    const nowMs = this.#clock.nowMs();
    const key = this.#lines.has(kind) || this.#lines.size < linesMax ? kind : '';
    const line = this.#lines.get(key);
    if (line !== undefined && nowMs < line.untilMs) {
      line.last = sentence;
      line.leftOut += 1;
      this.#arm(nowMs);
      return;
    }
    this.#pass(key, sentence, line?.leftOut ?? 0);
  }

  #pass(key: string, [level, sentence, about]: Parameters<Write<About>>, leftOut: number): void {
    this.#lines.set(key, { untilMs: this.#clock.nowMs() + periodMs, last: undefined, leftOut: 0 });
    this.#log(level, leftOut === 0 ? sentence : `${sentence} (${leftOut} more such lines were left out)`, about);
  }

  /** What was left out stays unsaid. */
  close(): void {
    this.#cancel?.();
  }

  #arm(nowMs: number): void {
    this.#cancel ??= this.#clock.callAt(nowMs + periodMs, () => this.#sayLeftOut());
  }

  #sayLeftOut(): void {
    this.#cancel = undefined;
    const nowMs = this.#clock.nowMs();
    for (const [key, line] of this.#lines) {
      if (line.untilMs > nowMs) {
        if (line.leftOut > 0) this.#arm(nowMs);
        continue;
      }
      if (line.last === undefined) this.#lines.delete(key);
      else this.#pass(key, line.last, line.leftOut - 1);
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../../lib/clock.ts';

const lookPeriodMs = 50;
/** A timer of a running process is seldom later. */
const latenessMaxMs = 10;

/** Notices that this process has stood still: stopped, starved, or on a host that was. */
export class PauseWatch {
  readonly #clock: Clock;
  readonly #onPause: (forMs: number) => void;
  #lookedAtMs: number;
  #cancel: () => void;

  /** `onPause` gets the length of the pause, and at most a look's period more. */
  constructor(clock: Clock, onPause: (forMs: number) => void) {
    this.#clock = clock;
    this.#onPause = onPause;
    this.#lookedAtMs = clock.nowMs();
    this.#cancel = this.#arm();
  }

  /** To be called before anything that must not come before the pause: timers that it has made late. */
  look(): void {
    const nowMs = this.#clock.nowMs();
    const forMs = nowMs - this.#lookedAtMs;
    this.#lookedAtMs = nowMs;
    if (forMs > lookPeriodMs + latenessMaxMs) this.#onPause(forMs);
  }

  end(): void {
    this.#cancel();
  }

  #arm(): () => void {
    return this.#clock.callAt(this.#clock.nowMs() + lookPeriodMs, () => {
      this.#cancel = this.#arm();
      this.look();
    });
  }
}

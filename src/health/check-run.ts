// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../lib/clock.ts';
import type { HealthCheck } from '../model/configuration.ts';
import { type CheckState, hastenCheck, newCheck, nextDeadline, retimeCheck, stepCheck } from './check-machine.ts';
import type { Slots } from './slots.ts';

/** Makes one attempt. Resolves with the reason why it failed, or undefined. Never rejects. */
export type Attempt = (check: HealthCheck) => Promise<string | undefined>;

export interface CheckRunParts {
  readonly clock: Clock;
  readonly slots: Slots;
  readonly attempt: Attempt;
  /** Called when the check goes up or down, with the reason. */
  readonly onVerdict: (up: boolean, reason: string) => void;
}

/** Drives one check: begins attempts when they are due and a slot is free, and gives up those that do not end. */
export class CheckRun {
  readonly #parts: CheckRunParts;
  #check: HealthCheck;
  #state: CheckState;
  #cancelTimer: () => void = () => {};
  #cancelSlot: () => void = () => {};
  #releaseSlot: () => void = () => {};
  /** An attempt that was given up still has not ended: no other is begun beside it. */
  #lost = false;
  #stopped = false;
  /** An attempt has ended: one that has never been made keeps to its warmup. */
  #attempted = false;

  constructor(check: HealthCheck, jitter: number, parts: CheckRunParts) {
    this.#parts = parts;
    this.#check = check;
    this.#state = newCheck(check, jitter, parts.clock.nowMs());
    this.#arm();
  }

  get up(): boolean {
    return this.#state.up;
  }

  /** When its next turn is, in monotonic milliseconds; a turn that waits for a slot is due already. */
  get dueAtMs(): number {
    return nextDeadline(this.#state);
  }

  retime(check: HealthCheck): void {
    this.#check = check;
    this.#state = retimeCheck(this.#state, check, this.#parts.clock.nowMs());
    this.#arm();
  }

  /** Makes the next attempt at once if the last one has left it down. */
  hasten(): void {
    if (!this.#attempted || this.#stopped) return;
    this.#state = hastenCheck(this.#state, this.#parts.clock.nowMs());
    this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer();
    this.#cancelSlot();
    this.#releaseSlot();
  }

  #arm(): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#parts.clock.callAt(nextDeadline(this.#state), () => this.#onDeadline());
  }

  #onDeadline(): void {
    if (this.#stopped) return;
    if (this.#state.phase === 'running') {
      this.#lost = true;
      this.#finish('the check did not come back in time');
    } else if (this.#lost) {
      this.#finish('an earlier check still has not come back');
    } else {
      this.#cancelSlot();
      this.#cancelSlot = this.#parts.slots.take((release) => this.#begin(release));
    }
  }

  #begin(release: () => void): void {
    this.#releaseSlot = release;
    this.#state = stepCheck(this.#state, this.#check, 'begun', this.#parts.clock.nowMs());
    const begun = this.#state;
    this.#arm();
    void this.#parts.attempt(this.#check).then((reason) => {
      if (this.#stopped) return;
      this.#lost = false;
      // An attempt that was given up in the meantime has already counted as failed.
      if (this.#state === begun) this.#finish(reason);
    });
  }

  #finish(reason: string | undefined): void {
    this.#attempted = true;
    this.#releaseSlot();
    const wasUp = this.#state.up;
    const event = reason === undefined ? 'succeeded' : 'failed';
    this.#state = stepCheck(this.#state, this.#check, event, this.#parts.clock.nowMs());
    this.#arm();
    if (this.#state.up !== wasUp) this.#parts.onVerdict(this.#state.up, reason ?? 'the check succeeded');
  }
}

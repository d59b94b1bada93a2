// SPDX-License-Identifier: Apache-2.0
import type { LeaseReader } from '../../engine/engine.ts';
import type { Clock } from '../../lib/clock.ts';
import { engineLifeSlot } from '../../model/lease.ts';

/** An engine thread that has given no sign of life for this long counts as one that forwards nothing. */
export const engineSilenceMaxMs = 500;

const watchPeriodMs = 50;
/** This process itself did not run for so long: the engine may not have either, and gets the time to sign. */
const ownPauseMs = 150;

export interface EngineWatchParts {
  readonly clock: Clock;
  readonly leases: LeaseReader;
  /** Nothing is forwarded here: active virtual routers must resign. Called at every look for as long as that lasts. */
  readonly onSilent: () => void;
  readonly onAlive: () => void;
}

/**
 * Watches from the vrrp process whether the director's engine still runs. Advertisements alone would keep the addresses
 * at a director whose data path hangs, or whose main process was stopped.
 */
export function watchEngine({ clock, leases, onSilent, onAlive }: EngineWatchParts): void {
  let silent = false;
  let lookedAtMs = clock.nowMs();
  let blindUntilMs = 0;
  const look = (): void => {
    const nowMs = clock.nowMs();
    if (nowMs - lookedAtMs > ownPauseMs) blindUntilMs = nowMs + engineSilenceMaxMs;
    lookedAtMs = nowMs;
    if (leases.validUntilMs(engineLifeSlot) <= nowMs) {
      silent ||= nowMs >= blindUntilMs;
      if (silent) onSilent();
    } else if (silent) {
      silent = false;
      onAlive();
    }
    clock.callAt(nowMs + watchPeriodMs, look);
  };
  look();
}

// SPDX-License-Identifier: Apache-2.0
import type { LeaseReader } from '../../engine/engine.ts';
import type { Clock } from '../../lib/clock.ts';
import { engineLifeSlot } from '../../model/lease.ts';

/** An engine thread that has given no sign of life for this long counts as one that forwards nothing. */
export const engineSilenceMaxMs = 500;

const watchPeriodMs = 50;

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
  const look = (): void => {
    const nowMs = clock.nowMs();
    if (leases.validUntilMs(engineLifeSlot) <= nowMs) {
      silent = true;
      onSilent();
    } else if (silent) {
      silent = false;
      onAlive();
    }
    clock.callAt(nowMs + watchPeriodMs, look);
  };
  look();
}

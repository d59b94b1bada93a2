// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../../lib/clock.ts';

const lookPeriodMs = 50;
/** A timer of a running process is seldom later. */
const latenessMaxMs = 10;

/**
 * Notices that this process has stood still: stopped, starved, or on a host that was. Its looks are more frequent than any
 * other timer that waits for somebody else, so that it speaks before those do. Returns a function that ends it.
 */
export function watchPauses(clock: Clock, onPause: (forMs: number) => void): () => void {
  let lookedAtMs = clock.nowMs();
  const look = (): void => {
    const nowMs = clock.nowMs();
    const forMs = nowMs - lookedAtMs;
    lookedAtMs = nowMs;
    cancel = clock.callAt(nowMs + lookPeriodMs, look);
    if (forMs > lookPeriodMs + latenessMaxMs) onPause(forMs);
  };
  let cancel = clock.callAt(lookedAtMs + lookPeriodMs, look);
  return () => cancel();
}

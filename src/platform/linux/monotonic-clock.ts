// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../../lib/clock.ts';

// A longer delay makes setTimeout fire at once (with a warning); the wait is cut into pieces of at most this.
const delayMsMax = 0x7fff_ffff;

/** CLOCK_MONOTONIC: `process.hrtime` reads it, so the values compare with those of other processes and the kernel. */
export class MonotonicClock implements Clock {
  nowMs(): number {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1000 + nanoseconds / 1e6;
  }

  callAt(atMs: number, task: () => void): () => void {
    let timer: NodeJS.Timeout | undefined;
    const arm = (): void => {
      // Rounded up: setTimeout takes whole milliseconds, counts from the loop's cached time and so may fire early.
      const delayMs = Math.min(Math.max(Math.ceil(atMs - this.nowMs()), 0), delayMsMax);
      timer = setTimeout(fire, delayMs);
    };
    const fire = (): void => {
      if (this.nowMs() >= atMs) task();
      else arm();
    };
    arm();
    return () => clearTimeout(timer);
  }
}

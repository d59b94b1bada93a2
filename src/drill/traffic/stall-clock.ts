// SPDX-License-Identifier: Apache-2.0

/** Why a session is broken. */
export type Breakage = 'reset' | 'closed' | 'corrupted' | 'stalled';

/** Watches one direction of one session. All times are milliseconds of one monotonic clock. */
export interface StallClock {
  progress(nowMs: number): void;
  /** The milliseconds for which the direction has been silent beyond the period. */
  stalledMs(nowMs: number): number;
  /** The longest such silence since `reset`, one that still lasts included. */
  longestMs(nowMs: number): number;
  reset(nowMs: number): void;
}

/** The longest stall of each session, as one of its ends has seen it: two arrays of the same length. */
export interface StallReport {
  readonly sessions: Uint32Array;
  readonly longestMs: Float64Array;
}

/** `periodMs` is the time between two messages of a direction: that much silence is none. */
export function createStallClock(periodMs: number, nowMs: number): StallClock {
  let lastMs = nowMs;
  let longest = 0;
  const stalledMs = (now: number): number => Math.max(0, now - lastMs - periodMs);
  return {
    progress: (now) => {
      longest = Math.max(longest, stalledMs(now));
      lastMs = now;
    },
    stalledMs,
    longestMs: (now) => Math.max(longest, stalledMs(now)),
    reset: (now) => {
      longest = 0;
      lastMs = Math.max(lastMs, now - periodMs);
    },
  };
}

/** For each session of the first report the longest stall that any of the reports knows. */
export function mergeStalls(first: StallReport, others: readonly StallReport[]): Float64Array {
  const merged = new Map([...first.sessions].map((session, i) => [session, first.longestMs[i]!]));
  for (const { sessions, longestMs } of others) {
    for (const [i, session] of sessions.entries()) {
      const known = merged.get(session);
      if (known !== undefined) merged.set(session, Math.max(known, longestMs[i]!));
    }
  }
  return Float64Array.from(merged.values());
}

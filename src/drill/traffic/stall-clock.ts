// SPDX-License-Identifier: Apache-2.0

/** Why a session is broken. */
export type Breakage = 'reset' | 'closed' | 'corrupted' | 'stalled';

/** Watches one session's progress in both directions. All times are milliseconds of one monotonic clock. */
export interface StallClock {
  /** With the numbers of messages verified here and acknowledged by the other end so far. */
  progress(nowMs: number, verified: number, acknowledged: number): void;
  /** How long the slower direction has been silent beyond the period. */
  stalledMs(nowMs: number): number;
  /** The longest such silence since `reset`, one that still lasts included. */
  longestMs(nowMs: number): number;
  reset(nowMs: number): void;
}

/** `periodMs` is the time between two messages of a direction: that much silence is none. */
export function createStallClock(periodMs: number, nowMs: number): StallClock {
  let verifiedMs = nowMs;
  let acknowledgedMs = nowMs;
  let verifiedCount = 0;
  let acknowledgedCount = 0;
  let longest = 0;
  const stalledMs = (now: number): number => Math.max(0, now - Math.min(verifiedMs, acknowledgedMs) - periodMs);
  return {
    progress: (now, verified, acknowledged) => {
      longest = Math.max(longest, stalledMs(now));
      if (verified > verifiedCount) verifiedMs = now;
      if (acknowledged > acknowledgedCount) acknowledgedMs = now;
      verifiedCount = verified;
      acknowledgedCount = acknowledged;
    },
    stalledMs,
    longestMs: (now) => Math.max(longest, stalledMs(now)),
    reset: (now) => {
      longest = 0;
      verifiedMs = Math.max(verifiedMs, now - periodMs);
      acknowledgedMs = Math.max(acknowledgedMs, now - periodMs);
    },
  };
}

// SPDX-License-Identifier: Apache-2.0

/**
 * Time as an argument. Milliseconds of CLOCK_MONOTONIC with a fraction, the clock of the leases; a simulator has a
 * clock of its own.
 */
export interface Clock {
  nowMs(): number;
  /** Calls `task` once at or after `atMs`, never before. Returns a function that cancels it. */
  callAt(atMs: number, task: () => void): () => void;
}

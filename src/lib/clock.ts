// SPDX-License-Identifier: Apache-2.0

/**
 * Time as an argument. Milliseconds of CLOCK_MONOTONIC (with a fraction), the same clock that leases are written in;
 * in a simulator, whatever the simulation says.
 */
export interface Clock {
  nowMs(): number;
  /** Calls `task` once at or after `atMs`, never before. Returns what cancels it. */
  callAt(atMs: number, task: () => void): () => void;
}

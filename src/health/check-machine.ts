// SPDX-License-Identifier: Apache-2.0
import type { CheckTiming } from '../model/configuration.ts';

/** The state of one check. It includes the check's only deadline. */
export type CheckState = {
  readonly up: boolean;
  /** Attempts that failed while the check was still up. */
  readonly failures: number;
} & (
  | { readonly phase: 'waiting'; readonly dueAtMs: number }
  /** An attempt that has not ended by `givesUpAtMs` counts as failed. */
  | { readonly phase: 'running'; readonly givesUpAtMs: number }
);

export type CheckEvent = 'begun' | 'succeeded' | 'failed';

/** keepalived's BOOTSTRAP_DELAY: no check runs in the first second. */
const bootstrapDelayMs = 1_000;
/** Milliseconds that an attempt may take beyond its own timeout before it is given up. */
const overdueMs = 1_000;

/**
 * A check begins up, or down with `alpha`. `jitter`, in [0, 1), spreads the first attempts over `warmup`, which is one
 * delay_loop unless it is given.
 */
export function newCheck(timing: CheckTiming, jitter: number, nowMs: number): CheckState {
  const dueAtMs = nowMs + bootstrapDelayMs + jitter * (timing.warmupMs ?? timing.delayLoopMs);
  return { phase: 'waiting', up: timing.alpha !== true, failures: 0, dueAtMs };
}

/**
 * keepalived's rules (check_tcp.c): an attempt that fails while the check is up is tried again `retry` times,
 * delay_before_retry apart, then the check is down. An attempt that succeeds brings it up at once. In every other case
 * the next attempt follows after delay_loop.
 * Delays count from the end of an attempt, so that attempts of one check never overlap.
 */
export function stepCheck(state: CheckState, timing: CheckTiming, event: CheckEvent, nowMs: number): CheckState {
  const { up, failures } = state;
  if (event === 'begun') {
    return { phase: 'running', up, failures, givesUpAtMs: nowMs + timing.timeoutMs + overdueMs };
  }
  if (event === 'succeeded') return waiting(true, 0, nowMs + timing.delayLoopMs);
  if (up && failures < timing.retry) return waiting(true, failures + 1, nowMs + timing.delayBeforeRetryMs);
  return waiting(false, 0, nowMs + timing.delayLoopMs);
}

/** For a reload that changed only the timing of a check: the verdict stays, and the new timing applies. */
export function retimeCheck(state: CheckState, timing: CheckTiming, nowMs: number): CheckState {
  if (state.phase === 'running') return state;
  return { ...state, dueAtMs: Math.min(state.dueAtMs, nowMs + timing.delayLoopMs) };
}

/** For a failure whose cause may be gone: a check that is down does not wait for its time. */
export function hastenCheck(state: CheckState, nowMs: number): CheckState {
  if (state.phase === 'running' || state.up) return state;
  return { ...state, dueAtMs: Math.min(state.dueAtMs, nowMs) };
}

export function nextDeadline(state: CheckState): number {
  return state.phase === 'waiting' ? state.dueAtMs : state.givesUpAtMs;
}

function waiting(up: boolean, failures: number, dueAtMs: number): CheckState {
  return { phase: 'waiting', up, failures, dueAtMs };
}

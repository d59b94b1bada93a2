// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newCheck, nextDeadline, retimeCheck, stepCheck } from '../../../src/health/check-machine.ts';

const timing = { timeoutMs: 3_000, retry: 2, delayBeforeRetryMs: 1_000, delayLoopMs: 6_000 };

/** Each attempt takes 100 ms; gives when attempts begin and what the check says after each. */
function story(outcomes: readonly ('succeeded' | 'failed')[], retry = timing.retry): [number, boolean][] {
  const own = { ...timing, retry };
  let state = newCheck(own, 0.5, 0);
  return outcomes.map((outcome) => {
    const begunAtMs = nextDeadline(state);
    state = stepCheck(state, own, 'begun', begunAtMs);
    state = stepCheck(state, own, outcome, begunAtMs + 100);
    return [begunAtMs, state.up];
  });
}

test('a check stays up while it succeeds, every delay_loop', () => {
  assert.deepEqual(story(['succeeded', 'succeeded', 'succeeded']), [
    [4_000, true],
    [10_100, true],
    [16_200, true],
  ]);
});

test('a failure is tried again retry times, then the check is down; a success brings it up at once', () => {
  assert.deepEqual(story(['failed', 'failed', 'failed', 'failed', 'succeeded', 'failed']), [
    [4_000, true],
    [5_100, true],
    [6_200, false],
    [12_300, false],
    [18_400, true],
    [24_500, true],
  ]);
});

test('a success in between resets the count of failures', () => {
  const outcomes = ['failed', 'failed', 'succeeded', 'failed', 'failed', 'failed'] as const;
  assert.deepEqual(
    story(outcomes).map(([, up]) => up),
    [true, true, true, true, true, false],
  );
});

test('without retries one failure is enough', () => {
  assert.deepEqual(story(['failed', 'succeeded'], 0), [
    [4_000, false],
    [10_100, true],
  ]);
});

test('the first check is spread over one delay_loop after the first second', () => {
  assert.deepEqual(
    [0, 0.25, 0.999].map((jitter) => nextDeadline(newCheck(timing, jitter, 10_000))),
    [11_000, 12_500, 16_994],
  );
});

test('an attempt has a deadline of its own, and a shorter delay_loop holds at once', () => {
  const waiting = newCheck(timing, 0.9, 0);
  assert.equal(nextDeadline(stepCheck(waiting, timing, 'begun', 5_000)), 9_000);
  assert.equal(nextDeadline(retimeCheck(waiting, { ...timing, delayLoopMs: 500 }, 0)), 500);
});

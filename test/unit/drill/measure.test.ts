// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Sign } from '../../../src/drill/measure/capture.ts';
import { measureTwoClaims } from '../../../src/drill/measure/claims.ts';
import { longestSilence, measureGap, sliceTimes } from '../../../src/drill/measure/gap.ts';
import { quantiles } from '../../../src/drill/measure/quantile.ts';
import { gapBoundMs } from '../../../src/drill/result.ts';

for (const { what, old, next, expected } of [
  {
    what: 'a gap lasts from the last packet of the old to the first of the new',
    old: [1, 2, 3],
    next: [353, 354],
    expected: { lastOldMs: 3, firstNewMs: 353, gapMs: 350, overlapMs: 0, moves: 1 },
  },
  {
    what: 'one late packet of the old is an overlap',
    old: [1, 2, 8],
    next: [5, 6, 9, 10],
    expected: { lastOldMs: 8, firstNewMs: 5, gapMs: 0, overlapMs: 3, moves: 1 },
  },
  {
    what: 'two that alternate overlap until the old has stopped',
    old: [0, 8, 10, 12, 14, 16],
    next: [9, 11, 13, 15, 17, 18],
    expected: { lastOldMs: 16, firstNewMs: 9, gapMs: 0, overlapMs: 7, moves: 1 },
  },
  {
    what: 'forwarding that moves, moves back and moves for good has not overlapped',
    old: [0, 1, 60, 61],
    next: [40, 45, 100, 101],
    expected: { lastOldMs: 61, firstNewMs: 100, gapMs: 39, overlapMs: 0, moves: 3 },
  },
  {
    what: 'an overlap before an orderly move is counted all the same',
    old: [0, 3, 50],
    next: [1, 20, 100],
    expected: { lastOldMs: 50, firstNewMs: 100, gapMs: 50, overlapMs: 2, moves: 3 },
  },
  { what: 'without a new active there is no gap to measure', old: [1], next: [], expected: undefined },
  { what: 'without an old active there is none either', old: [], next: [1], expected: undefined },
]) {
  test(what, () => {
    assert.deepEqual(measureGap(Float64Array.from(old), Float64Array.from(next)), expected);
  });
}

test('packets are counted per slice, relative to the trigger', () => {
  const slices = sliceTimes(Float64Array.of(90, 98, 99, 101), Float64Array.of(112, 113, 200), 100, {
    fromMs: -5,
    toMs: 15,
    sliceMs: 5,
  });
  assert.deepEqual(slices, [
    { fromMs: -5, old: 2, new: 0 },
    { fromMs: 0, old: 1, new: 0 },
    { fromMs: 5, old: 0, new: 0 },
    { fromMs: 10, old: 0, new: 2 },
  ]);
});

test('quantiles are values that were measured', () => {
  const hundred = Float64Array.from({ length: 100 }, (_, i) => 100 - i);
  assert.deepEqual(quantiles(hundred), { p50: 50, p99: 99, max: 100 });
  assert.deepEqual(quantiles(Float64Array.of(7)), { p50: 7, p99: 7, max: 7 });
  assert.deepEqual(quantiles(new Float64Array()), { p50: 0, p99: 0, max: 0 });
});

test('the bound of the gap follows the advertisement interval only where a failure must be noticed', () => {
  assert.equal(gapBoundMs('failure', 'b', 100), 300 + 60.9375 + 50);
  assert.equal(gapBoundMs('failure', 'b', 1_000), 3_000 + 609.375 + 50);
  assert.equal(gapBoundMs('planned', 'a', 1_000), 50);
  assert.equal(gapBoundMs('silence', 'a', 1_000), 50);
  assert.equal(gapBoundMs('unbounded', 'a', 1_000), undefined);
});

test('the longest silence is between two packets of either director, or at an edge', () => {
  const [left, right] = [Float64Array.of(10, 20, 60), Float64Array.of(25, 30, 90)];
  assert.deepEqual(longestSilence(left, right, 5, 95), { fromMs: 30, toMs: 60 });
  assert.deepEqual(longestSilence(left, right, 5, 130), { fromMs: 90, toMs: 130 });
  assert.deepEqual(longestSilence(new Float64Array(), new Float64Array(), 1, 3), { fromMs: 1, toMs: 3 });
});

const advertisements = (...moments: number[]): Sign[] => moments.map((atMs) => ({ atMs, kind: 'advertisement' }));

for (const { what, left, right, expected } of [
  { what: 'one after the other', left: advertisements(0, 100, 200), right: advertisements(210, 310), expected: 0 },
  { what: 'both at once', left: advertisements(0, 100, 200, 300), right: advertisements(150, 250, 350), expected: 150 },
  {
    what: 'away and back in silence',
    left: advertisements(0, 100, 500, 600),
    right: advertisements(350, 450),
    expected: 0,
  },
  {
    what: 'a handover and back',
    left: [...advertisements(0, 100), { atMs: 101, kind: 'resignation' as const }, ...advertisements(190, 290)],
    right: advertisements(110, 180),
    expected: 0,
  },
]) {
  test(`how long two claim to be active: ${what}`, () => {
    assert.equal(measureTwoClaims(left, right, 100), expected);
    assert.equal(measureTwoClaims(right, left, 100), expected);
  });
}

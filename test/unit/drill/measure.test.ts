// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureGap, sliceTimes } from '../../../src/drill/measure/gap.ts';
import { quantiles } from '../../../src/drill/measure/quantile.ts';
import { gapBoundMs } from '../../../src/drill/result.ts';

for (const { what, old, next, expected } of [
  {
    what: 'a gap lasts from the last packet of the old to the first of the new',
    ...{ old: [1, 2, 3], next: [353, 354] },
    expected: { lastOldMs: 3, firstNewMs: 353, gapMs: 350, overlapMs: 0, moves: 1 },
  },
  {
    what: 'one late packet of the old is an overlap',
    ...{ old: [1, 2, 8], next: [5, 6, 9, 10] },
    expected: { lastOldMs: 8, firstNewMs: 5, gapMs: 0, overlapMs: 3, moves: 1 },
  },
  {
    what: 'two that alternate overlap until the old has stopped',
    ...{ old: [0, 8, 10, 12, 14, 16], next: [9, 11, 13, 15, 17, 18] },
    expected: { lastOldMs: 16, firstNewMs: 9, gapMs: 0, overlapMs: 7, moves: 1 },
  },
  {
    what: 'forwarding that moves, moves back and moves for good has not overlapped',
    ...{ old: [0, 1, 60, 61], next: [40, 45, 100, 101] },
    expected: { lastOldMs: 61, firstNewMs: 100, gapMs: 39, overlapMs: 0, moves: 3 },
  },
  {
    what: 'an overlap before an orderly move is counted all the same',
    ...{ old: [0, 3, 50], next: [1, 20, 100] },
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
    ...{ fromMs: -5, toMs: 15, sliceMs: 5 },
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
  assert.equal(gapBoundMs('kill', 100), 300 + 60.9375 + 50);
  assert.equal(gapBoundMs('kill', 1_000), 3_000 + 609.375 + 50);
  assert.equal(gapBoundMs('handover', 1_000), 50);
  assert.equal(gapBoundMs('failback', 1_000), 50);
});

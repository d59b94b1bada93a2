// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderReport } from '../../../src/drill/report.ts';
import { judge, type Observation, summarise } from '../../../src/drill/result.ts';

const observation: Observation = {
  ...{ scenario: 'kill', forwarding: 'direct-route', advertIntMs: 100, from: 'a', to: 'b' },
  traffic: {
    sessions: 4,
    broken: { reset: 0, closed: 0, corrupted: 0, stalled: 0 },
  },
  stallsMs: Float64Array.of(301.04, 310, 420.06, 290),
  gap: { lastOldMs: 1_000.2, firstNewMs: 1_312.55, gapMs: 312.35, overlapMs: 0, moves: 1 },
  timeline: [
    { atMs: 0, what: 'kill -9 of every process of director a' },
    { atMs: 0.2, what: 'last packet forwarded by director a' },
    { atMs: 312.6, what: 'first packet forwarded by director b' },
  ],
  slices: [
    { fromMs: -50, old: 9, new: 0 },
    { fromMs: 0, old: 1, new: 0 },
    ...[50, 100, 150, 200, 250].map((fromMs) => ({ fromMs, old: 0, new: 0 })),
    { fromMs: 300, old: 0, new: 40 },
  ],
};

test('a passed drill is reported with its timeline, its drawing and its figures', () => {
  assert.equal(
    renderReport(summarise([judge(observation)], [])),
    `kill -9 of the active director, direct-route, a -> b

      +0.0 ms  kill -9 of every process of director a
      +0.2 ms  last packet forwarded by director a
    +312.6 ms  first packet forwarded by director b

  packets forwarded (one character = 50 ms)
  a |##......|
  b |.......#|
     -50.0 ms +350.0 ms

  sessions: 4, survived: 4, broken: 0
  gap: 312.4 ms (at most 410.9), both forwarding: 0 ms
  longest stall of a session: p50 301 ms, p99 420.1 ms, max 420.1 ms
  PASSED

PASSED: 1 of 1 scenarios passed, 0 sessions broken
`,
  );
});

test('a failed drill says everything that did not hold', () => {
  const broken = { reset: 2, closed: 0, corrupted: 0, stalled: 1 };
  const failed = judge({ ...observation, gap: undefined, slices: [], traffic: { ...observation.traffic, broken } });
  const lines = renderReport(summarise([judge(observation), failed], ['director a did not end'])).split('\n');
  assert.deepEqual(lines.slice(16), [
    'kill -9 of the active director, direct-route, a -> b',
    '',
    '      +0.0 ms  kill -9 of every process of director a',
    '      +0.2 ms  last packet forwarded by director a',
    '    +312.6 ms  first packet forwarded by director b',
    '',
    '  sessions: 4, survived: 1, broken: 3',
    '  gap: never ended',
    '  longest stall of a session: p50 301 ms, p99 420.1 ms, max 420.1 ms',
    '  FAILED: 3 of 4 sessions broke: 2 reset, 1 stalled',
    '  FAILED: director b never forwarded a packet',
    '',
    'FAILED: director a did not end',
    'FAILED: 1 of 2 scenarios passed, 3 sessions broken',
    '',
  ]);
});

for (const { what, change, failures } of [
  { what: 'nothing', change: {}, failures: [] },
  {
    what: 'a gap over the bound',
    change: { gap: { lastOldMs: 0, firstNewMs: 411, gapMs: 411, overlapMs: 0, moves: 1 } },
    failures: ['the gap of 411 ms is over 410.9 ms'],
  },
  {
    what: 'the same gap in a handover',
    change: { scenario: 'handover' },
    failures: ['the gap of 312.4 ms is over 50 ms'],
  },
  {
    what: 'two directors at once',
    change: { gap: { lastOldMs: 12, firstNewMs: 10, gapMs: 0, overlapMs: 2, moves: 1 } },
    failures: ['both directors forwarded, for 2 ms'],
  },
] as const) {
  test(`the verdict on ${what}`, () => {
    const result = judge({ ...observation, ...change });
    assert.deepEqual(result.failures, failures);
    assert.equal(result.verdict, failures.length === 0 ? 'passed' : 'failed');
  });
}

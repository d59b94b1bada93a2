// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Gap } from '../../../src/drill/measure/gap.ts';
import { renderReport } from '../../../src/drill/report.ts';
import { judge, type Observation, summarise, type TakeoverKind } from '../../../src/drill/result.ts';
import { describeSeries, seriesOf } from '../../../src/drill/series.ts';

const observation: Observation = {
  scenario: 'kill',
  forwarding: 'direct-route',
  family: 'ipv4',
  advertIntMs: 100,
  from: 'a',
  to: 'b',
  traffic: {
    sessions: 4,
    broken: { reset: 0, closed: 0, corrupted: 0, stalled: 0 },
  },
  stallsMs: Float64Array.of(301.04, 310, 420.06, 290),
  flows: { sent: 3, broken: 0, causes: '' },
  takeovers: [takeover({ lastOldMs: 1_000.2, firstNewMs: 1_312.55, gapMs: 312.35, overlapMs: 0, moves: 1 })],
  overlapMs: 0,
  twoClaimsMs: 0,
  failures: [],
  observations: [],
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
    renderReport(summarise({ engine: 'portable' }, [judge(observation)], [])),
    `engine: portable

kill -9 of the active director, direct-route, ipv4, a -> b

      +0.0 ms  kill -9 of every process of director a
      +0.2 ms  last packet forwarded by director a
    +312.6 ms  first packet forwarded by director b

  packets forwarded (one character = 50 ms)
  a |##......|
  b |.......#|
     -50.0 ms +350.0 ms

  sessions: 4, survived: 4, broken: 0
  UDP flows: 3, survived: 3, broken: 0
  gap: 312.4 ms (at most 410.9)
  two active at once: 0 ms
  longest stall of a session: p50 301 ms, p99 420.1 ms, max 420.1 ms
  PASSED

PASSED: 1 of 1 scenarios passed, 0 sessions broken
`,
  );
});

test('a failed drill says everything that did not hold', () => {
  const broken = { reset: 2, closed: 0, corrupted: 0, stalled: 1 };
  const failed = judge({
    ...observation,
    takeovers: [takeover(undefined)],
    slices: [],
    traffic: { ...observation.traffic, broken },
  });
  const lines = renderReport(
    summarise({ engine: 'portable' }, [judge(observation), failed], ['director a did not end']),
  ).split('\n');
  assert.deepEqual(lines.slice(20), [
    'kill -9 of the active director, direct-route, ipv4, a -> b',
    '',
    '      +0.0 ms  kill -9 of every process of director a',
    '      +0.2 ms  last packet forwarded by director a',
    '    +312.6 ms  first packet forwarded by director b',
    '',
    '  sessions: 4, survived: 1, broken: 3',
    '  UDP flows: 3, survived: 3, broken: 0',
    '  gap: never ended',
    '  two active at once: 0 ms',
    '  longest stall of a session: p50 301 ms, p99 420.1 ms, max 420.1 ms',
    '  FAILED: 3 of 4 sessions broke: 2 reset, 1 stalled',
    '  FAILED: director b never forwarded a packet',
    '',
    'FAILED: director a did not end',
    'FAILED: 1 of 2 scenarios passed, 3 sessions broken',
    '',
  ]);
});

test('in a split two active directors and broken sessions are figures, not failures', () => {
  const broken = { reset: 1, closed: 0, corrupted: 0, stalled: 0 };
  const silence = takeover({ lastOldMs: 0, firstNewMs: 20, gapMs: 20, overlapMs: 0, moves: 0 }, 'silence');
  const result = judge({
    ...observation,
    scenario: 'partition',
    to: 'a',
    takeovers: [{ ...silence, to: 'a' }],
    overlapMs: 4,
    twoClaimsMs: 1_600.04,
    traffic: { sessions: 4, broken },
    observations: ['one session was carried by b'],
  });
  assert.deepEqual(result.failures, []);
  assert.deepEqual(result.bounds, { gapMs: 391.4, overlapMs: undefined, broken: undefined });
  assert.equal(result.twoActiveMs, 1_600);
  assert.match(
    renderReport(summarise({ engine: 'portable' }, [result], [])),
    /two active at once: 1600 ms \(to be expected here\), packets of both in turn: 4 ms\n/,
  );
});

test('a series states the figures of all its runs together', () => {
  const second = { ...observation, flows: { sent: 3, broken: 1, causes: '1 moved' }, stallsMs: Float64Array.of(500) };
  const [series, ...others] = seriesOf([
    judge(observation),
    judge(second),
    judge({ ...observation, scenario: 'freeze' }),
  ]);
  assert.deepEqual(others, []);
  assert.deepEqual(describeSeries(series!), [
    'kill, direct-route: 1 of 2 runs passed',
    '  2 takeovers, gap p50 312.4 ms, p99 312.4 ms, max 312.4 ms',
    '  sessions: 8, broken: 0; the longest stall of each run: p50 420.1 ms, p99 500 ms, max 500 ms',
    '  opened meanwhile: 0, broken: 0, unanswered: 0, refused: 0',
    '  the longest wait of each run for an answer: p50 0 ms, p99 0 ms, max 0 ms; until established: p50 0 ms, p99 0 ms, max 0 ms',
  ]);
});

for (const { what, change, failures } of [
  { what: 'nothing', change: {}, failures: [] },
  {
    what: 'a gap over the bound',
    change: { takeovers: [takeover({ lastOldMs: 0, firstNewMs: 411, gapMs: 411, overlapMs: 0, moves: 1 })] },
    failures: ['the gap of 411 ms is over 410.9 ms'],
  },
  {
    what: 'such a gap in a handover',
    change: { takeovers: [takeover({ lastOldMs: 0, firstNewMs: 51, gapMs: 51, overlapMs: 0, moves: 1 }, 'planned')] },
    failures: ['the gap of 51 ms is over 50 ms'],
  },
  {
    what: 'two directors at once',
    change: { overlapMs: 2, twoClaimsMs: 100 },
    failures: ['both directors forwarded, for 2 ms', 'both directors advertised themselves as active, for 100 ms'],
  },
  {
    what: 'broken flows',
    change: { flows: { sent: 3, broken: 2, causes: '1 moved, 1 stalled' } },
    failures: ['2 of 3 UDP flows broke: 1 moved, 1 stalled'],
  },
  { what: 'a check of the scenario', change: { failures: ['not so'] }, failures: ['not so'] },
]) {
  test(`the verdict on ${what}`, () => {
    const result = judge({ ...observation, ...change });
    assert.deepEqual(result.failures, failures);
    assert.equal(result.verdict, failures.length === 0 ? 'passed' : 'failed');
  });
}

function takeover(gap: Gap | undefined, kind: TakeoverKind = 'failure'): Observation['takeovers'][number] {
  return { from: 'a', to: 'b', family: 'ipv4', kind, gap };
}

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Sent, Sign } from '../../../src/drill/measure/capture.ts';
import { helpText } from '../../../src/drill/options.ts';
import { scenarioNames, scenarioTexts } from '../../../src/drill/scenario-names.ts';
import { silenceAfter } from '../../../src/drill/scenarios/crash.ts';
import { checkHealed } from '../../../src/drill/scenarios/split.ts';
import { checkContinued } from '../../../src/drill/scenarios/stall.ts';
import { longestPauseMs } from '../../../src/drill/scenarios/storm.ts';
import { compareTables } from '../../../src/drill/table.ts';

test('the help says of every scenario what happens and what must hold', () => {
  for (const name of scenarioNames) {
    for (const line of scenarioTexts[name].help) assert.ok(helpText.includes(line), `${name}: ${line}`);
  }
  assert.deepEqual(
    helpText.split('\n').filter((line) => line.length > 120),
    [],
  );
});

for (const { what, sent, expected } of [
  { what: 'nothing before its first advertisement', sent: { signs: signs(['advertisement', 1_400]) }, expected: [] },
  { what: 'a packet forwarded', sent: { forwarded: [900, 1_001] }, expected: ['1 packets forwarded'] },
  { what: 'a packet returned', sent: { returned: [1_002, 1_003] }, expected: ['2 packets returned to clients'] },
  {
    what: 'an announcement and an answer',
    sent: { signs: signs(['answer', 999], ['announcement', 1_001], ['answer', 1_002], ['advertisement', 1_400]) },
    expected: ['2 announcements, answers and resignations'],
  },
] satisfies readonly { what: string; sent: Partial<Fewer>; expected: string[] }[]) {
  test(`after being continued a director sends ${what}`, () => {
    const failures = expected.map((text) => `director a, continued, sent ${text} before it had taken over again`);
    assert.deepEqual(silenceAfter(sentOf(sent), 1_000, 2_000, 341), failures);
  });
}

test('a continued director may not advertise before its active down interval is over', () => {
  const sent = sentOf({ signs: signs(['advertisement', 1_100]) });
  assert.deepEqual(silenceAfter(sent, 1_000, 2_000, 341), [
    'director a advertised 100 ms after being continued, before its active down interval was over',
  ]);
});

test('after healing director a remains, and announces again; director b falls silent in time', () => {
  const a = sentOf({ signs: signs(['advertisement', 1_050], ['announcement', 1_060]) });
  const b = sentOf({ signs: signs(['announcement', 900], ['advertisement', 1_040]) });
  assert.deepEqual(checkHealed({ a, b }, 1_000, 722), []);
  assert.deepEqual(checkHealed({ a: b, b: sentOf({ signs: signs(['advertisement', 1_800]) }) }, 1_000, 722), [
    'director b was active for 800 ms after healing',
    'director a did not announce the addresses again after healing',
  ]);
  assert.deepEqual(checkHealed({ a: sentOf({}), b }, 1_000, 722), [
    'director a did not remain active after healing',
    'director a did not announce the addresses again after healing',
  ]);
});

test('continued, both directors may change the role once', () => {
  const forwarding = { forwarded: [900, 1_300] };
  const a = (...atMs: number[]) => sentOf({ ...forwarding, signs: atMs.flatMap((ms) => signs(['advertisement', ms])) });
  assert.deepEqual(checkContinued({ a: a(950, 1_290, 1_390), b: a() }, 1_000, 411), []);
  assert.deepEqual(checkContinued({ a: a(950), b: a(1_012, 1_112) }, 1_000, 411), []);
  assert.deepEqual(checkContinued({ a: a(950, 1_422), b: a(1_012, 1_412) }, 1_000, 250), [
    'nobody forwarded within 250 ms of being continued',
    'the role changed hands 2 times: b after 12 ms, a after 422 ms',
  ]);
});

test('the longest pause is between two advertisements in a row, and without end when there are none', () => {
  const paused = signs(['advertisement', 100], ['announcement', 150], ['advertisement', 200], ['advertisement', 420]);
  assert.equal(longestPauseMs({ signs: paused }), 220);
  assert.equal(longestPauseMs({ signs: paused.slice(0, 2) }), Number.POSITIVE_INFINITY);
});

test('tables are merged when both hold the same, and no fewer than there are sessions', () => {
  const table = (text: string): Map<string, string> =>
    new Map(text.split(' ').map((part) => [part[0]!, part.slice(1)]));
  assert.equal(compareTables(table('a1 b2'), table('b2 a1'), 2), '');
  assert.equal(
    compareTables(table('a1 b2 c3'), table('b4 a1 d5'), 4),
    '1 connections are known to director a only, 1 to director b only, 1 differ, director a knows 3 for 4 sessions',
  );
});

interface Fewer {
  readonly forwarded: readonly number[];
  readonly returned: readonly number[];
  readonly signs: readonly Sign[];
}

function signs(...list: readonly (readonly [Sign['kind'], number])[]): Sign[] {
  return list.map(([kind, atMs]) => ({ kind, atMs }));
}

function sentOf({ forwarded = [], returned = [], signs: given = [] }: Partial<Fewer>): Sent {
  return {
    forwarded: Float64Array.from(forwarded),
    clientPorts: new Uint16Array(forwarded.length),
    returned: Float64Array.from(returned),
    signs: given,
  };
}

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enteredState } from '../../../bench/election/contestants.ts';
import { parseElectionOptions } from '../../../bench/election/options.ts';
import { type ElectionFigures, electionTable } from '../../../bench/election/report.ts';
import { type DirectorName, type SeenAdvertisement, timelinessOf } from '../../../bench/election/timeliness.ts';

const defaults = {
  contestants: ['baton', 'keepalived'],
  addresses: 255,
  intervalMs: 100,
  seconds: 20,
  busy: 1,
  rival: 0,
  rounds: 3,
};

for (const [line, changed] of [
  ['', {}],
  ['--contestants keepalived', { contestants: ['keepalived'] }],
  ['--contestants keepalived-rt,baton', { contestants: ['keepalived-rt', 'baton'] }],
  ['--interval 0.03 --addresses 1 --busy 0', { intervalMs: 30, addresses: 1, busy: 0 }],
  ['--interval 0.29 --rounds 1', { intervalMs: 290, rounds: 1 }],
  ['--seconds 300 --rival 5000', { seconds: 300, rival: 5000 }],
] as const) {
  test(`the options of the election: ${line}`, () => {
    assert.deepEqual(parseElectionOptions(words(line)), { ...defaults, ...changed });
  });
}

for (const [line, sentence] of [
  ['--contestants ucarp', '--contestants takes some of baton, keepalived, keepalived-rt, not ucarp'],
  ['--addresses 256', '--addresses takes a whole number from 1 to 255, not 256'],
  ['--addresses 0', '--addresses takes a whole number from 1 to 255, not 0'],
  ['--seconds 1.5', '--seconds takes a whole number from 1 to 86400, not 1.5'],
  ['--interval 0.005', '--interval takes seconds from 0.01 to 40.95, in hundredths, not 0.005'],
  ['--interval 41', '--interval takes seconds from 0.01 to 40.95, in hundredths, not 41'],
  ['--interval soon', '--interval takes seconds from 0.01 to 40.95, in hundredths, not soon'],
] as const) {
  test(`the options of the election: ${line} is refused`, () => {
    assert.throws(() => parseElectionOptions(words(line)), { message: sentence });
  });
}

for (const [contestant, line, state] of [
  ['baton', '{"level":30,"router":"bench","msg":"is now backup: it has started"}', 'backup'],
  ['baton', '{"level":30,"router":"bench","msg":"is now active: the active router resigned"}', 'active'],
  ['baton', '{"level":30,"router":"bench","msg":"holds the addresses"}', undefined],
  ['keepalived', 'Sat Nov 28 10:14:10 2026: (bench) Entering MASTER STATE', 'active'],
  ['keepalived-rt', 'Sat Nov 28 10:14:10 2026: (bench) Entering BACKUP STATE', 'backup'],
  ['keepalived', 'Sat Nov 28 10:14:10 2026: (bench) Receive advertisement timeout', undefined],
] as const) {
  test(`the election: a log says ${state ?? 'nothing of a state'}: ${line}`, () => {
    assert.equal(enteredState(contestant, line), state);
  });
}

test('the election: a director that is on time', () => {
  assert.deepEqual(timelinessOf(by('better', 1010, 1110, 1210, 1310), { fromMs: 1000, toMs: 1400 }, 100), {
    advertisements: 4,
    foreign: 0,
    longestGapMs: 100,
    over1_5: 0,
    over2: 0,
    changes: 0,
  });
});

test('the election: gaps of exactly one and a half intervals, and of two, are not over them', () => {
  const { longestGapMs, over1_5, over2 } = timelinessOf(
    by('better', 1000, 1150, 1350, 1501, 1702),
    { fromMs: 1000, toMs: 1702 },
    100,
  );
  assert.deepEqual({ longestGapMs, over1_5, over2 }, { longestGapMs: 201, over1_5: 3, over2: 1 });
});

test('the election: a peer that takes over does not end the silence of the better director', () => {
  const seen = [...by('backup', 1400, 1500), ...by('better', 1000, 1100, 1550, 1650)];
  assert.deepEqual(timelinessOf(seen, { fromMs: 1000, toMs: 1700 }, 100), {
    advertisements: 4,
    foreign: 2,
    longestGapMs: 450,
    over1_5: 1,
    over2: 1,
    changes: 2,
  });
});

test('the election: silence counts from the beginning of the span and until its end', () => {
  const span = { fromMs: 1000, toMs: 2000 };
  assert.equal(timelinessOf(by('better', 1400, 1500), span, 100).longestGapMs, 500);
  assert.equal(timelinessOf(by('better', 1600, 1700), span, 100).longestGapMs, 600);
  assert.equal(timelinessOf([], span, 100).longestGapMs, 1000);
});

test('the election: advertisements outside the span do not count', () => {
  const seen = [...by('backup', 900, 2100), ...by('better', 950, 1050, 1150, 2050)];
  const { advertisements, foreign, changes } = timelinessOf(seen, { fromMs: 1000, toMs: 1200 }, 100);
  assert.deepEqual({ advertisements, foreign, changes }, { advertisements: 2, foreign: 0, changes: 0 });
});

test('the table of the election: ranges over the rounds, and the ratio of the longest gaps within each', () => {
  const results = new Map([
    ['baton', [figures(110, 1), figures(120, 1)]],
    ['keepalived', [figures(220, 1), figures(480, 3)]],
  ]);
  const lines = electionTable({ ...defaults, contestants: ['baton', 'keepalived'] }, results)
    .trimEnd()
    .split('\n');
  assert.match(lines[0]!, /^255 addresses, advert_int 0\.1, 20 s, 1 busy loop on each processor$/);
  assert.deepEqual(cells(lines[2]!), ['baton', '255', '200', '110–120', '1.10–1.20', '0.38', '0', '0', '1', '1', '0']);
  assert.deepEqual(cells(lines[3]!), ['keepalived', '255', '200', '220–480', '2.20–4.80', '0', '0', '1–3', '1–3', '0']);
});

test('the table of the election: how many advertisements of the rival came', () => {
  const results = new Map([['baton', [{ ...figures(110, 0), rivalPerSecond: 4987.6 }]]]);
  const table = electionTable({ ...defaults, contestants: ['baton'], rival: 5000, busy: 0 }, results);
  assert.match(table, /^255 addresses, advert_int 0\.1, 20 s, idle processors, a rival 5000 times a second\n/);
  assert.match(table, /the rival’s a second\n/);
  assert.match(table, / 4988\n$/);
});

function figures(longestGapMs: number, changes: number): ElectionFigures {
  return {
    advertisements: 200,
    foreign: 0,
    longestGapMs,
    over1_5: 0,
    over2: 0,
    changes,
    logged: changes,
    addresses: 255,
    rivalPerSecond: 0,
  };
}

function by(from: DirectorName, ...times: number[]): SeenAdvertisement[] {
  return times.map((atMs) => ({ atMs, from, addresses: 255 }));
}

function words(line: string): string[] {
  return line.split(' ').filter((word) => word !== '');
}

function cells(line: string): string[] {
  return line.trim().split(/ {2,}/);
}

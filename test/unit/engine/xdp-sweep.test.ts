// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sweep } from '../../../src/engine/xdp/sweep.ts';

/** Two tables of `slots` each. `runs` collects `FIRST+BUDGET of ROUND`. */
function sceneOf(slots: number, empty: readonly ('4' | '6')[] = []) {
  const runs: string[] = [];
  const span = {
    end: 2 * slots,
    tableEnd: (cursor: number) => (cursor < slots ? slots : 2 * slots),
    isEmptyAt: (cursor: number) => empty.includes(cursor < slots ? '4' : '6'),
  };
  const mailbox = {
    sweep: (cursor: number, budget: number, round: number) => {
      runs.push(`${cursor}+${budget} of ${round}`);
      const next = cursor + budget;
      return next >= span.end ? undefined : next;
    },
  };
  return { runs, sweep: new Sweep(mailbox, span) };
}

const taken = (runs: string[]): string[] => runs.splice(0);

test('a round takes a second, whatever the ticks', () => {
  const { runs, sweep } = sceneOf(200);
  sweep.advance(5_000);
  assert.deepEqual(taken(runs), [], 'no time has gone by');
  sweep.advance(5_010);
  sweep.advance(5_020);
  assert.deepEqual(taken(runs), ['0+4 of 0', '4+4 of 0']);
  sweep.advance(5_520);
  assert.deepEqual(taken(runs), ['8+192 of 0', '200+8 of 0'], 'a run does not go over the end of a table');
  sweep.advance(6_020);
  assert.deepEqual(taken(runs), ['208+192 of 0', '0+8 of 1']);
  sweep.advance(60_000);
  assert.equal(sweep.round, 2, 'time that was lost is not made up for');
});

test('an empty table takes its time, and no work', () => {
  const { runs, sweep } = sceneOf(200, ['4']);
  sweep.advance(0);
  for (let at = 100; at <= 1_000; at += 100) sweep.advance(at);
  assert.deepEqual(taken(runs), ['200+40 of 0', '240+40 of 0', '280+40 of 0', '320+40 of 0', '360+40 of 0']);
  sweep.advance(1_100);
  assert.deepEqual([taken(runs), sweep.round], [[], 1]);
  const both = sceneOf(200, ['4', '6']);
  for (let at = 0; at <= 3_010; at += 10) both.sweep.advance(at);
  assert.deepEqual([both.runs, both.sweep.round], [[], 3]);
});

test('a large table is swept in short runs, and not all at once after a pause', () => {
  const { runs, sweep } = sceneOf(1 << 20);
  sweep.advance(0);
  sweep.advance(10);
  assert.deepEqual(taken(runs), [
    ...['0+4096 of 0', '4096+4096 of 0', '8192+4096 of 0', '12288+4096 of 0', '16384+4096 of 0', '20480+492 of 0'],
  ]);
  sweep.advance(10_000);
  assert.equal(taken(runs).length, 32);
});

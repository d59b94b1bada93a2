// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createEchoes, type EchoReport } from '../../../src/drill/measure/echoes.ts';

// One question a millisecond; `.` was answered, `x` was not.
for (const { what, story, from, report } of [
  { what: 'nothing lost', story: '.....', from: 0, report: { sent: 5, lost: 0, gapMs: 0, gapFromMs: undefined } },
  { what: 'one lost', story: '..x..', from: 0, report: { sent: 5, lost: 1, gapMs: 1, gapFromMs: 2 } },
  {
    what: 'the longest row decides',
    story: '.x.xxx.xx.',
    from: 0,
    report: { sent: 10, lost: 6, gapMs: 3, gapFromMs: 3 },
  },
  {
    what: 'losses before the stretch are not in it',
    story: 'xxx..x.',
    from: 3,
    report: { sent: 4, lost: 1, gapMs: 1, gapFromMs: 5 },
  },
  {
    what: 'a row that goes on lasts until now',
    story: '..xx',
    from: 0,
    report: { sent: 4, lost: 2, gapMs: 8, gapFromMs: 2 },
  },
] satisfies { what: string; story: string; from: number; report: EchoReport }[]) {
  test(`echoes: ${what}`, () => {
    const echoes = createEchoes();
    for (const [atMs, fate] of [...story].entries()) {
      const sequence = echoes.send(atMs);
      if (fate === '.') echoes.answer(sequence);
    }
    echoes.answer(story.length);
    assert.deepEqual(echoes.report(from, story.length, 10), report);
  });
}

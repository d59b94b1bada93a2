// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeQuorum } from '../../../src/health/quorum.ts';

test('a quorum of 7 with a hysteresis of 2 begins and is gained at 9, and is lost below 5', () => {
  const verdicts = (weights: readonly number[]): string => {
    let held: boolean | undefined;
    return weights
      .map((weight) => {
        held = judgeQuorum(held, { quorum: 7, hysteresis: 2 }, weight);
        return `${weight}${held ? '+' : '-'}`;
      })
      .join(' ');
  };
  assert.equal(verdicts([8, 9, 7, 6, 5, 4, 5, 8, 9]), '8- 9+ 7+ 6+ 5+ 4- 5- 8- 9+');
  assert.equal(verdicts([10, 0, 8]), '10+ 0- 8-');
});

test('without a rule one of weight 1 is enough, and none never is', () => {
  assert.deepEqual(
    [undefined, true, false].map((held) => [0, 1].map((weight) => judgeQuorum(held, {}, weight))),
    [
      [false, true],
      [false, true],
      [false, true],
    ],
  );
  assert.equal(judgeQuorum(true, { quorum: 2, hysteresis: 2 }, 0), false);
});

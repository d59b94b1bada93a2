// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertHolds } from './drill-run.ts';

// Sessions that are opened while the scenario runs.

test('sessions are opened all the time, and where nobody takes over all live', async () => {
  const result = await assertHolds(
    ['reload', 'reload'],
    ...['--forwarding', 'masquerade', '--opening-rate', '100', '--family', 'both'],
  );
  for (const { openings } of result.scenarios) {
    assert.ok(openings !== undefined && openings.opened > 100, `${openings?.opened} sessions opened`);
    assert.deepEqual([openings.broken, openings.unanswered, openings.refused], [0, 0, 0]);
  }
});

test('sessions whose SYN waits for the peer live through a kill', async () => {
  const result = await assertHolds(['kill'], '--forwarding', 'masquerade', '--opening-rate', '100', '--defer', 'on');
  const [openings] = result.scenarios.map((scenario) => scenario.openings);
  assert.ok(openings !== undefined && openings.opened > 100, `${openings?.opened} sessions opened`);
  assert.equal(openings.broken, 0);
});

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertHolds } from './drill-run.ts';

// Sessions that are opened while the scenario runs. Nobody takes over here, so that all must live.

test('sessions are opened all the time and live', async () => {
  const result = await assertHolds(
    ['reload', 'reload'],
    ...['--forwarding', 'masquerade', '--opening-rate', '100', '--family', 'both'],
  );
  for (const { openings } of result.scenarios) {
    assert.ok(openings !== undefined && openings.opened > 100, `${openings?.opened} sessions opened`);
    assert.deepEqual([openings.broken, openings.unanswered, openings.refused], [0, 0, 0]);
  }
});

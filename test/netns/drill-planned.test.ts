// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertHolds } from './drill-run.ts';

// Planned operations.

for (const [forwarding, family] of [
  ['direct-route', 'ipv6'],
  ['masquerade', 'ipv4'],
] as const) {
  test(`cold-start, handover, restart and reload break nothing (${forwarding}, ${family})`, async () => {
    const names = ['cold-start', 'handover', 'restart', 'reload'] as const;
    const result = await assertHolds(names, '--forwarding', forwarding, '--family', family);
    assert.deepEqual(
      result.scenarios.map(({ twoActiveMs }) => twoActiveMs),
      names.map(() => 0),
    );
    assert.match(result.scenarios[3]!.observations[0]!, /^the added real server has \d+ sessions$/);
  });
}

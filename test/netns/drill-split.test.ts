// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertHolds } from './drill-run.ts';

// Two directors are active for a time, and then one; or none, and then one.

test('both directors stand still, and one of them goes on', async () => {
  await assertHolds(['both-stall'], '--forwarding', 'direct-route', '--family', 'ipv4');
});

for (const [forwarding, family] of [
  ['direct-route', 'both'],
  ['masquerade', 'ipv4'],
] as const) {
  test(`partition and asymmetric heal (${forwarding}, ${family})`, async () => {
    const result = await assertHolds(['partition', 'asymmetric'], '--forwarding', forwarding, '--family', family);
    for (const { scenario, twoActiveMs } of result.scenarios) {
      // Two seconds minus the active down interval of the director that hears nothing.
      assert.ok(twoActiveMs > 1_000 && twoActiveMs < 2_500, `${scenario}: ${twoActiveMs} ms with two`);
    }
  });
}

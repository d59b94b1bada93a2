// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertHolds } from './drill-run.ts';

// The active director fails without sending priority 0.

for (const [forwarding, family] of [
  ['direct-route', 'ipv4'],
  ['masquerade', 'both'],
] as const) {
  test(`kill, failback, freeze, poweroff and link-down break nothing (${forwarding}, ${family})`, async () => {
    const names = ['kill', 'failback', 'freeze', 'poweroff', 'link-down'] as const;
    const result = await assertHolds(names, '--forwarding', forwarding, '--family', family);
    assert.deepEqual(
      result.scenarios.map(({ twoActiveMs }) => twoActiveMs),
      names.map(() => 0),
    );
  });
}

test('ten failures in a row break nothing, and each has its figures', async () => {
  const { scenarios } = await assertHolds(['flapping'], '--forwarding', 'direct-route');
  assert.deepEqual(
    scenarios[0]?.takeovers.map(({ from, to }) => `${from}${to}`),
    Array.from({ length: 10 }, () => ['ab', 'ba']).flat(),
  );
});

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { probeXdp } from '../../src/platform/linux/bpf/probe.ts';
import { assertHolds } from './drill-run.ts';

// The active director loses its address, then its routes, while its links stay up.

const usability = probeXdp();
const skipXdp = usability.usable ? false : usability.reason;

for (const [engine, skip, forwarding, family] of [
  ['portable', false, 'direct-route', 'both'],
  ['xdp', skipXdp, 'masquerade', 'both'],
] as const) {
  test(`address-lost and route-lost break nothing (${engine}, ${forwarding}, ${family})`, { skip }, async () => {
    const more = ['--engine', engine, '--forwarding', forwarding, '--family', family];
    const { scenarios } = await assertHolds(['address-lost', 'route-lost'], ...more);
    assert.deepEqual(
      scenarios.map(({ twoActiveMs }) => twoActiveMs),
      [0, 0],
    );
  });
}

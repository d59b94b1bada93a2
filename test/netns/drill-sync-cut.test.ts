// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { probeXdp } from '../../src/platform/linux/bpf/probe.ts';
import { assertHolds } from './drill-run.ts';

// Connection synchronisation is cut alone, and the better director comes back meanwhile.

const usability = probeXdp();
const skipXdp = usability.usable ? false : usability.reason;

for (const [engine, skip, forwarding, family] of [
  ['portable', false, 'direct-route', 'both'],
  ['xdp', skipXdp, 'masquerade', 'ipv4'],
] as const) {
  test(`sync-cut breaks nothing (${engine}, ${forwarding}, ${family})`, { skip }, async () => {
    const more = ['--engine', engine, '--forwarding', forwarding, '--family', family];
    const { scenarios } = await assertHolds(['sync-cut'], ...more);
    assert.deepEqual(
      scenarios.map(({ twoActiveMs }) => twoActiveMs),
      [0],
    );
  });
}

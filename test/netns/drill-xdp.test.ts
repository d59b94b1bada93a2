// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { probeXdp } from '../../src/platform/linux/bpf/probe.ts';
import { assertHolds } from './drill-run.ts';

// The pair with the engine in the kernel.

const usability = probeXdp();
const skip = usability.usable ? false : usability.reason;
const names = ['kill', 'failback', 'handover', 'freeze', 'restart'] as const;

for (const [forwarding, family] of [
  ['direct-route', 'ipv4'],
  ['masquerade', 'both'],
] as const) {
  test(`${names.join(', ')} break nothing with the xdp engine (${forwarding}, ${family})`, { skip }, async () => {
    const more = ['--engine', 'xdp', '--sessions', '200', '--forwarding', forwarding, '--family', family];
    const result = await assertHolds(names, ...more);
    assert.equal(result.engine, 'xdp');
    assert.deepEqual(
      result.scenarios.map(({ twoActiveMs }) => twoActiveMs),
      names.map(() => 0),
    );
    const restart = result.scenarios.at(-1)!;
    assert.deepEqual(
      restart.takeovers.map(({ kind, gapMs, boundMs }) => ({ kind, gapMs, boundMs })),
      (family === 'both' ? ['ipv4', 'ipv6'] : ['ipv4']).map(() => ({ kind: 'lossless', gapMs: 0, boundMs: 0 })),
    );
  });
}

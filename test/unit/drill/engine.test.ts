// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settle } from '../../../src/drill/engine.ts';
import { type DrillOptions, parseDrillArguments } from '../../../src/drill/options.ts';

const able = { usable: true } as const;
const unable = { usable: false, reason: 'this kernel is built without bpf(2) (ENOSYS)' } as const;
const unfinished = 'with --offloads on checksums are left unfinished, which XDP cannot see';

for (const { line, probe, chosen } of [
  { line: '', probe: able, chosen: { engine: 'xdp', offloads: false, engineReason: undefined } },
  { line: '', probe: unable, chosen: { engine: 'portable', offloads: true, engineReason: unable.reason } },
  { line: '--engine xdp', probe: able, chosen: { engine: 'xdp', offloads: false, engineReason: undefined } },
  { line: '--engine portable', probe: able, chosen: { engine: 'portable', offloads: true, engineReason: undefined } },
  { line: '--offloads on', probe: able, chosen: { engine: 'portable', offloads: true, engineReason: unfinished } },
  {
    line: '--engine portable --offloads off',
    probe: able,
    chosen: { engine: 'portable', offloads: false, engineReason: undefined },
  },
] as const) {
  test(`baton drill ${line} where xdp ${probe.usable ? 'can' : 'cannot'} be used`, () => {
    const { engine, offloads, engineReason } = settle(optionsOf(line), () => probe);
    assert.deepEqual({ engine, offloads, engineReason }, chosen);
  });
}

test('the flood is for the xdp engine alone', () => {
  const { scenarios } = settle(optionsOf('--scenario kill,syn-flood'), () => unable);
  assert.deepEqual(scenarios, ['kill']);
  assert.deepEqual(settle(optionsOf('--scenario syn-flood'), () => able).scenarios, ['syn-flood']);
  assert.throws(() => settle(optionsOf('--scenario syn-flood'), () => unable), {
    message: 'the scenario syn-flood is for the xdp engine alone',
  });
});

test('a drill with --engine xdp that cannot be says why', () => {
  assert.throws(() => settle(optionsOf('--engine xdp'), () => unable), {
    message: `the xdp engine cannot be used: ${unable.reason}`,
  });
});

function optionsOf(line: string): DrillOptions {
  const parsed = parseDrillArguments(line === '' ? [] : line.split(' '));
  assert.equal(parsed.kind, 'run');
  return (parsed as { options: DrillOptions }).options;
}

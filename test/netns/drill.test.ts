// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { DrillResult } from '../../src/drill/result.ts';
import { scenarioNames } from '../../src/drill/scenario-names.ts';
import { drill, startDrill } from './drill-run.ts';

// The drill as a command. The scenarios have files of their own.

test('without connection synchronisation sessions break, and the drill says so', async () => {
  const args = ['--scenario', 'kill', '--forwarding', 'direct-route', '--sessions', '20', '--sync', 'off', '--json'];
  const { code, stdout, stderr } = await drill(...args);
  const { scenarios, verdict } = JSON.parse(stdout || '{}') as DrillResult;
  assert.equal(verdict, 'failed', stderr);
  assert.ok(scenarios[0]!.broken > 0, 'the backup does not know the sessions');
  assert.equal(scenarios[0]!.broken, scenarios[0]!.brokenBy.reset + scenarios[0]!.brokenBy.stalled);
  assert.equal(code, 1);
});

test('Ctrl-C in the middle removes the lab and ends the drill as interrupted', async () => {
  const child = startDrill('--scenario', 'kill', '--forwarding', 'direct-route', '--sessions', '20');
  await once(child.stdout!, 'data');
  child.kill('SIGINT');
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  assert.deepEqual({ code, signal }, { code: null, signal: 'SIGINT' });
});

test('wrong usage is exit code 2 and one sentence', async () => {
  assert.deepEqual(await drill('--scenario', 'flood'), {
    code: 2,
    stdout: '',
    stderr: `baton drill: --scenario is one of ${scenarioNames.join(', ')}, all, not 'flood'; see baton drill --help\n`,
  });
});

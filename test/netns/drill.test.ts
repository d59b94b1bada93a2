// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { DrillResult } from '../../src/drill/result.ts';

// The real thing: two directors, real packets, real failures. Few sessions, so that the suite stays quick.

const baton = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const sessions = 60;

for (const forwarding of ['direct-route', 'masquerade'] as const) {
  test(`kill, failback and handover break no session and keep their bounds (${forwarding})`, async () => {
    const { code, stdout, stderr } = await drill('--forwarding', forwarding, '--sessions', `${sessions}`, '--json');
    const result = JSON.parse(stdout || 'null') as DrillResult | null;
    const figures = result?.scenarios.map(({ scenario, survived, broken, overlapMs, failures }) => {
      return { scenario, survived, broken, overlapMs, failures };
    });
    const held = { survived: sessions, broken: 0, overlapMs: 0, failures: [] };
    const expected = ['kill', 'failback', 'handover'].map((scenario) => ({ scenario, ...held }));
    assert.deepEqual(figures, expected, stderr);
    assert.deepEqual(result?.failures, [], stderr);
    assert.equal(code, 0);
  });
}

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
  const child = start('--scenario', 'kill', '--forwarding', 'direct-route', '--sessions', '20');
  await once(child.stdout!, 'data');
  child.kill('SIGINT');
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  assert.deepEqual({ code, signal }, { code: null, signal: 'SIGINT' });
});

test('wrong usage is exit code 2 and one sentence', async () => {
  assert.deepEqual(await drill('--scenario', 'flood'), {
    code: 2,
    stdout: '',
    stderr: "baton drill: --scenario is one of kill, failback, handover, all, not 'flood'; see baton drill --help\n",
  });
});

function start(...args: string[]): ChildProcess {
  return spawn(process.execPath, [baton, 'drill', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

async function drill(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = start(...args);
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...output };
}

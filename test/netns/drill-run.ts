// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { DrillResult } from '../../src/drill/result.ts';
import type { ScenarioName } from '../../src/drill/scenario-names.ts';

// The drill as people run it, with few sessions, so that the suite stays quick.

const baton = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const sessions = 50;
const flows = 20;

/** Runs the scenarios in the order given and expects no broken session, unless `args` change that. Gives the result. */
export async function assertHolds(names: readonly ScenarioName[], ...args: string[]): Promise<DrillResult> {
  const fewer = ['--engine', 'portable', '--sessions', `${sessions}`, '--flows', `${flows}`];
  const { code, stdout, stderr } = await drill('--scenario', names.join(), ...fewer, ...args, '--json');
  const result = JSON.parse(stdout || 'null') as DrillResult | null;
  const figures = result?.scenarios.map((scenario) => ({
    scenario: scenario.scenario,
    broken: scenario.broken,
    flows: scenario.flows,
    failures: scenario.failures,
  }));
  const unbroken = { sent: flows, survived: flows, broken: 0 };
  const expected = names.map((scenario) => ({ scenario, broken: 0, flows: unbroken, failures: [] }));
  assert.deepEqual(figures, expected, stderr);
  assert.deepEqual(result?.failures, [], stderr);
  assert.equal(code, 0);
  return result!;
}

export function startDrill(...args: string[]): ChildProcess {
  return spawn(process.execPath, [baton, 'drill', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

export async function drill(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = startDrill(...args);
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...output };
}

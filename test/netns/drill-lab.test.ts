// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { enterSandbox, type UserNamespace } from '../../src/drill/lab/sandbox.ts';
import type { LabFigures } from './drill-lab-inside.ts';

const inside = fileURLToPath(new URL('./drill-lab-inside.js', import.meta.url));
const sandboxModule = new URL('../../src/drill/lab/sandbox.js', import.meta.url).href;
const removalTimeoutMs = 5_000;

for (const { userNamespace, offloads } of [
  { userNamespace: 'none', offloads: 'on' },
  { userNamespace: 'mapped', offloads: 'off' },
] as const) {
  const name = `sessions, probe and capture work in a lab (user namespace ${userNamespace}, offloads ${offloads})`;
  const skip = userNamespace === 'none' && process.getuid?.() !== 0 && 'namespaces without a user namespace need root';
  test(name, { skip }, async () => {
    const host = hostState();
    const figures = await runLab(userNamespace, offloads);
    const { longestStallMs, framesSeen, brokenAfterwards, ...rest } = figures;
    assert.deepEqual(rest, {
      opened: 20,
      marked: 20,
      closedInOrder: 20,
      framesInOrder: true,
      report: { sessions: 20, broken: { reset: 0, closed: 0, corrupted: 0, stalled: 0 } },
    });
    assert.ok(longestStallMs < 1_000, `longest stall ${longestStallMs} ms`);
    assert.ok(framesSeen > 100, `${framesSeen} frames captured`);
    // Which of the two it is depends on whether the dead server had unread data.
    assert.equal(brokenAfterwards.reset + brokenAfterwards.closed, 20);
    assert.equal(hostState(), host);
  });
}

for (const { what, end } of [
  { what: 'stopped in order', end: (outer: ChildProcess) => outer.send('stop') },
  { what: 'killed with SIGKILL', end: (outer: ChildProcess) => outer.kill('SIGKILL') },
] as const) {
  test(`nothing is left of a lab whose owner was ${what}`, async () => {
    const host = hostState();
    const outer = startOwner();
    await once(outer, 'message');
    const namespaces = namespacesBelow(outer.pid!);
    assert.ok(processesIn(namespaces).length > 0, 'the lab has processes');
    end(outer);
    await once(outer, 'exit');
    await eventually('processes', () => processesIn(namespaces).length === 0);
    assert.equal(hostState(), host);
  });
}

async function runLab(userNamespace: UserNamespace, offloads: string): Promise<LabFigures> {
  const sandbox = await enterSandbox(inside, [offloads], { userNamespace });
  let figures: LabFigures | undefined;
  sandbox.process.on('message', (message) => {
    if (message !== 'built') figures = message as LabFigures;
  });
  assert.equal(await sandbox.exited, 0);
  return figures!;
}

/** A process that holds a lab until it is told to stop it. */
function startOwner(): ChildProcess {
  const program = [
    `import { enterSandbox } from '${sandboxModule}';`,
    `const sandbox = await enterSandbox('${inside}', ['hold']);`,
    `sandbox.process.on('message', (message) => process.send(message));`,
    `process.on('message', async () => { await sandbox.stop(); process.exit(0); });`,
  ];
  const args = ['--input-type=module', '--eval', program.join('\n')];
  return spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
}

/** The host's state that a lab could change: interfaces, routes, named namespaces, mounts. */
function hostState(): string {
  const named = existsSync('/run/netns') ? readdirSync('/run/netns').sort() : [];
  const run = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
  return [run('-brief', 'link'), run('route', 'show'), ...named, readFileSync('/proc/mounts', 'utf8')].join('\n');
}

/** The PID namespaces of all descendants of a process that are not its own. */
function namespacesBelow(pid: number): Set<string> {
  const own = namespaceOf('self');
  const parents = new Map(processIds().map((id) => [id, parentOf(id)]));
  const isBelow = (id: number): boolean => {
    for (let at: number | undefined = id; at !== undefined && at > 1; at = parents.get(at)) if (at === pid) return true;
    return false;
  };
  const all = [...parents.keys()].filter(isBelow).map((id) => namespaceOf(String(id)));
  return new Set(all.filter((name): name is string => name !== undefined && name !== own));
}

function processesIn(namespaces: ReadonlySet<string>): number[] {
  return processIds().filter((id) => namespaces.has(namespaceOf(String(id)) ?? ''));
}

function processIds(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function namespaceOf(process: string): string | undefined {
  try {
    return readlinkSync(`/proc/${process}/ns/pid`);
  } catch {
    return undefined;
  }
}

function parentOf(id: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${id}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined;
  }
}

async function eventually(what: string, condition: () => boolean): Promise<void> {
  const givenUpMs = performance.now() + removalTimeoutMs;
  while (!condition()) {
    assert.ok(performance.now() < givenUpMs, `${what} are left after ${removalTimeoutMs} ms`);
    await setImmediate();
  }
}

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, afterEach, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Arrivals, watchArrivals } from '../../src/drill/measure/packet-socket.ts';
import { BPF_RET_K, type Instruction } from '../../src/platform/linux/packet/socket-filter.ts';
import { eventually, type Namespace, Network, namespacesUnavailable } from '../support/namespaces.ts';
import { addressesOn, Workplace } from './daemon-bench.ts';

const skip = namespacesUnavailable();
const program = fileURLToPath(new URL('./succession-director.js', import.meta.url));
const own = '10.9.0.2';
const virtual = '10.9.0.99';
const intervalMs = 100;
/**
 * Milliseconds that a timer may be late on a machine that has other work to do. A lost advertisement would be an
 * interval.
 */
const latenessMaxMs = 25;
const everything: readonly Instruction[] = [[BPF_RET_K, 0, 0, 0xffff]];

interface Line {
  readonly found?: { readonly label: string; readonly texts: readonly string[] } | null;
  readonly state?: string;
  readonly status?: { readonly state: string; readonly stateAgeMs: number; readonly priority: number };
  readonly level?: string;
  readonly msg?: string;
}

class Director {
  readonly child: ChildProcess;
  readonly lines: Line[] = [];
  readonly exited: Promise<unknown>;

  constructor(namespace: Namespace, runDirectory: string, priority: number, addresses: readonly string[]) {
    this.child = namespace.spawn(process.execPath, program, runDirectory, String(priority), ...addresses);
    this.exited = once(this.child, 'exit');
    createInterface({ input: this.child.stdout! }).on('line', (line) => this.lines.push(JSON.parse(line) as Line));
    createInterface({ input: this.child.stderr! }).on('line', (msg) => this.lines.push({ level: 'stderr', msg }));
  }

  say(word: 'configure' | 'status' | 'stop'): void {
    this.child.stdin!.write(`${word}\n`);
  }

  async heard<Key extends keyof Line>(key: Key, from = 0): Promise<Line[Key]> {
    const find = (): Line | undefined => this.lines.slice(from).find((line) => key in line);
    const line = await eventually(find, 8000).catch(() => {
      throw new Error(`no ${key} in ${JSON.stringify(this.lines)}`);
    });
    return line[key];
  }

  async status(): Promise<NonNullable<Line['status']>> {
    const from = this.lines.length;
    this.say('status');
    return (await this.heard('status', from))!;
  }

  async active(): Promise<void> {
    for (;;) {
      if ((await this.status()).state === 'active') return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  get vrrpProcess(): number {
    const text = readFileSync(`/proc/${this.child.pid}/task/${this.child.pid}/children`, 'utf8');
    return Number(text.trim());
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}

describe('a vrrp process whose director dies', { skip }, () => {
  const network = new Network();
  const workplace = new Workplace();
  const started: Director[] = [];
  const vrrpProcesses: number[] = [];
  let host: Namespace;
  let beside: Namespace;
  let arrivals: Arrivals;
  let advertisements: { readonly atMs: number; readonly priority: number }[];
  let listening: NodeJS.Timeout;
  let runs = 0;

  before(() => {
    host = network.namespace('host');
    beside = network.namespace('beside');
    network.join([host, 'eth0'], [beside, 'eth0']);
    host.ip('addr', 'add', `${own}/24`, 'dev', 'eth0');
    arrivals = beside.enter(() => watchArrivals('eth0', everything));
    listening = setInterval(listen, 1);
  });
  afterEach(async () => {
    for (const director of started.splice(0)) await director.kill();
    for (const pid of vrrpProcesses.splice(0)) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    // A process that was killed leaves its addresses installed until the kernel removes them.
    await eventually(() => addressesOn(host, 'eth0').length === 1);
  });
  after(() => {
    clearInterval(listening);
    arrivals.close();
    network.remove();
    workplace.remove();
  });

  function listen(): void {
    arrivals.drain((frame, atMs) => {
      // IPv4, protocol 112: the priority is the third byte of the message.
      const isVrrp = frame[12] === 8 && frame[13] === 0 && frame[23] === 112;
      if (isVrrp) advertisements?.push({ atMs, priority: frame[36]! });
    });
  }

  function start(runDirectory: string, { priority = 100, addresses = [`${virtual}/24`] } = {}): Director {
    const director = new Director(host, runDirectory, priority, addresses);
    started.push(director);
    return director;
  }

  /** A director that is active, and the pid of its vrrp process. */
  async function startActive(): Promise<{ first: Director; pid: number; runDirectory: string }> {
    runs += 1;
    const runDirectory = workplace.directory(`run${runs}`);
    const first = start(runDirectory);
    assert.equal(await first.heard('found'), null);
    first.say('configure');
    await first.heard('state');
    await first.active();
    await eventually(() => addressesOn(host, 'eth0').includes(virtual));
    const pid = first.vrrpProcess;
    vrrpProcesses.push(pid);
    advertisements = [];
    return { first, pid, runDirectory };
  }

  function longestSilenceMs(): number {
    const gaps = advertisements.slice(1).map(({ atMs }, index) => atMs - advertisements[index]!.atMs);
    return Math.max(...gaps);
  }

  const priorities = (): number[] => [...new Set(advertisements.map(({ priority }) => priority))];

  test('goes on; the next director succeeds it without a gap, and SIGTERM then resigns', async () => {
    const { first, pid, runDirectory } = await startActive();
    await eventually(() => advertisements.length > 3);
    await first.kill();
    await eventually(() => advertisements.length > 8);
    const second = start(runDirectory);
    const found = (await second.heard('found'))!;
    assert.deepEqual(found, {
      label: `director ${first.child.pid}`,
      texts: Array.from({ length: 40 }, (_, i) => `map${i} from ${first.child.pid}`),
    });
    const missing: string[] = [];
    const watch = setInterval(() => {
      if (!addressesOn(host, 'eth0').includes(virtual)) missing.push('the address was away');
    }, 20);
    second.say('configure');
    assert.equal(await second.heard('state'), 'active');
    vrrpProcesses.push(second.vrrpProcess);
    assert.ok(!isAlive(pid), 'the predecessor has ended');
    const before = advertisements.length;
    // Longer than the lifetime of an address that is not renewed.
    await eventually(() => advertisements.length > before + 45, 8000);
    clearInterval(watch);
    const { state, stateAgeMs } = await second.status();
    assert.ok(state === 'active' && stateAgeMs > 4500, 'active since the first director');
    assert.deepEqual({ missing, priorities: priorities() }, { missing: [], priorities: [100] });
    assert.ok(longestSilenceMs() < intervalMs + latenessMaxMs, `${longestSilenceMs()} ms`);
    second.child.kill('SIGTERM');
    await second.exited;
    await eventually(() => priorities().includes(0));
    assert.deepEqual(addressesOn(host, 'eth0'), [own]);
    assert.deepEqual(readdirSync(runDirectory), ['lock']);
  });

  test('resigns after 5 s when no director comes', async () => {
    const { first, pid, runDirectory } = await startActive();
    const fromMs = performance.now();
    await first.kill();
    await eventually(() => priorities().includes(0), 8000);
    const tookMs = performance.now() - fromMs;
    assert.ok(tookMs > 4900 && tookMs < 5500, `${tookMs} ms`);
    await eventually(() => !isAlive(pid));
    assert.deepEqual(addressesOn(host, 'eth0'), [own]);
    assert.deepEqual(readdirSync(runDirectory), ['lock']);
  });

  test('outlives a second director that dies before it was ready, and a third one succeeds it', async () => {
    const { first, pid, runDirectory } = await startActive();
    await first.kill();
    const second = start(runDirectory);
    assert.equal((await second.heard('found'))?.label, `director ${first.child.pid}`);
    await second.kill();
    const third = start(runDirectory);
    assert.equal((await third.heard('found'))?.label, `director ${first.child.pid}`);
    third.say('configure');
    assert.equal(await third.heard('state'), 'active');
    vrrpProcesses.push(third.vrrpProcess);
    assert.ok(!isAlive(pid));
    assert.deepEqual(priorities(), [100]);
    assert.ok(longestSilenceMs() < intervalMs + latenessMaxMs, `${longestSilenceMs()} ms`);
    third.say('stop');
    await third.exited;
  });

  test('a configuration that has changed meanwhile takes effect as in a reload', async () => {
    const { first, runDirectory } = await startActive();
    await first.kill();
    const second = start(runDirectory, { priority: 120, addresses: ['10.9.0.98/24'] });
    await second.heard('found');
    second.say('configure');
    assert.equal(await second.heard('state'), 'active');
    vrrpProcesses.push(second.vrrpProcess);
    await eventually(() => advertisements.at(-1)?.priority === 120);
    assert.deepEqual(priorities(), [100, 120]);
    assert.deepEqual(addressesOn(host, 'eth0'), [own, '10.9.0.98']);
    second.say('stop');
    await second.exited;
  });

  test('a director that stops before the succession makes the vrrp process resign and end at once', async () => {
    const { first, pid, runDirectory } = await startActive();
    await first.kill();
    const second = start(runDirectory);
    await second.heard('found');
    const fromMs = performance.now();
    second.say('stop');
    await second.exited;
    assert.ok(performance.now() - fromMs < 1000);
    assert.ok(!isAlive(pid));
    await eventually(() => priorities().includes(0));
    assert.deepEqual(addressesOn(host, 'eth0'), [own]);
  });

  test('one that was killed leaves no handover record, and the next director starts like any other', async () => {
    const { first, pid, runDirectory } = await startActive();
    await first.kill();
    const second = start(runDirectory);
    await second.heard('found');
    process.kill(pid, 'SIGKILL');
    await eventually(() => !isAlive(pid));
    second.say('configure');
    assert.equal(await second.heard('state'), 'backup');
    vrrpProcesses.push(second.vrrpProcess);
    await second.active();
    const warnings = second.lines.flatMap(({ level, msg }) => (level === 'warn' ? [msg] : []));
    assert.deepEqual(warnings, [
      'starts like any other: the vrrp process before this one left no handover record (gone)',
    ]);
    second.say('stop');
    await second.exited;
  });

  test('one that stands still when it is to be replaced is killed as well', async () => {
    const { first, pid, runDirectory } = await startActive();
    await first.kill();
    const second = start(runDirectory);
    await second.heard('found');
    process.kill(pid, 'SIGSTOP');
    second.say('configure');
    assert.equal(await second.heard('state'), 'backup');
    vrrpProcesses.push(second.vrrpProcess);
    assert.ok(!isAlive(pid));
    await second.active();
    second.say('stop');
    await second.exited;
  });

  test('events of the meantime are logged, and a virtual router without a link starts like any other', async () => {
    const { first, runDirectory } = await startActive();
    await first.kill();
    host.ip('link', 'set', 'eth0', 'down');
    await eventually(() => !addressesOn(host, 'eth0').includes(virtual));
    host.ip('link', 'set', 'eth0', 'up');
    const second = start(runDirectory);
    await second.heard('found');
    second.say('configure');
    await second.heard('state');
    vrrpProcesses.push(second.vrrpProcess);
    const logged = second.lines.flatMap(({ msg = '' }) => (msg.startsWith('meanwhile: ') ? [msg] : []));
    assert.equal(logged[0], 'meanwhile: is now fault: the interface is down');
    await second.active();
    await eventually(() => addressesOn(host, 'eth0').includes(virtual));
    second.say('stop');
    await second.exited;
  });

  test('SIGTERM ends one that has no director, and is ignored by one that has', async () => {
    const { first, pid } = await startActive();
    process.kill(pid, 'SIGTERM');
    await eventually(() => advertisements.length > 2);
    assert.deepEqual(priorities(), [100]);
    await first.kill();
    const before = advertisements.length;
    await eventually(() => advertisements.length > before + 1);
    process.kill(pid, 'SIGTERM');
    await eventually(() => !isAlive(pid), 1000);
    await eventually(() => priorities().includes(0));
  });

  test('one that stands still is killed, and the next director starts like any other', async () => {
    const { first, pid, runDirectory } = await startActive();
    await first.kill();
    process.kill(pid, 'SIGSTOP');
    const second = start(runDirectory);
    assert.equal(await second.heard('found'), null);
    assert.ok(!isAlive(pid));
    second.say('configure');
    assert.equal(await second.heard('state'), 'backup');
    vrrpProcesses.push(second.vrrpProcess);
    second.say('stop');
    await second.exited;
  });
});

function isAlive(pid: number): boolean {
  try {
    // A zombie has ended, although its parent has not waited for it yet.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

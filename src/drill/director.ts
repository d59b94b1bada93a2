// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ControlError, fetchConnections, fetchStatus, requestFailover } from '../control/client.ts';
import type { DirectorStatus } from '../director/status.ts';
import type { ConnectionEntry } from '../model/connection.ts';
import type { DrillSettings } from './engine.ts';
import { initialRealServers, type RealServerChoice, renderConfiguration } from './lab/configuration.ts';
import type { Lab } from './lab/lab.ts';
import type { DirectorName } from './lab/topology.ts';

/** A director of the lab: `baton run` in its namespace. */
export interface Director {
  readonly name: DirectorName;
  start(): void;
  /** Waits until its status fulfils the condition; throws with the end of its log when it never does. */
  await(what: string, condition: (status: DirectorStatus) => boolean, timeoutMs: number): Promise<DirectorStatus>;
  /** Waits until its status fulfils the condition; false when it does not in time. */
  becomes(condition: (status: DirectorStatus) => boolean, timeoutMs: number): Promise<boolean>;
  /** Its connection table, entry by entry. */
  connections(): AsyncIterable<ConnectionEntry>;
  /** kill -9 of all its processes at once. Returns the moment, in monotonic milliseconds. */
  kill(): number;
  /**
   * kill -9 of the director process alone, while its vrrp process lives on. Resolves with the moment, once it is gone.
   */
  killDirector(): Promise<number>;
  /**
   * SIGSTOP to all its processes, `hang` to the director process alone; `resume` continues them. All give the moment, as
   * `kill` does.
   */
  freeze(): number;
  hang(): number;
  resume(): number;
  /** `baton failover`. Until its peer hands over in turn it stays a backup. */
  failover(): Promise<void>;
  /** Writes its configuration with other real servers and sends SIGHUP. Gives the moment. */
  reload(realServers: RealServerChoice): number;
  readonly isRunning: boolean;
  /** True once `failover` has made it stay a backup. */
  readonly standsBack: boolean;
  /** SIGTERM. Gives the exit code, 0 for one that was killed before; undefined when it did not end in time. */
  terminate(timeoutMs: number): Promise<number | undefined>;
}

const pollMs = 20;
const tailLinesMax = 12;
const mainModule = fileURLToPath(new URL('../main.js', import.meta.url));

/** Writes the director's configuration and run-dir into the lab's directory. */
export function createDirector(lab: Lab, name: DirectorName, options: DrillSettings): Director {
  const directory = join(lab.directory, name);
  mkdirSync(directory, { mode: 0o700 });
  const file = join(directory, 'keepalived.conf');
  const configure = (realServers: RealServerChoice): void =>
    writeFileSync(file, renderConfiguration(lab.topology, name, options, realServers), { mode: 0o600 });
  configure(initialRealServers);
  const runDirectory = join(directory, 'run');
  const command = [mainModule, 'run', '-f', file, '--run-dir', runDirectory, '--engine', options.engine];
  let child: ChildProcess | undefined;
  let log = new LogTail();
  let standsBack = false;
  const signalAll = (signal: NodeJS.Signals): number => {
    if (child?.pid === undefined || hasEnded(child)) throw complain('is not running');
    return signalTree(child.pid, signal);
  };
  const complain = (what: string): Error => new Error(`director ${name} ${what}; its log ends with:\n${log.text()}`);
  return {
    name,
    start: () => {
      // A process group of its own, so that one signal ends all of it and Ctrl-C in the terminal none of it.
      standsBack = false;
      child = lab.spawn(name, process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
      log = new LogTail();
      log.follow(child);
    },
    ...waiting(runDirectory, () => hasEnded(child), complain),
    connections: () => fetchConnections(runDirectory),
    kill: () => {
      const atMs = signalAll('SIGKILL');
      child = undefined;
      return atMs;
    },
    killDirector: async () => {
      if (child === undefined || hasEnded(child)) throw complain('is not running');
      return killAlone(child);
    },
    freeze: () => signalAll('SIGSTOP'),
    hang: () => {
      const atMs = monotonicMs();
      child?.kill('SIGSTOP');
      return atMs;
    },
    resume: () => signalAll('SIGCONT'),
    reload: (realServers) => {
      configure(realServers);
      const atMs = monotonicMs();
      child?.kill('SIGHUP');
      return atMs;
    },
    get isRunning() {
      return !hasEnded(child);
    },
    get standsBack() {
      return standsBack;
    },
    failover: async () => {
      const handedOver = await requestFailover(runDirectory);
      if (handedOver.length === 0) throw complain('had nothing to hand over');
      standsBack = true;
    },
    terminate: async (timeoutMs) => {
      const code = await terminate(child, timeoutMs);
      child = undefined;
      return code;
    },
  };
}

function waiting(
  runDirectory: string,
  hasGone: () => boolean,
  complain: (what: string) => Error,
): Pick<Director, 'await' | 'becomes'> {
  const running = (): void => {
    if (hasGone()) throw complain('ended unexpectedly');
  };
  return {
    await: async (what, condition, timeoutMs) => {
      const { reached, last } = await awaitStatus(runDirectory, condition, timeoutMs, running);
      if (reached !== undefined) return reached;
      throw complain(`has not become ${what} within ${timeoutMs / 1000} s (${describe(last)})`);
    },
    becomes: async (condition, timeoutMs) =>
      (await awaitStatus(runDirectory, condition, timeoutMs, running)).reached !== undefined,
  };
}

/** Kills a process, and none of its children. Gives the moment. */
async function killAlone(child: ChildProcess): Promise<number> {
  const gone = once(child, 'exit');
  const atMs = monotonicMs();
  child.kill('SIGKILL');
  await gone;
  return atMs;
}

/** Polls the status. `check` throws when further polling is of no use. */
async function awaitStatus(
  runDirectory: string,
  condition: (status: DirectorStatus) => boolean,
  timeoutMs: number,
  check: () => void,
): Promise<{ readonly reached?: DirectorStatus; readonly last: DirectorStatus | undefined }> {
  const givenUpMs = performance.now() + timeoutMs;
  let last: DirectorStatus | undefined;
  while (performance.now() < givenUpMs) {
    check();
    const status = await statusOf(runDirectory);
    if (status !== undefined && condition(status)) return { reached: status, last };
    last = status ?? last;
    await delay(pollMs);
  }
  return { last };
}

/** Signals a process group and all descendants of its leader. Gives the moment. */
function signalTree(pid: number, signal: NodeJS.Signals): number {
  const escaped = descendantsOf(pid);
  const atMs = monotonicMs();
  process.kill(-pid, signal);
  for (const descendant of escaped) signalIfThere(descendant, signal);
  return atMs;
}

/** CLOCK_MONOTONIC in milliseconds: the same in every process of the machine. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

async function statusOf(runDirectory: string): Promise<DirectorStatus | undefined> {
  try {
    return await fetchStatus(runDirectory);
  } catch (error) {
    // The director is not up yet, or just gone: the caller's timeout decides when that is too long.
    if (error instanceof ControlError || (error as NodeJS.ErrnoException).code !== undefined) return undefined;
    throw error;
  }
}

/** The last known state of a director, for the error that it has not become what was waited for. */
function describe(status: DirectorStatus | undefined): string {
  if (status === undefined) return 'it has never answered';
  const states = status.virtualRouters.map(({ name, state }) => `${name} is ${state}`);
  return [...states, `sync is ${status.sync.state}`].join(', ');
}

function terminate(child: ChildProcess | undefined, timeoutMs: number): Promise<number | undefined> {
  if (child === undefined) return Promise.resolve(0);
  if (hasEnded(child)) return Promise.resolve(child.exitCode ?? undefined);
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.pid && signalIfThere(-child.pid, 'SIGKILL'), timeoutMs);
    child.once('exit', (code) => {
      clearTimeout(timer);
      resolve(code ?? undefined);
    });
    child.kill('SIGTERM');
  });
}

function hasEnded(child: ChildProcess | undefined): boolean {
  return child === undefined || child.exitCode !== null || child.signalCode !== null;
}

function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Ended already.
  }
}

/** Children and their children, from /proc: the second field after the command's closing parenthesis is the parent. */
function descendantsOf(pid: number): number[] {
  const childrenOf = new Map<number, number[]>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const parent = parentOf(entry);
    if (parent !== undefined) childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), Number(entry)]);
  }
  const walk = (parent: number): number[] => (childrenOf.get(parent) ?? []).flatMap((child) => [child, ...walk(child)]);
  return walk(pid);
}

function parentOf(pid: string): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined;
  }
}

/** The last lines that a process has printed. */
class LogTail {
  #lines: string[] = [];

  follow(child: ChildProcess): void {
    child.on('error', (error) => this.#lines.push(error.message));
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#lines = [...this.#lines, ...text.split('\n').filter((line) => line !== '')].slice(-tailLinesMax);
      });
    }
  }

  text(): string {
    return this.#lines.length === 0 ? '(nothing)' : this.#lines.join('\n');
  }
}

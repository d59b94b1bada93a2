// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Ground, interfaceName, virtualAddress } from './ground.ts';
import type { ContestantName, ElectionOptions } from './options.ts';
import type { DirectorName } from './timeliness.ts';

/** One director of a pair, running. */
export interface Director {
  /** How many changes of state it has logged so far. */
  changes(): number;
  /** Waits until the last state that it has logged is this one; throws with the end of its log when it never is. */
  enters(state: 'active' | 'backup'): Promise<void>;
  /** SIGTERM, and SIGKILL when that is not enough. */
  end(): Promise<void>;
}

interface Program {
  command(file: string, directory: string): string[];
  stateOf(line: string): string | undefined;
  /** Lines of its own in `global_defs`. */
  readonly globals: readonly string[];
}

const mainModule = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const priorities: Readonly<Record<DirectorName, number>> = { better: 150, backup: 100 };
/**
 * The real-time priority that baton takes for itself; keepalived takes none unless it is told. It may then compute for 10 ms
 * in one go by default, and is killed when it has more to do: it gets a second.
 */
const realTime = ['vrrp_rt_priority 10', 'vrrp_rlimit_rttime 1000000'];
const transitionMsMax = 30_000;
const endMsMax = 10_000;
const pollMs = 20;
const tailLines = 12;

const keepalived: Omit<Program, 'globals'> = {
  command: (file, directory) => [
    ...['keepalived', '-f', file, '-n', '-l', '-P'],
    ...['-p', join(directory, 'keepalived.pid'), '-r', join(directory, 'vrrp.pid')],
  ],
  stateOf: (line) => {
    const [, state] = /Entering (\w+) STATE/.exec(line) ?? [];
    return state === 'MASTER' ? 'active' : state?.toLowerCase();
  },
};

const programs: Readonly<Record<ContestantName, Program>> = {
  baton: {
    command: (file, directory) => [
      ...[process.execPath, mainModule, 'run', '-f', file],
      ...['--run-dir', join(directory, 'run'), '--engine', 'portable'],
    ],
    stateOf: (line) => /\bis now (\w+): /.exec(line)?.[1],
    globals: [],
  },
  keepalived: { ...keepalived, globals: [] },
  'keepalived-rt': { ...keepalived, globals: realTime },
};

/** Starts one director of a pair, with files of its own below `home`. */
export function startDirector(
  ground: Ground,
  contestant: ContestantName,
  name: DirectorName,
  home: string,
  options: ElectionOptions,
): Director {
  const program = programs[contestant];
  const directory = join(home, name);
  mkdirSync(directory, { mode: 0o700 });
  const file = join(directory, 'keepalived.conf');
  writeFileSync(file, configuration(name, program.globals, options), { mode: 0o600 });
  const [executable, ...args] = program.command(file, directory) as [string, ...string[]];
  const log = join(directory, 'log');
  // A file takes what is written at once; the reader of a pipe could hold a contestant up that logs much.
  const output = openSync(log, 'a', 0o600);
  // A session of its own, as a service has: the scheduler shares the processors out among sessions.
  const child = ground.spawn(name, executable, args, { stdio: ['ignore', output, output], detached: true });
  closeSync(output);
  let problem = '';
  child.on('error', (error) => {
    problem = error.message;
  });
  const lines = (): string[] => readFileSync(log, 'utf8').split('\n');
  const states = (): string[] => lines().flatMap((line) => program.stateOf(line) ?? []);
  return {
    changes: () => states().length,
    enters: async (state) => {
      const givenUpMs = performance.now() + transitionMsMax;
      while (states().at(-1) !== state) {
        if (performance.now() > givenUpMs || hasEnded(child)) {
          const tail = lines().slice(-tailLines).join('\n');
          throw new Error(`${contestant}, director ${name}, has not become ${state}: ${problem}\n${tail}`);
        }
        await delay(pollMs);
      }
    },
    end: () => end(child),
  };
}

/** The state that a line of a contestant's log says it has entered, in RFC 9568's words. */
export function enteredState(contestant: ContestantName, line: string): string | undefined {
  return programs[contestant].stateOf(line);
}

function configuration(
  name: DirectorName,
  globals: readonly string[],
  { addresses, intervalMs }: ElectionOptions,
): string {
  return [
    'global_defs {',
    ...[`router_id ${name}`, 'vrrp_version 3', ...globals].map((line) => `  ${line}`),
    '}',
    'vrrp_instance bench {',
    '  state BACKUP',
    `  interface ${interfaceName}`,
    `  virtual_router_id ${virtualRouterId}`,
    `  priority ${priorities[name]}`,
    `  advert_int ${intervalMs / 1000}`,
    '  virtual_ipaddress {',
    ...Array.from({ length: addresses }, (_, n) => `    ${virtualAddress(n)}/32 dev ${interfaceName}`),
    '  }',
    '}',
    '',
  ].join('\n');
}

export const virtualRouterId = 51;

async function end(child: ChildProcess): Promise<void> {
  if (hasEnded(child) || child.pid === undefined) return;
  const gone = once(child, 'exit');
  const group = -child.pid;
  child.kill('SIGTERM');
  const timer = setTimeout(() => process.kill(group, 'SIGKILL'), endMsMax);
  await gone;
  clearTimeout(timer);
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

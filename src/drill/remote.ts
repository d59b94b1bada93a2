// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { errorSentence } from '../lib/error-sentence.ts';

/** A program of the drill that runs in a station's namespace and takes its orders over IPC. */
export interface Remote {
  /** Calls a procedure there. Rejects with its error, or when the process is gone. */
  call<Result>(procedure: string, ...args: readonly unknown[]): Promise<Result>;
  /** Ends the process. */
  stop(): Promise<void>;
}

type Procedures = Readonly<Record<string, (...args: never[]) => unknown>>;

interface Order {
  readonly id: number;
  readonly procedure: string;
  readonly args: readonly unknown[];
}
interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

const stderrTailMax = 4_000;

/** Where stations are: a lab. */
export interface Stations {
  spawn(stationName: string, program: string, args: readonly string[], options: SpawnOptions): ChildProcess;
}

/** Starts the module `name` (relative to this folder, without extension) in a station. */
export function startRemote(lab: Stations, stationName: string, name: string): Remote {
  const entry = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  const child = lab.spawn(stationName, process.execPath, [entry], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    serialization: 'advanced',
    // A group of its own: Ctrl-C in the terminal is for the drill alone.
    detached: true,
  });
  const pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let nextId = 0;
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-stderrTailMax);
  });
  const fail = (error: Error): void => {
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  };
  child.on('message', (answer: Answer) => {
    const waiting = pending.get(answer.id);
    pending.delete(answer.id);
    if (answer.error === undefined) waiting?.resolve(answer.value);
    else waiting?.reject(new Error(`${name} in ${stationName}: ${answer.error}`));
  });
  child.on('error', fail);
  child.on('close', () => fail(new Error(`${name} in ${stationName} ended unexpectedly: ${stderr.trim()}`)));
  return {
    call: <Result>(procedure: string, ...args: readonly unknown[]) =>
      new Promise<Result>((resolve, reject) => {
        nextId += 1;
        pending.set(nextId, { resolve: resolve as (value: unknown) => void, reject });
        const order: Order = { id: nextId, procedure, args };
        if (!child.connected) fail(new Error(`${name} in ${stationName} is gone: ${stderr.trim()}`));
        else child.send(order, (error) => error && fail(error));
      }),
    stop: () => stop(child),
  };
}

/** The other side: answers orders from the parent until the parent goes away. */
export function serveRemote(procedures: Procedures): void {
  process.once('disconnect', () => process.exit(0));
  process.on('message', async ({ id, procedure, args }: Order) => {
    const answer = await perform(procedures, id, procedure, args);
    process.send?.(answer);
  });
}

async function perform(
  procedures: Procedures,
  id: number,
  procedure: string,
  args: readonly unknown[],
): Promise<Answer> {
  try {
    return { id, value: await procedures[procedure]!(...(args as never[])) };
  } catch (error) {
    return { id, error: errorSentence(error) };
  }
}

function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

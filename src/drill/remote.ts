// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type LineReply, type LineRequest, RequestLine, type Served, serveLater } from '../lib/request-line.ts';

/** A program of the drill that runs in a station's namespace and takes its orders over IPC. */
export interface Remote {
  /** Calls a procedure there. Rejects with its error, or when the process is gone. */
  call<Result>(procedure: string, ...args: readonly unknown[]): Promise<Result>;
  /** Ends the process. */
  stop(): Promise<void>;
}

type Procedures = Readonly<Record<string, (...args: never[]) => unknown>>;

const stderrTailMax = 4_000;

/** The part of a lab that starts programs in its stations. */
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
  const place = `${name} in ${stationName}`;
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-stderrTailMax);
  });
  const requests = new RequestLine<Procedures>({
    otherEnd: place,
    post: (request) => {
      if (!child.connected) requests.lose(`${place} is gone: ${stderr.trim()}`);
      else child.send(request, (error) => error && requests.lose(error.message));
    },
  });
  child.on('message', (reply: LineReply) => {
    requests.receive('refused' in reply ? { ...reply, refused: `${place}: ${reply.refused}` } : reply);
  });
  child.on('error', (error) => requests.lose(error.message));
  child.on('close', () => requests.lose(`${place} ended unexpectedly: ${stderr.trim()}`));
  return {
    call: <Result>(procedure: string, ...args: readonly unknown[]) =>
      requests.ask(procedure, ...(args as never[])) as Promise<Result>,
    stop: () => stop(child),
  };
}

/** The other side: answers orders from the parent until the parent goes away. */
export function serveRemote(procedures: Procedures): void {
  process.once('disconnect', () => process.exit(0));
  process.on('message', async (request: LineRequest<Procedures>) => {
    process.send?.(await serveLater<Procedures>(procedures as Served<Procedures>, request));
  });
}

function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

// SPDX-License-Identifier: Apache-2.0
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { DirectorStatus } from '../director/status.ts';
import type { ConnectionEntry } from '../model/connection.ts';

export const defaultRunDirectory = '/run/baton';
const answerTimeoutMs = 10_000;

/** Thrown when no director answers; the message is a sentence for the person who asked. */
export class ControlError extends Error {}

export function controlSocketPath(runDirectory: string): string {
  return join(runDirectory, 'control.sock');
}

export async function fetchStatus(runDirectory: string, timeoutMs = answerTimeoutMs): Promise<DirectorStatus> {
  return (await readJson(await call(runDirectory, 'GET', '/status', timeoutMs))) as DirectorStatus;
}

export async function requestFailover(runDirectory: string): Promise<readonly string[]> {
  const body = (await readJson(await call(runDirectory, 'POST', '/failover'))) as { handedOver: readonly string[] };
  return body.handedOver;
}

/** Yields the connection table entry by entry, as the director streams it. */
export async function* fetchConnections(runDirectory: string): AsyncGenerator<ConnectionEntry> {
  const response = await call(runDirectory, 'GET', '/connections');
  if (response.statusCode !== 200) await readJson(response);
  for await (const line of linesOf(response)) yield JSON.parse(line) as ConnectionEntry;
}

function call(
  runDirectory: string,
  method: string,
  path: string,
  timeoutMs = answerTimeoutMs,
): Promise<IncomingMessage> {
  const socketPath = controlSocketPath(runDirectory);
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, timeout: timeoutMs });
    outgoing.on('response', (response) => {
      // Somebody who reads a long table through a pager may take as long as they like.
      outgoing.setTimeout(0);
      resolve(response);
    });
    outgoing.on('timeout', () => {
      outgoing.destroy(new ControlError(`the director behind ${socketPath} does not answer within ${timeoutMs} ms`));
    });
    outgoing.on('error', (error: NodeJS.ErrnoException) => reject(explain(error, socketPath)));
    outgoing.end();
  });
}

function explain(error: NodeJS.ErrnoException, socketPath: string): Error {
  if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') {
    return new ControlError(
      `no director is running with ${socketPath}; start one with "baton run", or name its run-dir with --run-dir`,
    );
  }
  if (error.code === 'EACCES')
    return new ControlError(`${socketPath} belongs to another user; ask as that user, or as root`);
  if (error.code === 'ECONNRESET' || error.code === 'EPIPE')
    return new ControlError(`the director behind ${socketPath} ended before it had answered; ask again`);
  return error;
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  try {
    yield* createInterface({ input: response });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
    throw new ControlError('the director ended in the middle of its connection table, so what was shown is not all');
  }
}

async function readJson(response: IncomingMessage): Promise<unknown> {
  let text = '';
  response.setEncoding('utf8');
  for await (const chunk of response) text += chunk;
  const body = JSON.parse(text) as unknown;
  if (response.statusCode === 200) return body;
  throw new ControlError((body as { error?: string }).error ?? `the director answered ${response.statusCode}`);
}

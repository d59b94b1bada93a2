// SPDX-License-Identifier: Apache-2.0
import { placed, run } from './command.ts';
import type { Contestant } from './contestants.ts';
import { addresses, httpPort, namespaces, processors } from './ground.ts';

export interface HttpFigures {
  /** Requests a second, each on a connection of its own: connections a second. */
  readonly connectionsPerSecond: number;
  /** Requests a second on connections that stay. */
  readonly requestsPerSecond: number;
  /** Connections and requests that failed, in both measurements. */
  readonly failures: number;
}

const seconds = 2;
const clients = 64;

/** Measures a contestant that is open. */
export async function measureHttp(_contestant: Contestant): Promise<HttpFigures> {
  const closing = parse(await wrk(['-H', 'Connection: close']));
  const keeping = parse(await wrk([]));
  return {
    connectionsPerSecond: closing.perSecond,
    requestsPerSecond: keeping.perSecond,
    failures: closing.failures + keeping.failures,
  };
}

function wrk(extra: readonly string[]): Promise<string> {
  const command = ['wrk', '-t', '1', '-c', String(clients), '-d', `${seconds}s`, ...extra];
  return run(
    'nsenter',
    placed(namespaces.client, processors.client, [...command, `http://${addresses.virtual}:${httpPort}/`]),
  );
}

function parse(printed: string): { readonly perSecond: number; readonly failures: number } {
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(printed)?.[1] ?? 'NaN');
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(printed)?.slice(1) ?? [];
  return { perSecond, failures: errors.reduce((sum, count) => sum + Number(count), 0) };
}

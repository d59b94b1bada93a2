// SPDX-License-Identifier: Apache-2.0
import { connect } from 'node:net';
import { type Quantiles, quantiles } from '../measure/quantile.ts';
import { createSessionEnd } from './session.ts';

// Short visits, one after the other at a steady rate: connect, have a message of the real server verified, leave.

export interface VisitOptions {
  /** Taken in turn. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly seed: number;
}

export interface VisitReport {
  readonly attempted: number;
  readonly succeeded: number;
  /** From the start of a successful visit to its answer. */
  readonly durationMs: Quantiles;
}

export interface Visitors {
  start(perSecond: number): void;
  /** Begins no more visits; resolves when the last has succeeded or failed. */
  stop(): Promise<VisitReport>;
}

/** A user who waits longer goes away. The kernel repeats a lost SYN after 1 s. */
const patienceMs = 3_000;

/** `nextNumber` gives each visit a session number that no other session has. */
export function createVisitors({ addresses, port, seed }: VisitOptions, nextNumber: () => number): Visitors {
  let timer: NodeJS.Timeout | undefined;
  let attempted = 0;
  let durationsMs: number[] = [];
  let pending = new Set<Promise<void>>();
  const visit = async (): Promise<void> => {
    const number = nextNumber();
    const startedMs = performance.now();
    const host = addresses[number % addresses.length]!;
    if (await isAnswered({ host, port, number, seed })) durationsMs.push(performance.now() - startedMs);
  };
  return {
    start: (perSecond) => {
      const startedMs = performance.now();
      timer = setInterval(() => {
        const due = Math.floor(((performance.now() - startedMs) * perSecond) / 1_000);
        for (; attempted < due; attempted += 1) {
          const one = visit().finally(() => pending.delete(one));
          pending.add(one);
        }
      }, 1_000 / perSecond);
    },
    stop: async () => {
      clearInterval(timer);
      await Promise.all(pending);
      const report = {
        attempted,
        succeeded: durationsMs.length,
        durationMs: quantiles(Float64Array.from(durationsMs)),
      };
      attempted = 0;
      durationsMs = [];
      pending = new Set();
      return report;
    },
  };
}

interface Visit {
  readonly host: string;
  readonly port: number;
  readonly number: number;
  readonly seed: number;
}

function isAnswered({ host, port, number, seed }: Visit): Promise<boolean> {
  const end = createSessionEnd({ session: number, direction: 0, seed });
  const socket = connect({ host, port, noDelay: true });
  return new Promise((resolve) => {
    const leave = (answered: boolean): void => {
      clearTimeout(timer);
      if (answered) socket.end();
      else socket.destroy();
      resolve(answered);
    };
    const timer = setTimeout(() => leave(false), patienceMs);
    socket.on('connect', () => socket.write(end.next()));
    socket.on('data', (chunk) => end.accept(chunk) === 'progress' && leave(true));
    socket.on('error', () => leave(false));
    socket.on('close', () => leave(false));
  });
}

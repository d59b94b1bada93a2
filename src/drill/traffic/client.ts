// SPDX-License-Identifier: Apache-2.0
import { connect, type Socket } from 'node:net';
import { serveRemote } from '../remote.ts';
import { createFlowClient, type FlowClient } from './flow-client.ts';
import { createSessionEnd, type SessionEnd } from './session.ts';
import { type Breakage, createStallClock, type StallClock, type StallReport } from './stall-clock.ts';
import { createVisitors, type Visitors } from './visitors.ts';
import { createWheel, type Wheel } from './wheel.ts';

// The clients' side of the sessions: one process holds them all, and judges each as its user would.

export interface TrafficOptions {
  /** Sessions and flows take these in turn. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly flowPort: number;
  readonly periodMs: number;
  readonly seed: number;
  readonly stallMaxMs: number;
}

/** The fate of the sessions since the last report: each broken session is in exactly one report. */
export interface TrafficReport {
  readonly sessions: number;
  readonly broken: Readonly<Record<Breakage, number>>;
  /** Local ports of the sessions that broke. */
  readonly brokenPorts: readonly number[];
  /** From the servers to here; the servers know the other direction. */
  readonly stalls: StallReport;
}

interface ClientSession {
  readonly slot: number;
  readonly end: SessionEnd;
  readonly socket: Socket;
  readonly incoming: StallClock;
  /** Follows the server's acknowledgements: late by up to a period, but known here. */
  readonly outgoing: StallClock;
  broken: Breakage | undefined;
  closing: boolean;
  /** The local one, once connected. */
  port: number;
  /** Called on every progress, while somebody waits for it. */
  onChange: (() => void) | undefined;
}

const connectingMax = 64;
const watchEveryMs = 500;

let options: TrafficOptions;
let wheel: Wheel<ClientSession>;
let nextSession = 0;
let sessions: ClientSession[] = [];
let flows: FlowClient;
let visitors: Visitors;

serveRemote({
  start: (given: TrafficOptions) => {
    options = given;
    wheel = createWheel<ClientSession>(given.periodMs, ({ socket, end }) => {
      if (socket.writable) socket.write(end.next());
    });
    setInterval(watch, watchEveryMs);
    flows = createFlowClient(given);
    visitors = createVisitors(given, takeNumber);
  },
  /**
   * Opens sessions until `count` live, and waits until each has had data verified both ways. Gives how many are new.
   */
  fill: async (count: number, timeoutMs: number) => {
    const missing = Math.max(0, count - sessions.filter(isAlive).length);
    await openMany(missing, timeoutMs);
    return missing;
  },
  /** Opens that many more. */
  open: openMany,
  count: () => sessions.filter(isAlive).length,
  startVisits: (perSecond: number) => visitors.start(perSecond),
  endVisits: () => visitors.stop(),
  fillFlows: (count: number, timeoutMs: number) => flows.fill(count, timeoutMs),
  reportFlows: () => flows.report(),
  /** Forgets the stalls so far. Gives how many sessions live. */
  mark: () => {
    for (const session of sessions) {
      session.incoming.reset(performance.now());
      session.outgoing.reset(performance.now());
    }
    return sessions.filter(isAlive).length;
  },
  /**
   * Waits until each living session has had a message of its own verified and answered that was sent after this call.
   */
  settle: async (timeoutMs: number) => {
    const settled = sessions.filter(isAlive).map((session) => settle(session, timeoutMs));
    await Promise.all([...settled, flows.settle(timeoutMs)]);
  },
  report: (): TrafficReport => report(),
  /** Closes all sessions. Gives how many ended in order, their last data verified. */
  close: async (timeoutMs: number) => {
    const closing = sessions.filter(isAlive);
    sessions = [];
    flows.close();
    const outcomes = await Promise.all(closing.map((session) => close(session, timeoutMs)));
    return outcomes.filter(Boolean).length;
  },
});

async function openMany(count: number, timeoutMs: number): Promise<void> {
  let started = 0;
  const worker = async (): Promise<void> => {
    while (started < count) {
      started += 1;
      await open(timeoutMs);
    }
  };
  await Promise.all(Array.from({ length: connectingMax }, worker));
}

function takeNumber(): number {
  nextSession += 1;
  return nextSession - 1;
}

function open(timeoutMs: number): Promise<void> {
  const number = takeNumber();
  const host = options.addresses[number % options.addresses.length]!;
  const socket = connect({ host, port: options.port, noDelay: true });
  const end = createSessionEnd({ session: number, direction: 0, seed: options.seed });
  const session: ClientSession = {
    slot: number,
    end,
    socket,
    incoming: createStallClock(options.periodMs, performance.now()),
    outgoing: createStallClock(options.periodMs, performance.now()),
    broken: undefined,
    closing: false,
    port: 0,
    onChange: undefined,
  };
  return new Promise((resolve, reject) => {
    const fail = (what: string): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new Error(`session ${number} to ${host}:${options.port} could not be opened: ${what}`));
    };
    const timer = setTimeout(() => fail(`no data both ways within ${timeoutMs} ms`), timeoutMs);
    socket.on('connect', () => {
      session.port = socket.localPort ?? 0;
      wheel.add(session);
      socket.write(end.next());
    });
    socket.on('data', (chunk) => receive(session, chunk));
    socket.on('error', (error: NodeJS.ErrnoException) =>
      lose(session, error.code === 'ETIMEDOUT' ? 'stalled' : 'reset'),
    );
    socket.on('end', () => !session.closing && lose(session, 'closed'));
    socket.on('close', () => {
      wheel.remove(session);
      lose(session, 'closed');
    });
    session.onChange = () => {
      if (session.broken !== undefined) fail(session.broken);
      if (session.broken !== undefined || end.verified === 0 || end.acknowledged === 0) return;
      clearTimeout(timer);
      session.onChange = undefined;
      sessions.push(session);
      resolve();
    };
  });
}

function receive(session: ClientSession, chunk: Buffer): void {
  const { end } = session;
  const acknowledgedBefore = end.acknowledged;
  const reception = end.accept(chunk);
  if (reception === 'corrupted') lose(session, 'corrupted');
  if (reception !== 'progress') return;
  session.incoming.progress(performance.now());
  if (end.acknowledged > acknowledgedBefore) session.outgoing.progress(performance.now());
  session.onChange?.();
}

function lose(session: ClientSession, cause: Breakage): void {
  if (session.broken !== undefined || (session.closing && cause === 'closed')) return;
  session.broken = cause;
  wheel.remove(session);
  session.socket.destroy();
  session.onChange?.();
}

function watch(): void {
  const nowMs = performance.now();
  for (const session of sessions) {
    const stalledMs = Math.max(session.incoming.stalledMs(nowMs), session.outgoing.stalledMs(nowMs));
    if (isAlive(session) && stalledMs > options.stallMaxMs) lose(session, 'stalled');
  }
}

function settle(session: ClientSession, timeoutMs: number): Promise<void> {
  const { end } = session;
  const sentBefore = end.sent;
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      session.onChange = undefined;
      resolve();
    };
    const timer = setTimeout(done, timeoutMs);
    session.onChange = () => {
      if (session.broken !== undefined || end.acknowledged > sentBefore) done();
    };
  });
}

function report(): TrafficReport {
  const nowMs = performance.now();
  const broken: Record<Breakage, number> = { reset: 0, closed: 0, corrupted: 0, stalled: 0 };
  for (const { broken: cause } of sessions) if (cause !== undefined) broken[cause] += 1;
  const brokenPorts = sessions.filter((session) => !isAlive(session)).map(({ port }) => port);
  const stalls: StallReport = {
    sessions: Uint32Array.from(sessions, ({ slot }) => slot),
    longestMs: Float64Array.from(sessions, ({ incoming }) => incoming.longestMs(nowMs)),
  };
  const count = sessions.length;
  sessions = sessions.filter(isAlive);
  return { sessions: count, broken, brokenPorts, stalls };
}

function close(session: ClientSession, timeoutMs: number): Promise<boolean> {
  const { socket } = session;
  session.closing = true;
  wheel.remove(session);
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    let ended = false;
    socket.once('end', () => {
      ended = true;
    });
    socket.once('close', () => {
      clearTimeout(timer);
      resolve(ended && session.broken === undefined);
    });
    socket.end();
  });
}

function isAlive(session: ClientSession): boolean {
  return session.broken === undefined;
}

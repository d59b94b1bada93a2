// SPDX-License-Identifier: Apache-2.0
import { connect, type Socket } from 'node:net';
import { monotonicMs } from '../director.ts';
import { serveRemote } from '../remote.ts';
import { createIdleSession, type IdleSession } from './idle-session.ts';
import { createSessionEnd, type SessionEnd } from './session.ts';
import type { Breakage } from './stall-clock.ts';

// Sessions that are opened all the time, a process of its own on a host of its own: connect, ask, be answered a few
// times, leave. Most are over after a tenth of a second, some live long enough to cross a failure. One that its client
// has seen established must not break.

export interface OpeningOptions {
  /** Taken in turn. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly seed: number;
  readonly stallMaxMs: number;
}

/** A session that broke after its client had seen it established. All times are monotonic milliseconds. */
export interface BrokenOpening {
  readonly address: string;
  /** The client's. */
  readonly port: number;
  readonly cause: Breakage;
  /** When the client asked its kernel to connect. */
  readonly synMs: number;
  readonly establishedMs: number;
  readonly lastAnswerMs: number | undefined;
  readonly brokenMs: number;
  readonly answers: number;
}

/** The fate of the sessions that were begun since the last report. */
export interface OpeningReport {
  readonly attempted: number;
  /** Their client has seen them established. */
  readonly opened: number;
  /** Nobody ever answered their SYN. */
  readonly unanswered: number;
  /** A reset answered their SYN. */
  readonly refused: number;
  /** All of their data was verified, but the end of the session was not acknowledged in order. */
  readonly unclosed: number;
  readonly broken: readonly BrokenOpening[];
  /** From the call to the established session, of each that was opened. */
  readonly connectMs: Float64Array;
  /** The longest wait for an answer, of each that was opened. */
  readonly stallsMs: Float64Array;
  readonly elapsedMs: number;
}

/** The fate of sessions that were silent for a time. */
export interface IdleReport {
  readonly held: number;
  /** Not answered, once they asked again. */
  readonly broken: number;
}

interface Opening {
  readonly address: string;
  readonly socket: Socket;
  readonly end: SessionEnd;
  readonly synMs: number;
  port: number;
  establishedMs: number | undefined;
  lastAnswerMs: number | undefined;
  /** When the question was asked that is not answered yet. */
  askedMs: number | undefined;
  longestMs: number;
  roundsLeft: number;
  leaving: boolean;
  over: boolean;
}

interface Tally {
  attempted: number;
  unanswered: number;
  refused: number;
  unclosed: number;
  broken: BrokenOpening[];
  connectMs: number[];
  stallsMs: number[];
}

const tickMs = 2;
/** Arrears are not made good beyond this: a burst would open sessions at another rate than was asked for. */
const arrearsMaxMs = 100;
const inFlightMax = 8_000;
const shortRounds = 3;
const longRounds = 40;
/** One of so many is a long one. */
const longEvery = 20;
const roundPauseMs = 100;
const watchEveryMs = 250;
/** A SYN that was lost is repeated after 1 s and 3 s: the last ones may have so long to be answered. */
const connectGraceMs = 3_500;
const closeGraceMs = 3_000;

let options: OpeningOptions;
const inFlight = new Set<Opening>();
let tally = emptyTally();
let number = 0;
let timer: NodeJS.Timeout | undefined;
let startedMs = 0;
let held: (IdleSession | undefined)[] = [];
let onEmpty: (() => void) | undefined;

serveRemote({
  configure: (given: OpeningOptions) => {
    options = given;
    setInterval(watch, watchEveryMs);
  },
  start: (perSecond: number) => {
    startedMs = monotonicMs();
    let dueMs = startedMs;
    timer = setInterval(() => {
      const nowMs = monotonicMs();
      dueMs = Math.max(dueMs, nowMs - arrearsMaxMs);
      for (; dueMs <= nowMs; dueMs += 1_000 / perSecond) if (inFlight.size < inFlightMax) begin(nowMs);
    }, tickMs);
  },
  /** Opens sessions that fall silent after their first answer. */
  hold: async (count: number) => {
    held = await Promise.all(Array.from({ length: count }, (_, i) => openIdle(i)));
  },
  /** Lets each of them ask again and leave. */
  release: async (): Promise<IdleReport> => {
    const answers = await Promise.all(held.map((idle) => idle?.ask() ?? true));
    const report = {
      held: held.filter((idle) => idle !== undefined).length,
      broken: answers.filter((answered) => !answered).length,
    };
    held = [];
    return report;
  },
  /** Begins no more; resolves when each has come to its end. */
  end: async (): Promise<OpeningReport> => {
    clearInterval(timer);
    const elapsedMs = monotonicMs() - startedMs;
    for (const opening of inFlight) opening.roundsLeft = Math.min(opening.roundsLeft, 1);
    const patience = setTimeout(giveUpConnecting, connectGraceMs);
    await new Promise<void>((resolve) => {
      onEmpty = resolve;
      checkEmpty();
    });
    // It would end sessions of the next scenario.
    clearTimeout(patience);
    onEmpty = undefined;
    const { connectMs, stallsMs, ...counts } = tally;
    tally = emptyTally();
    return {
      ...counts,
      opened: connectMs.length,
      connectMs: Float64Array.from(connectMs),
      stallsMs: Float64Array.from(stallsMs),
      elapsedMs,
    };
  },
});

function openIdle(index: number): Promise<IdleSession | undefined> {
  number += 1;
  const host = options.addresses[index % options.addresses.length]!;
  return createIdleSession({ host, port: options.port, session: number, seed: options.seed });
}

function emptyTally(): Tally {
  return { attempted: 0, unanswered: 0, refused: 0, unclosed: 0, broken: [], connectMs: [], stallsMs: [] };
}

function begin(nowMs: number): void {
  number += 1;
  tally.attempted += 1;
  const address = options.addresses[number % options.addresses.length]!;
  const socket = connect({ host: address, port: options.port, noDelay: true });
  const opening: Opening = {
    address,
    socket,
    end: createSessionEnd({ session: number, direction: 0, seed: options.seed }),
    synMs: nowMs,
    port: 0,
    establishedMs: undefined,
    lastAnswerMs: undefined,
    askedMs: undefined,
    longestMs: 0,
    roundsLeft: number % longEvery === 0 ? longRounds : shortRounds,
    leaving: false,
    over: false,
  };
  inFlight.add(opening);
  socket.on('connect', () => {
    opening.establishedMs = monotonicMs();
    opening.port = socket.localPort ?? 0;
    tally.connectMs.push(opening.establishedMs - nowMs);
    ask(opening);
  });
  socket.on('data', (chunk) => receive(opening, chunk));
  socket.on('error', (error: NodeJS.ErrnoException) => fail(opening, error.code));
  socket.on('end', () => !opening.leaving && lose(opening, 'closed'));
  socket.on('close', () => (opening.leaving ? finish(opening) : lose(opening, 'closed')));
}

function ask(opening: Opening): void {
  if (opening.over || !opening.socket.writable) return;
  opening.askedMs = monotonicMs();
  opening.socket.write(opening.end.next());
}

function receive(opening: Opening, chunk: Buffer): void {
  const reception = opening.end.accept(chunk);
  if (reception === 'corrupted') lose(opening, 'corrupted');
  if (reception !== 'progress') return;
  const nowMs = monotonicMs();
  opening.longestMs = Math.max(opening.longestMs, nowMs - (opening.askedMs ?? nowMs));
  opening.lastAnswerMs = nowMs;
  opening.askedMs = undefined;
  opening.roundsLeft -= 1;
  if (opening.roundsLeft > 0) {
    setTimeout(ask, roundPauseMs, opening);
    return;
  }
  opening.leaving = true;
  opening.socket.end();
}

function fail(opening: Opening, code: string | undefined): void {
  if (opening.over) return;
  if (opening.establishedMs !== undefined && !opening.leaving) {
    lose(opening, code === 'ETIMEDOUT' ? 'stalled' : 'reset');
    return;
  }
  if (opening.establishedMs !== undefined) tally.unclosed += 1;
  else if (code === 'ECONNREFUSED') tally.refused += 1;
  else tally.unanswered += 1;
  finish(opening);
}

function lose(opening: Opening, cause: Breakage): void {
  if (opening.over) return;
  const { address, port, synMs, establishedMs, lastAnswerMs, end } = opening;
  const brokenMs = monotonicMs();
  if (establishedMs === undefined) tally.unanswered += 1;
  else tally.broken.push({ address, port, cause, synMs, establishedMs, lastAnswerMs, brokenMs, answers: end.verified });
  opening.longestMs = Math.max(opening.longestMs, brokenMs - (opening.askedMs ?? brokenMs));
  finish(opening);
}

function finish(opening: Opening): void {
  if (opening.over) return;
  opening.over = true;
  if (opening.establishedMs !== undefined) tally.stallsMs.push(opening.longestMs);
  opening.socket.destroy();
  inFlight.delete(opening);
  checkEmpty();
}

/** A session that waits for nothing is between two rounds; its next question finds out what became of it. */
function watch(): void {
  const nowMs = monotonicMs();
  for (const opening of inFlight) {
    if (opening.establishedMs === undefined) continue;
    if (opening.askedMs !== undefined && nowMs - opening.askedMs > options.stallMaxMs) lose(opening, 'stalled');
    if (opening.leaving && nowMs - (opening.lastAnswerMs ?? nowMs) > closeGraceMs) {
      tally.unclosed += 1;
      finish(opening);
    }
  }
}

function giveUpConnecting(): void {
  for (const opening of inFlight) if (opening.establishedMs === undefined) fail(opening, 'ETIMEDOUT');
}

function checkEmpty(): void {
  if (inFlight.size === 0) onEmpty?.();
}

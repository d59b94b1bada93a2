// SPDX-License-Identifier: Apache-2.0
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { errorSentence } from '../../lib/error-sentence.ts';
import { recordWords } from '../../model/connection-batch.ts';
import type { ApplyOutcome, EngineConfiguration, EngineCounters, ExportPage } from '../engine.ts';
import type { PortableEngine } from './portable-engine.ts';

/** What the other threads ask. Each request is answered by a reply with the same id. */
export type EngineRequest =
  | { readonly id: number; readonly ask: 'configure'; readonly configuration: EngineConfiguration }
  | { readonly id: number; readonly ask: 'counters' }
  | { readonly id: number; readonly ask: 'export'; readonly cursor: number; readonly recordsMax: number }
  | { readonly id: number; readonly ask: 'apply'; readonly batch: Int32Array }
  | { readonly id: number; readonly ask: 'close' }
  /** Not answered: the port wants connection events. */
  | { readonly ask: 'events' }
  /** Not answered: an event batch has been dealt with. */
  | { readonly ask: 'acknowledge' }
  /** Not answered: see `ConnectionPort.expectRecords`. */
  | { readonly ask: 'expect'; readonly forMs: number }
  /** Not answered: nothing more comes by this port. */
  | { readonly ask: 'leave' };

export type EngineAnswer = EngineCounters | ExportPage | ApplyOutcome | undefined;

export type EngineReply =
  | { readonly id: number; readonly answer: EngineAnswer }
  | { readonly id: number; readonly error: string }
  | { readonly events: Int32Array }
  /** So many records were lost because earlier batches had not been acknowledged: export the table again. */
  | { readonly overrun: number };

export interface EngineThreadParts {
  readonly engine: PortableEngine;
  /** Sleeps until a frame, a kernel report or a wake-up comes, at most `timeoutMs`. */
  readonly poll: (timeoutMs: number) => void;
  readonly nowMs: () => number;
  /** Called in every round of the loop, busy or idle: the thread lives. */
  readonly onRound?: (nowMs: number) => void;
  /** Called when the engine has taken a configuration: what it needs of the interfaces may have changed. */
  readonly onConfigured?: (configuration: EngineConfiguration) => void;
  /** Told when frames may begin to leave, and when all have left. */
  readonly rounds?: { beginRound(): void; endRound(): void };
  /** Whoever may ask: the director, and sync. Requests are taken from them in turn. Ports come and go. */
  readonly requests: MessagePort[];
  /** Event batches a listener may leave unacknowledged before events are lost. */
  readonly outstandingBatchesMax?: number;
}

/** A batch may be of one millisecond and few records: this many let a listener be held up for a second. */
const outstandingBatchesDefault = 1024;
const tickPeriodMs = 1;
/** Requests taken from one port before packets have their turn again. */
const requestsPerRound = 4;

/**
 * The body of the engine's thread: packets, requests, sleep, without an event loop. Returns when a `close` request has
 * been answered; the caller then frees the ports.
 */
export function runEngineThread(parts: EngineThreadParts): void {
  const { engine, poll, nowMs, requests } = parts;
  const events = new EventOutlet(engine, parts.outstandingBatchesMax ?? outstandingBatchesDefault);
  engine.onEvents((batch) => events.send(batch));
  const leaving: MessagePort[] = [];
  let tickAtMs = 0;
  for (;;) {
    parts.rounds?.beginRound();
    const frames = engine.processBatch();
    const busy = frames > 0;
    const now = nowMs();
    parts.onRound?.(now);
    if (!busy || now >= tickAtMs) {
      engine.tick();
      tickAtMs = now + tickPeriodMs;
    }
    parts.rounds?.endRound();
    let served = 0;
    for (const port of requests) {
      for (let i = 0; i < requestsPerRound; i += 1) {
        const received = receiveMessageOnPort(port);
        if (received === undefined) break;
        served += 1;
        const request = received.message as EngineRequest;
        if (request.ask === 'leave') {
          events.remove(port);
          leaving.push(port);
        } else if (serve(parts, events, port, request)) return;
      }
    }
    for (const port of leaving.splice(0)) requests.splice(requests.indexOf(port), 1);
    if (busy || served > 0) continue;
    engine.flushEvents();
    poll(engine.idleMs);
  }
}

/** Hands event batches to the ports that asked for them, and loses them when nobody keeps up. */
class EventOutlet {
  readonly #engine: PortableEngine;
  readonly #outstandingMax: number;
  /** Unacknowledged batches, and lost records not yet reported, by port. */
  readonly #listeners = new Map<MessagePort, { outstanding: number; lost: number }>();

  constructor(engine: PortableEngine, outstandingMax: number) {
    this.#engine = engine;
    this.#outstandingMax = outstandingMax;
  }

  add(port: MessagePort): void {
    if (!this.#listeners.has(port)) this.#listeners.set(port, { outstanding: 0, lost: 0 });
  }

  remove(port: MessagePort): void {
    this.#listeners.delete(port);
  }

  acknowledge(port: MessagePort): void {
    const listener = this.#listeners.get(port);
    if (listener === undefined) return;
    listener.outstanding = Math.max(0, listener.outstanding - 1);
    if (listener.lost === 0) return;
    post(port, { overrun: listener.lost });
    listener.lost = 0;
  }

  send(batch: Int32Array): void {
    for (const [port, listener] of this.#listeners) {
      if (listener.outstanding >= this.#outstandingMax) {
        const records = batch.length / recordWords;
        listener.lost += records;
        this.#engine.countEventOverruns(records);
        continue;
      }
      listener.outstanding += 1;
      post(port, { events: batch });
    }
  }
}

/** Returns true when the thread is to end. */
function serve(
  parts: EngineThreadParts,
  events: EventOutlet,
  port: MessagePort,
  request: Exclude<EngineRequest, { ask: 'leave' }>,
): boolean {
  if (request.ask === 'events') {
    events.add(port);
    return false;
  }
  if (request.ask === 'acknowledge') {
    events.acknowledge(port);
    return false;
  }
  if (request.ask === 'expect') {
    parts.engine.expectRecords(request.forMs);
    return false;
  }
  try {
    reply(port, request.id, answer(parts, request));
  } catch (error) {
    post(port, { id: request.id, error: errorSentence(error) });
  }
  return request.ask === 'close';
}

function answer({ engine, onConfigured }: EngineThreadParts, request: EngineRequest): EngineAnswer {
  switch (request.ask) {
    case 'configure':
      engine.configure(request.configuration);
      onConfigured?.(request.configuration);
      return undefined;
    case 'counters':
      return engine.counters();
    case 'export':
      return engine.exportPage(request.cursor, request.recordsMax);
    case 'apply':
      return engine.applyBatch(request.batch);
    default:
      return undefined;
  }
}

function reply(port: MessagePort, id: number, value: EngineAnswer): void {
  const page = value !== undefined && 'batch' in value ? value.batch : undefined;
  port.postMessage({ id, answer: value } satisfies EngineReply, page === undefined ? [] : [page.buffer as ArrayBuffer]);
}

function post(port: MessagePort, message: EngineReply): void {
  port.postMessage(message);
}

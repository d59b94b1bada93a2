// SPDX-License-Identifier: Apache-2.0
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { type LineReply, type LineRequest, serve } from '../../lib/request-line.ts';
import { recordWords } from '../../model/connection-batch.ts';
import type { ApplyOutcome, EngineConfiguration, EngineCounters, ExportPage } from '../engine.ts';
import type { PortableEngine } from './portable-engine.ts';

/** The requests of the other threads. */
export interface EngineRequests {
  configure(configuration: EngineConfiguration): undefined;
  counters(): EngineCounters;
  exportPage(cursor: number, recordsMax: number): ExportPage;
  applyBatch(batch: Int32Array): ApplyOutcome;
  close(): undefined;
}

export type ToEngine =
  | LineRequest<EngineRequests>
  /** The port wants connection events. */
  | { readonly tell: 'events' }
  /** An event batch has been dealt with. */
  | { readonly tell: 'acknowledge' }
  /** See `ConnectionPort.expectRecords`. */
  | { readonly tell: 'expect'; readonly forMs: number }
  /** Nothing more comes by this port. */
  | { readonly tell: 'leave' };

export type FromEngine =
  | LineReply
  /** `number`: see PublisherWatch. `awaited`: the engine is to be woken when they have been dealt with. */
  | { readonly events: Int32Array; readonly number: number; readonly awaited: boolean }
  /** This many records were lost because earlier batches had not been acknowledged: export the table again. */
  | { readonly overrun: number };

export interface EngineThreadParts {
  readonly engine: PortableEngine;
  /** Sleeps until a frame, a kernel report or a wake-up comes, at most `timeoutMs`. */
  readonly poll: (timeoutMs: number) => void;
  readonly nowMs: () => number;
  /** Called in every round of the loop, busy or idle, as a sign of life of the thread. */
  readonly onRound?: (nowMs: number) => void;
  /** Called when the engine has taken a configuration: it may need other interfaces now. */
  readonly onConfigured?: (configuration: EngineConfiguration) => void;
  /** Called before the first frame of a round may leave, and after the last one has left. */
  readonly rounds?: { beginRound(): void; endRound(): void };
  /** The ports that requests come by, those of the director and of sync. They take turns; ports come and go. */
  readonly requests: MessagePort[];
  /** Event batches a listener may leave unacknowledged before events are lost. */
  readonly outstandingBatchesMax?: number;
}

/** A batch may hold few records of one millisecond: with this many a listener may be held up for a second. */
const outstandingBatchesDefault = 1024;
const tickPeriodMs = 1;
/** How many requests are taken from one port before packets have their turn again. */
const requestsPerRound = 4;

/**
 * The body of the engine's thread: packets, requests, sleep, without an event loop. Returns when a `close` request has
 * been answered; the caller then frees the ports.
 */
export function runEngineThread(parts: EngineThreadParts): void {
  const { engine, poll, nowMs, requests } = parts;
  const events = new EventOutlet(engine, nowMs, parts.outstandingBatchesMax ?? outstandingBatchesDefault);
  engine.onEvents((batch) => events.send(batch));
  const procedures = proceduresOf(parts);
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
        const message = received.message as ToEngine;
        if ('id' in message) {
          answer(procedures, port, message);
          if (message.ask === 'close') return;
        } else if (message.tell === 'leave') {
          events.remove(port);
          leaving.push(port);
        } else if (message.tell === 'events') events.add(port);
        else if (message.tell === 'acknowledge') events.acknowledge(port);
        else engine.expectRecords(message.forMs);
      }
    }
    for (const port of leaving.splice(0)) requests.splice(requests.indexOf(port), 1);
    if (busy || served > 0) continue;
    engine.flushEvents();
    poll(engine.idleMs);
  }
}

/** Hands event batches to the ports that asked for them, and drops those that a port is too slow for. */
class EventOutlet {
  readonly #engine: PortableEngine;
  readonly #nowMs: () => number;
  readonly #outstandingMax: number;
  /** Unacknowledged batches, and lost records not yet reported, by port. */
  readonly #listeners = new Map<MessagePort, { outstanding: number; lost: number }>();

  constructor(engine: PortableEngine, nowMs: () => number, outstandingMax: number) {
    this.#engine = engine;
    this.#nowMs = nowMs;
    this.#outstandingMax = outstandingMax;
  }

  add(port: MessagePort): void {
    if (this.#listeners.has(port)) return;
    this.#listeners.set(port, { outstanding: 0, lost: 0 });
    this.#engine.publisherWatch.begin();
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
      const number = this.#engine.publisherWatch.hand(this.#nowMs());
      post(port, { events: batch, number, awaited: this.#engine.hasUnpublished });
    }
  }
}

function proceduresOf({ engine, onConfigured }: EngineThreadParts): EngineRequests {
  return {
    configure: (configuration) => {
      engine.configure(configuration);
      onConfigured?.(configuration);
      return undefined;
    },
    counters: () => engine.counters(),
    exportPage: (cursor, recordsMax) => engine.exportPage(cursor, recordsMax),
    applyBatch: (batch) => engine.applyBatch(batch),
    close: () => undefined,
  };
}

/** Answers a request. A page of records is transferred, not copied. */
function answer(procedures: EngineRequests, port: MessagePort, request: LineRequest<EngineRequests>): void {
  const reply = serve(procedures, request);
  const isPage = request.ask === 'exportPage' && 'answer' in reply;
  port.postMessage(reply, isPage ? [(reply.answer as ExportPage).batch.buffer as ArrayBuffer] : []);
}

function post(port: MessagePort, message: FromEngine): void {
  port.postMessage(message);
}

// SPDX-License-Identifier: Apache-2.0
import type { MessagePort } from 'node:worker_threads';
import { RequestLine } from '../../lib/request-line.ts';
import type {
  ApplyOutcome,
  ConnectionPort,
  Defer,
  Engine,
  EngineConfiguration,
  EngineCounters,
  ExportPage,
} from '../engine.ts';
import type { EngineRequests, FromEngine, ToEngine } from './engine-thread.ts';

/** What becomes of the batches of events, by their numbers. */
export interface BatchProgress {
  /** The listener has dealt with it. */
  takeBatch(number: number): void;
  /** The SYNs that wait for it and for those before it may go on. */
  releaseBatch(number: number): void;
}

const unnoticed: BatchProgress = { takeBatch: () => undefined, releaseBatch: () => undefined };

/** The connections of an engine in another thread, as the sync thread sees them. */
export class RemoteConnectionPort implements ConnectionPort {
  readonly #line: Line;

  /** `wake` interrupts the engine thread's sleep. */
  constructor(port: MessagePort, wake: () => void, progress?: BatchProgress) {
    this.#line = new Line(port, wake, progress);
  }

  onEvents(listener: (batch: Int32Array) => void, onOverrun?: () => void, defer?: Defer): void {
    this.#line.listenToEvents(listener, onOverrun, defer);
  }

  exportPage(cursor: number, recordsMax: number): Promise<ExportPage> {
    return this.#line.requests.ask('exportPage', cursor, recordsMax);
  }

  expectRecords(forMs: number): void {
    this.#line.tell({ tell: 'expect', forMs });
  }

  /** The batch is copied, not given away: a caller that fails to write it writes it again. */
  applyBatch(batch: Int32Array): Promise<ApplyOutcome> {
    return this.#line.requests.ask('applyBatch', batch);
  }

  /** Ends this line; the engine goes on. */
  close(): void {
    this.#line.leave();
  }

  /** The engine thread has ended: rejects what is outstanding, and all that is asked from here on. */
  fail(reason: Error): void {
    this.#line.close(reason.message);
  }
}

/** The portable engine in a thread of its own, as the director sees it. */
export class RemoteEngine implements Engine {
  readonly kind = 'portable';
  readonly #line: Line;

  /** `wake` interrupts the engine thread's sleep. */
  constructor(port: MessagePort, wake: () => void) {
    this.#line = new Line(port, wake);
  }

  configure(configuration: EngineConfiguration): Promise<void> {
    return this.#line.requests.ask('configure', configuration);
  }

  counters(): Promise<EngineCounters> {
    return this.#line.requests.ask('counters');
  }

  async close(): Promise<void> {
    await this.#line.requests.ask('close');
    this.#line.close('the engine is closed');
  }

  onEvents(listener: (batch: Int32Array) => void, onOverrun?: () => void): void {
    this.#line.listenToEvents(listener, onOverrun);
  }

  exportPage(cursor: number, recordsMax: number): Promise<ExportPage> {
    return this.#line.requests.ask('exportPage', cursor, recordsMax);
  }

  expectRecords(forMs: number): void {
    this.#line.tell({ tell: 'expect', forMs });
  }

  /** The batch is copied, not given away: a caller that fails to write it writes it again. */
  applyBatch(batch: Int32Array): Promise<ApplyOutcome> {
    return this.#line.requests.ask('applyBatch', batch);
  }

  /** The engine thread has ended: rejects what is outstanding, and all that is asked from here on. */
  fail(reason: Error): void {
    this.#line.close(reason.message);
  }
}

/** Requests, replies and events over one message port. */
class Line {
  readonly requests: RequestLine<EngineRequests>;
  readonly #port: MessagePort;
  readonly #wake: () => void;
  readonly #progress: BatchProgress;
  #onEvents: (batch: Int32Array) => void = () => {};
  #onOverrun: () => void = () => {};
  #defer: Defer = (release) => release();
  #deferred = 0;
  #closed = false;

  constructor(port: MessagePort, wake: () => void, progress = unnoticed) {
    this.#port = port;
    this.#wake = wake;
    this.#progress = progress;
    this.requests = new RequestLine({ otherEnd: 'the engine thread', post: (request) => this.tell(request) });
    port.on('message', (message: FromEngine) => this.#receive(message));
    port.on('close', () => this.close('the engine thread has ended'));
  }

  tell(message: ToEngine): void {
    if (this.#closed) return;
    this.#port.postMessage(message);
    this.#wake();
  }

  listenToEvents(listener: (batch: Int32Array) => void, onOverrun = this.#onOverrun, defer: Defer = this.#defer): void {
    this.#onEvents = listener;
    this.#onOverrun = onOverrun;
    this.#defer = defer;
    this.tell({ tell: 'events' });
  }

  leave(): void {
    this.tell({ tell: 'leave' });
    this.close('this line to the engine is closed');
  }

  /** Only the first call's sentence is kept. */
  close(sentence: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.requests.close(sentence);
    this.#port.close();
  }

  #receive(message: FromEngine): void {
    if ('events' in message) {
      // Acknowledged only when dealt with, so that the engine sees who cannot keep up.
      this.#onEvents(message.events);
      this.#progress.takeBatch(message.number);
      this.#releaseLater(message.number, message.awaited);
      this.#port.postMessage({ tell: 'acknowledge' } satisfies ToEngine);
    } else if ('overrun' in message) this.#onOverrun();
    else this.requests.receive(message);
  }

  /** No SYN waits for a batch that is not awaited, but its release would be that of all before it. */
  #releaseLater(number: number, awaited: boolean): void {
    if (!awaited) {
      if (this.#deferred === 0) this.#progress.releaseBatch(number);
      return;
    }
    this.#deferred += 1;
    this.#defer(() => {
      this.#deferred -= 1;
      this.#progress.releaseBatch(number);
      this.#wake();
    });
  }
}

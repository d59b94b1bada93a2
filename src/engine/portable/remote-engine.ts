// SPDX-License-Identifier: Apache-2.0
import type { MessagePort } from 'node:worker_threads';
import type {
  ApplyOutcome,
  ConnectionPort,
  Engine,
  EngineConfiguration,
  EngineCounters,
  ExportPage,
} from '../engine.ts';
import type { EngineAnswer, EngineReply, EngineRequest } from './engine-thread.ts';

/** A request as its caller words it: the id is added. */
type Question = EngineRequest extends infer Request
  ? Request extends { readonly id: number }
    ? Omit<Request, 'id'>
    : never
  : never;

/** The connections of an engine in another thread, as that of sync sees them. */
export class RemoteConnectionPort implements ConnectionPort {
  readonly #line: Line;

  /** `wake` interrupts the engine thread's sleep. */
  constructor(port: MessagePort, wake: () => void) {
    this.#line = new Line(port, wake);
  }

  onEvents(listener: (batch: Int32Array) => void, onOverrun?: () => void): void {
    this.#line.listenToEvents(listener, onOverrun);
  }

  exportPage(cursor: number, recordsMax: number): Promise<ExportPage> {
    return this.#line.ask<ExportPage>({ ask: 'export', cursor, recordsMax });
  }

  expectRecords(forMs: number): void {
    this.#line.tell({ ask: 'expect', forMs });
  }

  /** The batch is copied, not given away: a caller that fails to write it writes it again. */
  applyBatch(batch: Int32Array): Promise<ApplyOutcome> {
    return this.#line.ask<ApplyOutcome>({ ask: 'apply', batch });
  }

  /** Ends this line; the engine goes on. */
  close(): void {
    this.#line.leave();
  }

  /** The engine thread has ended: rejects what is outstanding, and all that is asked from here on. */
  fail(reason: Error): void {
    this.#line.fail(reason);
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
    return this.#line.ask<undefined>({ ask: 'configure', configuration });
  }

  counters(): Promise<EngineCounters> {
    return this.#line.ask<EngineCounters>({ ask: 'counters' });
  }

  async close(): Promise<void> {
    await this.#line.ask<undefined>({ ask: 'close' });
    this.#line.fail(new Error('the engine is closed'));
  }

  onEvents(listener: (batch: Int32Array) => void, onOverrun?: () => void): void {
    this.#line.listenToEvents(listener, onOverrun);
  }

  exportPage(cursor: number, recordsMax: number): Promise<ExportPage> {
    return this.#line.ask<ExportPage>({ ask: 'export', cursor, recordsMax });
  }

  expectRecords(forMs: number): void {
    this.#line.tell({ ask: 'expect', forMs });
  }

  /** The batch is copied, not given away: a caller that fails to write it writes it again. */
  applyBatch(batch: Int32Array): Promise<ApplyOutcome> {
    return this.#line.ask<ApplyOutcome>({ ask: 'apply', batch });
  }

  /** The engine thread has ended: rejects what is outstanding, and all that is asked from here on. */
  fail(reason: Error): void {
    this.#line.fail(reason);
  }
}

/** Requests and replies over one message port. */
class Line {
  readonly #port: MessagePort;
  readonly #wake: () => void;
  readonly #waiting = new Map<number, { resolve: (answer: EngineAnswer) => void; reject: (error: Error) => void }>();
  #onEvents: (batch: Int32Array) => void = () => {};
  #onOverrun: () => void = () => {};
  #nextId = 1;
  #failure: Error | undefined;

  constructor(port: MessagePort, wake: () => void) {
    this.#port = port;
    this.#wake = wake;
    port.on('message', (reply: EngineReply) => this.#receive(reply));
    port.on('close', () => this.fail(new Error('the engine thread has ended')));
  }

  ask<Answer extends EngineAnswer>(question: Question): Promise<Answer> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: (answer) => resolve(answer as Answer), reject });
      this.#port.postMessage({ ...question, id });
      this.#wake();
    });
  }

  /** Not answered. */
  tell(request: EngineRequest): void {
    if (this.#failure !== undefined) return;
    this.#port.postMessage(request);
    this.#wake();
  }

  listenToEvents(listener: (batch: Int32Array) => void, onOverrun: () => void = () => {}): void {
    this.#onEvents = listener;
    this.#onOverrun = onOverrun;
    this.#port.postMessage({ ask: 'events' } satisfies EngineRequest);
    this.#wake();
  }

  leave(): void {
    if (this.#failure !== undefined) return;
    this.#port.postMessage({ ask: 'leave' } satisfies EngineRequest);
    this.#wake();
    this.fail(new Error('this line to the engine is closed'));
  }

  fail(reason: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
    this.#port.close();
  }

  #receive(reply: EngineReply): void {
    if ('events' in reply) {
      // Acknowledged only when dealt with, so that the engine sees who cannot keep up.
      this.#onEvents(reply.events);
      this.#port.postMessage({ ask: 'acknowledge' } satisfies EngineRequest);
      return;
    }
    if ('overrun' in reply) {
      this.#onOverrun();
      return;
    }
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if ('error' in reply) waiting?.reject(new Error(reply.error));
    else waiting?.resolve(reply.answer);
  }
}

// SPDX-License-Identifier: Apache-2.0
import type { Clock } from './clock.ts';
import { errorSentence } from './error-sentence.ts';

// Requests and replies over a channel between processes or threads. A channel declares a table: an interface with one
// procedure for each request. The procedure's parameters are the request's arguments and its result is the answer; the
// channel copies both. Other messages may use the same channel: those of a request line are recognised by their `id`.

type Procedure = (...args: never[]) => unknown;

type RequestTable<Table> = { readonly [Kind in keyof Table]: Procedure };

/** A message from the asking end. */
export type LineRequest<Table extends RequestTable<Table>> = {
  [Kind in keyof Table]: { readonly id: number; readonly ask: Kind; readonly args: Parameters<Table[Kind]> };
}[keyof Table];

/** A message from the serving end. `refused` is a sentence that says what happened. */
export type LineReply =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly refused: string };

export type Answer<Table extends RequestTable<Table>, Kind extends keyof Table> = Awaited<ReturnType<Table[Kind]>>;

/** The procedures of the serving end. */
export type Served<Table extends RequestTable<Table>> = {
  readonly [Kind in keyof Table]: (
    ...args: Parameters<Table[Kind]>
  ) => Answer<Table, Kind> | Promise<Answer<Table, Kind>>;
};

export interface RequestLineParts<Table extends RequestTable<Table>> {
  /** The name of the other end in sentences, such as `the vrrp process`. */
  readonly otherEnd: string;
  /**
   * Sends a request. It calls `lose` or `close` when the other end is gone; an error that it throws rejects this
   * request alone.
   */
  readonly post: (request: LineRequest<Table>) => void;
  /** Absent: a request waits for its answer until the other end is gone. */
  readonly timeout?: { readonly clock: Clock; readonly answerTimeoutMs: number };
  /** The number of requests that may wait for an answer; a further one is rejected. Absent: 65 536. */
  readonly pendingMax?: number;
}

interface Pending {
  readonly resolve: (answer: never) => void;
  readonly reject: (reason: Error) => void;
  readonly disarm: (() => void) | undefined;
}

/** The other end has gone and cannot answer. */
export class OtherEndGone extends Error {
  override readonly name = 'OtherEndGone';
}

const pendingMaxDefault = 65_536;

/** The asking end of a channel. */
export class RequestLine<Table extends RequestTable<Table>> {
  readonly #parts: RequestLineParts<Table>;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #closed: OtherEndGone | undefined;

  constructor(parts: RequestLineParts<Table>) {
    this.#parts = parts;
  }

  /** Rejects with a sentence when the other end refuses, when it is gone, or when it does not answer in time. */
  ask<Kind extends keyof Table>(ask: Kind, ...args: Parameters<Table[Kind]>): Promise<Answer<Table, Kind>> {
    const { otherEnd, post, pendingMax = pendingMaxDefault } = this.#parts;
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (this.#pending.size >= pendingMax) {
      return Promise.reject(new Error(`${otherEnd} has ${pendingMax} requests to answer already`));
    }
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, disarm: this.#arm(id) });
      try {
        post({ id, ask, args });
      } catch (error) {
        this.#take(id)?.reject(error instanceof Error ? error : new Error(errorSentence(error)));
      }
    });
  }

  /** Returns false when no request waits for this reply: it has timed out, or there was none. */
  receive(reply: LineReply): boolean {
    const pending = this.#take(reply.id);
    if (pending === undefined) return false;
    if ('refused' in reply) pending.reject(new Error(reply.refused));
    else pending.resolve(reply.answer as never);
    return true;
  }

  /** The other end is gone, but may be replaced: rejects all waiting requests. */
  lose(sentence: string): void {
    for (const id of [...this.#pending.keys()]) this.#take(id)?.reject(new OtherEndGone(sentence));
  }

  /**
   * The other end is gone for good: rejects all waiting and all later requests. The sentence of the first call is kept.
   */
  close(sentence: string): void {
    this.#closed ??= new OtherEndGone(sentence);
    this.lose(sentence);
  }

  #arm(id: number): (() => void) | undefined {
    const { otherEnd, timeout } = this.#parts;
    if (timeout === undefined) return undefined;
    const { clock, answerTimeoutMs } = timeout;
    return clock.callAt(clock.nowMs() + answerTimeoutMs, () => {
      this.#take(id)?.reject(new Error(`${otherEnd} does not answer within ${answerTimeoutMs} ms`));
    });
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.disarm?.();
    return pending;
  }
}

/**
 * The serving end, where a procedure may be asynchronous. The message of an error that it throws is the refusal's
 * sentence.
 */
export async function serveLater<Table extends RequestTable<Table>>(
  procedures: Served<Table>,
  { id, ask, args }: LineRequest<Table>,
): Promise<LineReply> {
  try {
    return { id, answer: await procedureOf(procedures, ask)(...args) };
  } catch (error) {
    return { id, refused: errorSentence(error) };
  }
}

/** The serving end of a thread without an event loop: every procedure answers at once. */
export function serve<Table extends RequestTable<Table>>(
  procedures: Table,
  { id, ask, args }: LineRequest<Table>,
): LineReply {
  try {
    return { id, answer: procedureOf(procedures, ask)(...args) };
  } catch (error) {
    return { id, refused: errorSentence(error) };
  }
}

/** Looks only at the table's own properties, because a request comes from another process. */
function procedureOf(procedures: object, ask: PropertyKey): (...args: readonly unknown[]) => unknown {
  if (Object.hasOwn(procedures, ask)) return procedures[ask as never];
  throw new Error(`there is no request ${String(ask)}`);
}

// SPDX-License-Identifier: Apache-2.0
import type { SyncCounters } from './counters.ts';
import { bulkWindowChunks, type SyncTuning } from './tuning.ts';

/**
 * The progress of one peer's snapshot on its way into this director's table.
 *
 *     wanted → requested → receiving → settling → complete
 *        ↑_________|___________|           (a hole in the peer's stream leads back to wanted from anywhere)
 */
export type IntakeState =
  | { readonly kind: 'wanted'; readonly atMs: number; readonly attempts: number }
  | {
      readonly kind: 'requested';
      readonly transfer: number;
      readonly attempts: number;
      readonly sinceMs: number;
      readonly repeats: number;
      readonly repeatAtMs: number;
    }
  | {
      readonly kind: 'receiving';
      readonly transfer: number;
      readonly attempts: number;
      chunks: number;
      records: number;
      /** Chunks that are in the table. */
      applied: number;
      chunkLimit: number;
      lastProgressMs: number;
      creditAtMs: number;
      /** For each chunk on its way into the table: the number of its last batch. */
      readonly tickets: number[];
    }
  /** All chunks have arrived; the batch with the number `ticket` is on its way into the table. */
  | { readonly kind: 'settling'; readonly ticket: number }
  | { readonly kind: 'complete'; readonly atMs: number };

/** The message that the peer has to be sent. */
export type IntakeAction =
  | { readonly kind: 'request' | 'credit'; readonly transfer: number; readonly chunkLimit: number }
  | undefined;

export class SnapshotIntake {
  readonly #settings: SyncTuning;
  readonly #windowChunks: number;
  readonly #nextTransfer: () => number;
  readonly #counters: SyncCounters;
  #state: IntakeState;

  constructor(settings: SyncTuning, counters: SyncCounters, nextTransfer: () => number, nowMs: number) {
    this.#counters = counters;
    this.#settings = settings;
    this.#windowChunks = bulkWindowChunks(settings);
    this.#nextTransfer = nextTransfer;
    this.#state = { kind: 'wanted', atMs: nowMs, attempts: 0 };
  }

  get state(): IntakeState {
    return this.#state;
  }

  get complete(): boolean {
    return this.#state.kind === 'complete';
  }

  /** Any -> wanted. Part of the peer's stream is lost, so this director's table is no longer a copy of the peer's. */
  restart(nowMs: number): void {
    const { kind } = this.#state;
    const attempts = kind === 'requested' || kind === 'receiving' ? this.#state.attempts + 1 : 0;
    if (kind !== 'wanted') this.#counters.traffic.bulkRestarted += 1;
    const delayMs = attempts === 0 ? 0 : backoff(this.#settings, attempts);
    this.#state = { kind: 'wanted', atMs: nowMs + delayMs, attempts };
  }

  /** requested -> receiving. False for a transfer that is not expected. */
  begin(transfer: number, nowMs: number): boolean {
    const state = this.#state;
    if (state.kind !== 'requested' || state.transfer !== transfer) return false;
    this.#state = {
      kind: 'receiving',
      transfer,
      attempts: state.attempts,
      chunks: 0,
      records: 0,
      applied: 0,
      chunkLimit: this.#windowChunks,
      lastProgressMs: nowMs,
      creditAtMs: nowMs + this.#settings.bulkSpacingMs,
      tickets: [],
    };
    return true;
  }

  /** Whether a chunk is the next one of the transfer under way. */
  expects(transfer: number, index: number): boolean {
    const state = this.#state;
    return state.kind === 'receiving' && state.transfer === transfer && state.chunks === index;
  }

  /** Notes the expected chunk; `ticket` is the number of the batch that brings it into the table. */
  chunk(records: number, ticket: number, nowMs: number): void {
    const state = this.#state;
    if (state.kind !== 'receiving') return;
    state.chunks += 1;
    state.records += records;
    state.lastProgressMs = nowMs;
    state.tickets.push(ticket);
  }

  /** receiving -> settling when the counts agree, -> wanted when they differ. False for another transfer. */
  end(transfer: number, chunks: number, records: number, ticket: number, nowMs: number): boolean {
    const state = this.#state;
    if (state.kind !== 'receiving' || state.transfer !== transfer) return false;
    if (state.chunks === chunks && state.records === records) this.#state = { kind: 'settling', ticket };
    else this.restart(nowMs);
    return true;
  }

  /**
   * settling -> complete. Batches up to the number `done` are in the table. More credit is granted when a quarter of
   * the window is free.
   */
  applied(done: number, nowMs: number): IntakeAction {
    const state = this.#state;
    if (state.kind === 'settling' && done >= state.ticket) {
      this.#state = { kind: 'complete', atMs: nowMs };
      return undefined;
    }
    if (state.kind !== 'receiving') return undefined;
    let count = 0;
    while (count < state.tickets.length && state.tickets[count]! <= done) count += 1;
    if (count === 0) return undefined;
    state.tickets.splice(0, count);
    state.applied += count;
    state.lastProgressMs = nowMs;
    const limit = state.applied + this.#windowChunks;
    if (limit - state.chunkLimit < this.#windowChunks / 4) return undefined;
    return this.#grant(state, nowMs);
  }

  /** Does what is due: a request, its repetition, a repeated credit, or a new attempt after a stall. */
  advance(nowMs: number): IntakeAction {
    const state = this.#state;
    const { bulkStallMs, bulkSpacingMs, bulkSpacingMaxMs } = this.#settings;
    if (state.kind === 'wanted') {
      if (nowMs < state.atMs) return undefined;
      const transfer = this.#nextTransfer();
      const repeatAtMs = nowMs + bulkSpacingMs;
      const { attempts } = state;
      this.#state = { kind: 'requested', transfer, attempts, sinceMs: nowMs, repeats: 0, repeatAtMs };
      return { kind: 'request', transfer, chunkLimit: this.#windowChunks };
    }
    if (state.kind === 'requested') {
      if (nowMs < state.repeatAtMs) return undefined;
      const repeats = state.repeats + 1;
      const repeatAtMs = nowMs + Math.min(bulkSpacingMaxMs, bulkSpacingMs * 2 ** repeats);
      this.#state = { ...state, repeats, repeatAtMs };
      return { kind: 'request', transfer: state.transfer, chunkLimit: this.#windowChunks };
    }
    if (state.kind !== 'receiving') return undefined;
    if (nowMs >= state.lastProgressMs + bulkStallMs && state.tickets.length === 0) {
      this.restart(nowMs);
      return undefined;
    }
    return nowMs >= state.creditAtMs ? this.#grant(state, nowMs) : undefined;
  }

  nextDeadlineMs(): number {
    const state = this.#state;
    switch (state.kind) {
      case 'wanted':
        return state.atMs;
      case 'requested':
        return state.repeatAtMs;
      case 'receiving':
        return state.tickets.length === 0
          ? Math.min(state.creditAtMs, state.lastProgressMs + this.#settings.bulkStallMs)
          : state.creditAtMs;
      case 'settling':
      case 'complete':
        return Number.POSITIVE_INFINITY;
    }
  }

  #grant(state: IntakeState & { kind: 'receiving' }, nowMs: number): IntakeAction {
    state.chunkLimit = state.applied + this.#windowChunks;
    state.creditAtMs = nowMs + this.#settings.bulkSpacingMs;
    return { kind: 'credit', transfer: state.transfer, chunkLimit: state.chunkLimit };
  }
}

function backoff(settings: SyncTuning, attempts: number): number {
  return Math.min(settings.bulkSpacingMaxMs, settings.bulkSpacingMs * 2 ** attempts);
}

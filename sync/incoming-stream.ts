// SPDX-License-Identifier: Apache-2.0
import type { SyncCounters } from './counters.ts';
import type { SequenceRange } from './messages/fields.ts';
import type { SequencedMessage } from './messages/table.ts';
import type { SyncTuning } from './tuning.ts';

export type Arrival = 'inOrder' | 'held' | 'duplicate' | 'heldFull';

interface Held {
  readonly message: SequencedMessage;
  readonly bytes: number;
}

/** Memory in bytes that a held message takes besides its records. */
const messageBytes = 200;

/**
 * Puts one peer's numbered datagrams back in order. Datagrams that arrive ahead of a gap are held, bounded in bytes;
 * the missing ones are requested again at growing intervals. Order keeps the protocol simple: the older creation of a
 * connection can never overtake its removal, nor can an older page of a snapshot, since all are numbered in one
 * stream.
 */
export class IncomingStream {
  readonly #settings: SyncTuning;
  readonly #counters: SyncCounters;
  readonly #held = new Map<number, Held>();
  #heldBytes = 0;
  /** The next number to be applied. */
  #expected: number;
  /** The last number known to have been given out. */
  #highest: number;
  #gapSinceMs: number | undefined;
  #nackAtMs = Number.POSITIVE_INFINITY;
  #nackAttempts = 0;
  gaps = 0;

  constructor(settings: SyncTuning, counters: SyncCounters, firstSequence: number) {
    this.#settings = settings;
    this.#counters = counters;
    this.#expected = firstSequence;
    this.#highest = firstSequence - 1;
  }

  get expected(): number {
    return this.#expected;
  }

  get highest(): number {
    return this.#highest;
  }

  /** When the current gap was noticed; undefined without one. */
  get gapSinceMs(): number | undefined {
    return this.#gapSinceMs;
  }

  /** When to request the missing datagrams again; infinity while none is missing. */
  get nackAtMs(): number {
    return this.#nackAtMs;
  }

  get nackAttempts(): number {
    return this.#nackAttempts;
  }

  accept(sequence: number, message: SequencedMessage, nowMs: number): Arrival {
    if (sequence < this.#expected || this.#held.has(sequence)) return 'duplicate';
    this.#highest = Math.max(this.#highest, sequence);
    const bytes = messageBytes + ('entries' in message ? message.entries.byteLength : 0);
    // The next datagram in order always has room, because all others wait for it.
    if (sequence !== this.#expected && this.#heldBytes + bytes > this.#settings.heldBytesMax) {
      this.#watchGap(nowMs);
      return 'heldFull';
    }
    this.#held.set(sequence, { message, bytes });
    this.#heldBytes += bytes;
    this.#watchGap(nowMs);
    return sequence === this.#expected ? 'inOrder' : 'held';
  }

  /** The peer has given out numbers up to `last`. */
  noteTail(last: number, nowMs: number): void {
    if (last <= this.#highest) return;
    this.#highest = last;
    this.#watchGap(nowMs);
  }

  /** The next message in order, if it has arrived. */
  peek(): SequencedMessage | undefined {
    return this.#held.get(this.#expected)?.message;
  }

  /** The message of `peek` is applied. Returns whether that closed the gap. */
  advance(nowMs: number): boolean {
    this.#release(this.#expected);
    this.#expected += 1;
    this.#nackAttempts = 0;
    const gapBefore = this.#gapSinceMs !== undefined;
    // While the missing datagrams are arriving, another request would only repeat those that are under way.
    if (gapBefore) this.#nackAtMs = nowMs + this.#settings.nackDelayMs;
    this.#watchGap(nowMs);
    return gapBefore && this.#gapSinceMs === undefined;
  }

  /** The missing ranges, lowest first, as far as there is memory to hold what comes after them. */
  missing(rangesMax: number): SequenceRange[] {
    const ranges: SequenceRange[] = [];
    let next = this.#expected;
    for (const sequence of this.#heldSequences()) {
      if (sequence > next) ranges.push([next, sequence - 1]);
      if (ranges.length === rangesMax) return ranges;
      next = sequence + 1;
    }
    if (next <= this.#highest) ranges.push([next, this.#highest]);
    return ranges;
  }

  /** A request for the missing datagrams has been sent. */
  noteNack(nowMs: number): void {
    const { nackSpacingMs, nackSpacingMaxMs } = this.#settings;
    this.#nackAtMs = nowMs + Math.min(nackSpacingMaxMs, nackSpacingMs * 2 ** this.#nackAttempts);
    this.#nackAttempts += 1;
  }

  /** There is no room to apply the messages that have arrived, so requests for more have to wait. */
  postponeNack(nowMs: number): void {
    this.#nackAtMs = nowMs + this.#settings.nackSpacingMs;
  }

  /** The number at which the stream continues when a gap is given up: the first that is held, or one after the last. */
  nextAvailable(): number {
    return this.#heldSequences()[0] ?? this.#highest + 1;
  }

  /** Gives up the missing datagrams below `sequence`. Returns the messages that were held there, in order. */
  skipTo(sequence: number, nowMs: number): SequencedMessage[] {
    if (sequence <= this.#expected) return [];
    const passed = this.#heldSequences().filter((one) => one < sequence);
    const messages = passed.map((one) => this.#held.get(one)!.message);
    for (const one of passed) this.#release(one);
    this.#expected = sequence;
    this.#highest = Math.max(this.#highest, sequence - 1);
    this.#nackAttempts = 0;
    this.#watchGap(nowMs);
    return messages;
  }

  #watchGap(nowMs: number): void {
    const outstanding = this.#highest - this.#expected + 1 - this.#held.size;
    if (outstanding <= 0) {
      this.#gapSinceMs = undefined;
      this.#nackAtMs = Number.POSITIVE_INFINITY;
      this.#nackAttempts = 0;
    } else if (this.#gapSinceMs === undefined) {
      this.#gapSinceMs = nowMs;
      this.#nackAtMs = nowMs + this.#settings.nackDelayMs;
      this.gaps += 1;
      this.#counters.traffic.gapsSeen += 1;
    }
  }

  #release(sequence: number): void {
    const held = this.#held.get(sequence);
    if (held === undefined) return;
    this.#heldBytes -= held.bytes;
    this.#held.delete(sequence);
  }

  #heldSequences(): number[] {
    return [...this.#held.keys()].sort((a, b) => a - b);
  }
}

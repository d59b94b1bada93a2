// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../../lib/clock.ts';
import { recordWords } from '../../model/connection-batch.ts';
import {
  type ApplyOutcome,
  addOutcomes,
  type ConnectionPort,
  type Defer,
  type ExportPage,
  nothingApplied,
} from '../engine.ts';
import type { BpfObject, BpfRingReader } from './bpf-object.ts';
import { HeldFrames, type HeldFramesParts } from './held-frames.ts';
import { PublishingLayout, SettingsLayout } from './layout/structs.ts';
import { Mailbox } from './mailbox.ts';
import { MappedArray } from './mapped-array.ts';
import { runSlotsMax } from './sweep.ts';
import { TableSpan } from './table-span.ts';
import { eventOverruns } from './tallies.ts';
import { requiredMap } from './xdp-maps.ts';

export interface XdpConnectionPortParts {
  readonly object: BpfObject;
  /** This thread's own index in `mailboxes`. */
  readonly mailbox: number;
  readonly clock: Clock;
  /**
   * The reader of the ring `events`; the port tells the program by `reader_asleep` that it has to be woken. Without a
   * reader there are no events. It is closed with the port.
   */
  readonly events?: BpfRingReader;
  /** With a reader: without them a SYN that the program has held is lost. */
  readonly held?: HeldFramesParts;
}

/** A bound on the slots that one page looks at, so that a sparse table holds up its thread for some milliseconds only. */
const pageSlotsMax = 16 * runSlotsMax;
/** A run with this many records takes about 0.2 ms, in which its processor forwards nothing. */
const applyRecordsMax = 256;
const batchRecordsMax = 512;
/** Batches in a row before the thread does something else. */
const batchesMax = 16;
/**
 * After this many events at once the thread looks again by itself, a millisecond later. After fewer it sleeps, and the next
 * event wakes it: that one reaches the peers the sooner, and a wake-up costs a packet little when there are few.
 */
const busyEvents = 16;
const lookPeriodMs = 1;
/** The program wakes a sleeping reader; this bound only makes losses show while no event gets through. */
const sleepMaxMs = 250;

/** The connection table of a loaded program, for one thread. Any thread can have one of its own. */
export class XdpConnectionPort implements ConnectionPort {
  readonly #mailbox: Mailbox;
  readonly #span: TableSpan;
  readonly #settings: MappedArray;
  readonly #tallies: MappedArray;
  readonly #publishing: MappedArray;
  readonly #clock: Clock;
  readonly #events: BpfRingReader | undefined;
  readonly #held: HeldFrames | undefined;
  readonly #batch = new Int32Array(batchRecordsMax * recordWords);
  #listener: ((batch: Int32Array) => void) | undefined;
  #onOverrun: (() => void) | undefined;
  #defer: Defer = (release) => release();
  #overruns: number;
  #cancelLook: (() => void) | undefined;
  #waiting: Promise<void> | undefined;
  #closed = false;

  constructor({ object, mailbox, clock, events, held }: XdpConnectionPortParts) {
    this.#mailbox = new Mailbox(object, mailbox);
    this.#span = new TableSpan(object);
    this.#settings = new MappedArray(requiredMap(object, '.data.settings'));
    this.#tallies = new MappedArray(requiredMap(object, 'tallies'));
    this.#publishing = new MappedArray(requiredMap(object, '.data.publishing'));
    this.#clock = clock;
    this.#events = events;
    this.#held = held === undefined ? undefined : new HeldFrames(held, this.#publishing, clock);
    this.#overruns = eventOverruns(this.#tallies);
  }

  onEvents(listener: (batch: Int32Array) => void, onOverrun?: () => void, defer: Defer = this.#defer): void {
    if (this.#events === undefined) throw new Error('this connection port was made without a reader of events');
    const isFirst = this.#listener === undefined;
    this.#listener = listener;
    this.#onOverrun = onOverrun;
    this.#defer = defer;
    if (isFirst) this.#look();
  }

  async exportPage(cursor: number, recordsMax: number): Promise<ExportPage> {
    const { end } = this.#span;
    const batches: Int32Array[] = [];
    let position = cursor;
    let room = recordsMax;
    for (let slots = 0; position < end && room > 0 && slots < pageSlotsMax; ) {
      const tableEnd = this.#span.tableEnd(position);
      const from = position;
      if (this.#span.isEmptyAt(from)) position = tableEnd;
      else {
        const { records, next } = this.#mailbox.exportRecords(from, Math.min(runSlotsMax, tableEnd - from), room);
        batches.push(records.slice());
        room -= records.length / recordWords;
        position = next ?? end;
        slots += Math.max(1, position - from);
      }
    }
    return { batch: joined(batches), next: position < end ? position : undefined };
  }

  expectRecords(forMs: number): void {
    const untilNs = BigInt(Math.floor((this.#clock.nowMs() + forMs) * 1e6));
    Atomics.store(this.#settings.longs, SettingsLayout.recordsExpectedUntil >> 3, untilNs);
  }

  async applyBatch(batch: Int32Array): Promise<ApplyOutcome> {
    let sum = nothingApplied;
    const length = batch.length - (batch.length % recordWords);
    for (let at = 0; at < length; at += applyRecordsMax * recordWords) {
      const end = Math.min(length, at + applyRecordsMax * recordWords);
      sum = addOutcomes(sum, this.#mailbox.applyRecords(batch.subarray(at, end)));
    }
    return sum;
  }

  /** Hands over the events in the ring, up to a bound, and reports when some were lost. Returns how many there were. */
  drain(): number {
    const reader = this.#events;
    if (reader === undefined || this.#closed) return 0;
    let total = 0;
    for (let batches = 0; batches < batchesMax; batches += 1) {
      let length = 0;
      const count = reader.read(batchRecordsMax, (words, offset, size) => {
        if (size !== recordWords) {
          this.#held?.hold(words, offset, size);
          return;
        }
        for (let i = 0; i < recordWords; i += 1) this.#batch[length + i] = words[offset + i]!;
        length += recordWords;
      });
      if (length > 0) this.#listener?.(this.#batch.slice(0, length));
      this.#held?.release(this.#defer);
      // Not before the listener has sent them: the program admits no new connection while events wait for too long.
      this.#publishing.storeLong(0, PublishingLayout.taken, BigInt(reader.position));
      total += count;
      if (count < batchRecordsMax) break;
    }
    const overruns = eventOverruns(this.#tallies);
    if (overruns > this.#overruns) {
      this.#overruns = overruns;
      this.#onOverrun?.();
    }
    return total;
  }

  /** Resolves when nothing reads the ring any more. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelLook?.();
    this.#events?.stop();
    await this.#waiting;
    this.#events?.close();
    this.#held?.close();
  }

  /** While many events come, looks every millisecond; otherwise sleeps until the program wakes it. */
  #look(): void {
    this.#cancelLook = undefined;
    if (this.#closed) return;
    if (this.drain() < busyEvents) this.#waiting = this.#sleep();
    else this.#cancelLook = this.#clock.callAt(this.#clock.nowMs() + lookPeriodMs, () => this.#look());
  }

  async #sleep(): Promise<void> {
    await this.#events!.wait(sleepMaxMs);
    this.#waiting = undefined;
    this.#look();
  }
}

function joined(batches: readonly Int32Array[]): Int32Array {
  if (batches.length === 1) return batches[0]!;
  const all = new Int32Array(batches.reduce((length, batch) => length + batch.length, 0));
  let at = 0;
  for (const batch of batches) {
    all.set(batch, at);
    at += batch.length;
  }
  return all;
}

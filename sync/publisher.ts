// SPDX-License-Identifier: Apache-2.0
import { recordWords } from '../src/model/connection-batch.ts';
import type { SyncCounters } from './counters.ts';
import { emitFrame, frameLength, markResent } from './frame.ts';
import { withoutRecords } from './key-set.ts';
import { emitMessage } from './messages/body.ts';
import { type ClassBits, classBitsOf, emitEntries, isValidRecord, measureEntries } from './messages/entries.ts';
import type { SequenceRange } from './messages/fields.ts';
import { type ControlMessage, DatagramType, type OutgoingOf, type SequencedName } from './messages/table.ts';
import { entriesRoom, type SyncTuning, windowDatagrams } from './tuning.ts';

export interface Identity {
  /** 1..4294967295, unique on the segment, unchanged by a restart. */
  readonly senderId: number;
  /** Rises with each start, for example microseconds of the real-time clock; 1..2^53 - 1. */
  readonly epoch: number;
  /** 0..255. */
  readonly syncId: number;
}

/** This director's stream: numbers its datagrams and keeps the last ones, so that they can be sent again. */
export class Publisher {
  readonly #identity: Identity;
  readonly #settings: SyncTuning;
  readonly #counters: SyncCounters;
  readonly #send: (datagram: Uint8Array) => void;
  readonly #scratch: Uint8Array;
  /** A ring: the datagram with number n is at n % length. */
  readonly #window: (Uint8Array | undefined)[];
  readonly #sentAtMs: Float64Array;
  #datagramNumber = 0;
  #lastSequence = 0;
  #lastSequencedMs = Number.NEGATIVE_INFINITY;

  constructor(identity: Identity, settings: SyncTuning, counters: SyncCounters, send: (datagram: Uint8Array) => void) {
    this.#identity = identity;
    this.#settings = settings;
    this.#counters = counters;
    this.#send = send;
    this.#scratch = new Uint8Array(entriesRoom(settings));
    this.#window = new Array<Uint8Array | undefined>(windowDatagrams(settings)).fill(undefined);
    this.#sentAtMs = new Float64Array(this.#window.length);
  }

  get lastSequence(): number {
    return this.#lastSequence;
  }

  get lastSequencedMs(): number {
    return this.#lastSequencedMs;
  }

  /** The lowest number that can still be sent again. */
  get oldest(): number {
    return Math.max(1, this.#lastSequence - this.#window.length + 1);
  }

  /** Sends events of local connections, in as many datagrams as needed. Gives the records that could be sent. */
  publish(batch: Int32Array, nowMs: number): Int32Array {
    const valid = this.sendable(batch);
    this.#sendEntries(valid, nowMs, (entries) => ({ type: DatagramType.delta, entries }));
    return valid;
  }

  /** Sends records of a snapshot; gives the number of chunks. */
  publishChunks(batch: Int32Array, requester: number, transfer: number, firstIndex: number, nowMs: number): number {
    let index = firstIndex;
    this.#sendEntries(batch, nowMs, (entries) => {
      const chunk = { type: DatagramType.bulkChunk, requester, transfer, index, entries };
      index += 1;
      return chunk;
    });
    return index - firstIndex;
  }

  /** The valid records: for one invalid entry a receiver would reject the whole datagram, and request it repeatedly. */
  sendable(batch: Int32Array): Int32Array {
    const valid = withoutRecords(batch, (at) => !isValidRecord(batch, at));
    this.#counters.traffic.entriesUnsendable += (batch.length - valid.length) / recordWords;
    return valid;
  }

  /** `secondClass`: of the message's entries. */
  sendSequenced(message: OutgoingOf<SequencedName>, nowMs: number, secondClass?: ClassBits): void {
    this.#lastSequence += 1;
    this.#lastSequencedMs = nowMs;
    const datagram = this.#encode(message, this.#lastSequence, secondClass);
    const slot = this.#lastSequence % this.#window.length;
    this.#window[slot] = datagram;
    this.#sentAtMs[slot] = nowMs;
    this.#transmit(datagram);
  }

  sendControl(message: ControlMessage): void {
    this.#transmit(this.#encode(message, this.#lastSequence));
  }

  /** Sends the datagrams that a receiver misses, and `gone` when some of them are no longer kept. */
  resend(ranges: readonly SequenceRange[], nowMs: number): void {
    const oldest = this.oldest;
    if (ranges.some(([first]) => first < oldest)) {
      this.#counters.traffic.goneSent += 1;
      this.sendControl({ type: DatagramType.gone, oldest });
    }
    let left = this.#settings.resendsMax;
    for (const [first, last] of ranges) {
      const end = Math.min(last, this.#lastSequence);
      for (let sequence = Math.max(first, oldest); sequence <= end; sequence += 1) {
        if (left === 0) return;
        if (this.#resendOne(sequence, nowMs)) left -= 1;
      }
    }
  }

  #resendOne(sequence: number, nowMs: number): boolean {
    const slot = sequence % this.#window.length;
    const datagram = this.#window[slot];
    if (datagram === undefined || nowMs - this.#sentAtMs[slot]! < this.#settings.resendSpacingMs) return false;
    this.#sentAtMs[slot] = nowMs;
    this.#counters.traffic.resends += 1;
    this.#datagramNumber += 1;
    markResent(datagram, this.#datagramNumber);
    this.#transmit(datagram);
    return true;
  }

  #sendEntries(batch: Int32Array, nowMs: number, wrap: (entries: Uint8Array) => OutgoingOf<SequencedName>): void {
    const total = batch.length / recordWords;
    for (let from = 0; from < total; ) {
      const { count, length } = measureEntries(batch, from, this.#scratch.length);
      emitEntries(batch, from, count, this.#scratch, 0);
      this.sendSequenced(wrap(this.#scratch.subarray(0, length)), nowMs, classBitsOf(batch, from, count));
      this.#counters.traffic.entriesSent += count;
      from += count;
    }
  }

  #encode(
    message: OutgoingOf<SequencedName> | ControlMessage,
    sequence: number,
    secondClass: ClassBits = { low: 0, high: 0 },
  ): Uint8Array {
    const body = emitMessage(message);
    const datagram = new Uint8Array(frameLength + body.length);
    this.#datagramNumber += 1;
    const { senderId: sender, epoch, syncId } = this.#identity;
    const fields = { type: message.type, syncId, resent: false, sender, epoch, sequence, secondClass };
    emitFrame({ ...fields, datagramNumber: this.#datagramNumber }, body.length, datagram, 0);
    datagram.set(body, frameLength);
    return datagram;
  }

  #transmit(datagram: Uint8Array): void {
    this.#counters.traffic.datagramsSent += 1;
    this.#counters.traffic.bytesSent += datagram.length;
    this.#send(datagram);
  }
}

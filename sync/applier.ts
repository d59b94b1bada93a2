// SPDX-License-Identifier: Apache-2.0
import { RecordFlag, RecordOffset, recordWords } from '../src/model/connection-batch.ts';
import type { SyncCounters } from './counters.ts';
import { KeySet, withoutRecords } from './key-set.ts';
import { type Handlers, handle, type SequencedMessage, type SequencedName } from './messages/table.ts';
import type { Peer } from './peer.ts';
import type { Peers } from './peers.ts';
import type { IntakeAction } from './snapshot-intake.ts';
import type { SessionOutput } from './surroundings.ts';
import type { SyncTuning } from './tuning.ts';

/** Applies what the peers' streams say to the table, each message in its turn. */
export class Applier {
  readonly #senderId: number;
  readonly #counters: SyncCounters;
  readonly #output: SessionOutput;
  readonly #peers: Peers;
  /** The connections that the peers' events were about while snapshots come in. */
  readonly #spoken: KeySet;
  #batchesSubmitted = 0;
  #batchesApplied = 0;
  /** One batch at a time is watched on its way into the table. */
  #watched: { readonly ticket: number; readonly sinceMs: number } | undefined;

  constructor(senderId: number, tuning: SyncTuning, counters: SyncCounters, output: SessionOutput, peers: Peers) {
    this.#senderId = senderId;
    this.#counters = counters;
    this.#output = output;
    this.#peers = peers;
    this.#spoken = new KeySet(tuning.keysMax);
  }

  /** Applies the next message of a stream. False when there is no room for its records; nothing has changed then. */
  apply(message: SequencedMessage, peer: Peer, nowMs: number): boolean {
    return handle(this.#handlers, message, peer, nowMs);
  }

  /** `count` further batches are in the table. */
  applied(count: number, nowMs: number): void {
    this.#batchesApplied += count;
    if (this.#watched === undefined || this.#batchesApplied < this.#watched.ticket) return;
    const ticket = this.#batchesSubmitted;
    this.#watched = this.#batchesApplied < ticket ? { ticket, sinceMs: nowMs } : undefined;
  }

  /** Whether a batch has been waiting for the table for longer than `toleranceMs`. */
  isBehind(toleranceMs: number, nowMs: number): boolean {
    return this.#watched !== undefined && nowMs - this.#watched.sinceMs > toleranceMs;
  }

  /**
   * Tells the peer's intake how many batches are in the table. Gives the message that the peer must be sent, if any.
   */
  advanceIntake(peer: Peer, nowMs: number): IntakeAction {
    const before = peer.intake.complete;
    const action = peer.intake.applied(this.#batchesApplied, nowMs);
    if (before || !peer.intake.complete) return action;
    this.#counters.traffic.bulkReceived += 1;
    if (!this.#receivesSnapshot()) this.#spoken.clear();
    return action;
  }

  readonly #handlers: Handlers<SequencedName, [peer: Peer, nowMs: number], boolean> = {
    delta: ({ entries }, peer, nowMs) => {
      if (!this.#submit(entries, nowMs)) return false;
      this.#noteSpoken(peer, entries);
      return true;
    },
    bulkBegin: ({ requester, transfer }, peer, nowMs) => {
      if (requester === this.#senderId && !peer.intake.begin(transfer, nowMs)) this.#refuseTransfer();
      return true;
    },
    bulkChunk: (message, peer, nowMs) => {
      if (message.requester !== this.#senderId) return true;
      if (!peer.intake.expects(message.transfer, message.index)) {
        this.#refuseTransfer();
        return true;
      }
      const entries = this.#withoutSuperseded(peer, message.entries);
      if (!this.#submit(entries, nowMs)) return false;
      const records = message.entries.length / recordWords;
      this.#counters.traffic.bulkEntriesReceived += records;
      this.#counters.traffic.bulkEntriesSuperseded += records - entries.length / recordWords;
      peer.intake.chunk(records, this.#batchesSubmitted, nowMs);
      return true;
    },
    bulkEnd: ({ requester, transfer, chunks, records }, peer, nowMs) => {
      if (requester !== this.#senderId) return true;
      if (!peer.intake.end(transfer, chunks, records, this.#batchesSubmitted, nowMs)) this.#refuseTransfer();
      return true;
    },
  };

  #refuseTransfer(): void {
    this.#counters.rejected.staleTransfer += 1;
  }

  /** One batch on its way into the table. */
  #submit(batch: Int32Array, nowMs: number): boolean {
    if (batch.length === 0) return true;
    if (!this.#output.apply(batch)) return false;
    this.#batchesSubmitted += 1;
    this.#watched ??= { ticket: this.#batchesSubmitted, sinceMs: nowMs };
    this.#counters.traffic.entriesReceived += batch.length / recordWords;
    return true;
  }

  /**
   * While a snapshot comes in from one peer, the events of the others are remembered: the snapshot may contain entries
   * learnt from them that they have just changed or removed. With one peer, its stream has everything in order.
   */
  #noteSpoken(peer: Peer, batch: Int32Array): void {
    if (this.#peers.size < 2 || this.#spoken.overflowed || !this.#receivesSnapshot()) return;
    this.#spoken.noteBatch(batch, peer.senderId);
    if (this.#spoken.overflowed) this.#counters.traffic.keysOverflowed += 1;
  }

  /**
   * A page without the entries that the peer has learnt from another one, if that one has sent an event about them
   * since.
   */
  #withoutSuperseded(peer: Peer, batch: Int32Array): Int32Array {
    if (this.#spoken.size === 0) return batch;
    return withoutRecords(batch, (at) => {
      const speaker = this.#spoken.speakerOf(batch, at);
      const own = (batch[at + RecordOffset.head]! & RecordFlag.local) !== 0;
      return !own && speaker !== undefined && speaker !== peer.senderId;
    });
  }

  #receivesSnapshot(): boolean {
    for (const peer of this.#peers) if (!peer.intake.complete) return true;
    return false;
  }
}

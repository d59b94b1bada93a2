// SPDX-License-Identifier: Apache-2.0
import { RecordFlag, RecordOffset, recordWords } from '../src/model/connection-batch.ts';
import type { SyncCounters } from './counters.ts';
import { DatagramType } from './frame.ts';
import { KeySet, withoutRecords } from './key-set.ts';
import type { SequencedMessage } from './message.ts';
import type { Peer } from './peer.ts';
import type { IntakeAction } from './snapshot-intake.ts';
import type { SessionOutput } from './surroundings.ts';
import type { SyncTuning } from './tuning.ts';

/** Hands what the peers' streams say to the table, each message in its turn. */
export class Applier {
  readonly #senderId: number;
  readonly #counters: SyncCounters;
  readonly #output: SessionOutput;
  readonly #peers: ReadonlyMap<number, Peer>;
  /** Of which connections the peers spoke while snapshots come in. */
  readonly #spoken: KeySet;
  #batchesSubmitted = 0;
  #batchesApplied = 0;
  /** One batch at a time is watched on its way into the table. */
  #watched: { readonly ticket: number; readonly sinceMs: number } | undefined;

  constructor(
    senderId: number,
    tuning: SyncTuning,
    counters: SyncCounters,
    output: SessionOutput,
    peers: ReadonlyMap<number, Peer>,
  ) {
    this.#senderId = senderId;
    this.#counters = counters;
    this.#output = output;
    this.#peers = peers;
    this.#spoken = new KeySet(tuning.keysMax);
  }

  /** `count` further batches are in the table. */
  applied(count: number, nowMs: number): void {
    this.#batchesApplied += count;
    if (this.#watched === undefined || this.#batchesApplied < this.#watched.ticket) return;
    const ticket = this.#batchesSubmitted;
    this.#watched = this.#batchesApplied < ticket ? { ticket, sinceMs: nowMs } : undefined;
  }

  /** Whether the table lets a batch wait for longer than this. */
  isBehind(toleranceMs: number, nowMs: number): boolean {
    return this.#watched !== undefined && nowMs - this.#watched.sinceMs > toleranceMs;
  }

  /** False when there is no room for its records; nothing has changed then. */
  deliver(peer: Peer, message: SequencedMessage, nowMs: number): boolean {
    switch (message.type) {
      case DatagramType.delta:
        if (!this.#apply(message.entries, nowMs)) return false;
        this.#noteSpoken(peer, message.entries);
        return true;
      case DatagramType.bulkBegin:
        if (message.requester === this.#senderId && !peer.intake.begin(message.transfer, nowMs)) {
          this.#counters.rejected.staleTransfer += 1;
        }
        return true;
      case DatagramType.bulkChunk: {
        if (message.requester !== this.#senderId) return true;
        if (!peer.intake.expects(message.transfer, message.index)) {
          this.#counters.rejected.staleTransfer += 1;
          return true;
        }
        const entries = this.#withoutHearsay(peer, message.entries);
        if (!this.#apply(entries, nowMs)) return false;
        const records = message.entries.length / recordWords;
        this.#counters.traffic.bulkEntriesReceived += records;
        this.#counters.traffic.bulkEntriesSuperseded += records - entries.length / recordWords;
        peer.intake.take(records, this.#batchesSubmitted, nowMs);
        return true;
      }
      case DatagramType.bulkEnd: {
        if (message.requester !== this.#senderId) return true;
        const { transfer, chunks, records } = message;
        const expected = peer.intake.end(transfer, chunks, records, this.#batchesSubmitted, nowMs);
        if (!expected) this.#counters.rejected.staleTransfer += 1;
        return true;
      }
    }
  }

  #apply(batch: Int32Array, nowMs: number): boolean {
    if (batch.length === 0) return true;
    if (!this.#output.apply(batch)) return false;
    this.#batchesSubmitted += 1;
    this.#watched ??= { ticket: this.#batchesSubmitted, sinceMs: nowMs };
    this.#counters.traffic.entriesReceived += batch.length / recordWords;
    return true;
  }

  /**
   * While a snapshot comes in from one peer, the events of the others are remembered: the snapshot may hold, learnt
   * from them, what they have just changed or removed. With one peer its stream has it all in order.
   */
  #noteSpoken(peer: Peer, batch: Int32Array): void {
    if (this.#peers.size < 2 || this.#spoken.overflowed || !this.#receivesSnapshot()) return;
    this.#spoken.noteBatch(batch, peer.senderId);
    if (this.#spoken.overflowed) this.#counters.traffic.keysOverflowed += 1;
  }

  #withoutHearsay(peer: Peer, batch: Int32Array): Int32Array {
    if (this.#spoken.size === 0) return batch;
    return withoutRecords(batch, (at) => {
      const speaker = this.#spoken.speakerOf(batch, at);
      const own = (batch[at + RecordOffset.head]! & RecordFlag.local) !== 0;
      return !own && speaker !== undefined && speaker !== peer.senderId;
    });
  }

  #receivesSnapshot(): boolean {
    for (const peer of this.#peers.values()) if (!peer.intake.complete) return true;
    return false;
  }

  /** How far the peer's snapshot has got into the table. Gives what the peer has to be told of it. */
  noteApplied(peer: Peer, nowMs: number): IntakeAction {
    const before = peer.intake.complete;
    const action = peer.intake.applied(this.#batchesApplied, nowMs);
    if (before || !peer.intake.complete) return action;
    this.#counters.traffic.bulkReceived += 1;
    if (!this.#receivesSnapshot()) this.#spoken.clear();
    return action;
  }
}

// SPDX-License-Identifier: Apache-2.0
import { ConnectionEvent, RecordOffset, recordWords, withEvent } from '../src/model/connection-batch.ts';
import type { SyncCounters } from './counters.ts';
import { KeySet, withoutRecords } from './key-set.ts';
import { entryLengthIpv4 } from './messages/entries.ts';
import { DatagramType } from './messages/table.ts';
import type { Publisher } from './publisher.ts';
import { entriesRoom, type SyncTuning } from './tuning.ts';

/** A page of the local table. `next` is the cursor of the following page; undefined after the last. */
export interface TablePage {
  readonly batch: Int32Array;
  readonly next: number | undefined;
}

interface Transfer {
  readonly requester: number;
  readonly transfer: number;
  cursor: number;
  /** Chunks with a lower index may be sent. */
  chunkLimit: number;
  chunks: number;
  records: number;
  lastHeardMs: number;
  finished: boolean;
}

/**
 * Serves snapshots of the local table. The pages go into this director's numbered stream, so that the receiver applies
 * them in one order with the events. A page could only undo an event that was published while the page was being read:
 * the records of such connections are left out, because the event has the newer state. One page is read at a time, no
 * larger than the receiver's credit, so that it is sent at once and needs no queue.
 */
export class SnapshotService {
  readonly #publisher: Publisher;
  readonly #settings: SyncTuning;
  readonly #counters: SyncCounters;
  readonly #exportPage: (cursor: number, recordsMax: number) => void;
  /** One for each requester, in the order of service. Finished ones stay, so that a late repetition starts no other. */
  readonly #transfers = new Map<number, Transfer>();
  readonly #publishedMeanwhile: KeySet;
  #reading: Transfer | undefined;
  #exporting = false;

  constructor(
    publisher: Publisher,
    settings: SyncTuning,
    counters: SyncCounters,
    exportPage: (cursor: number, recordsMax: number) => void,
  ) {
    this.#publisher = publisher;
    this.#settings = settings;
    this.#counters = counters;
    this.#exportPage = exportPage;
    this.#publishedMeanwhile = new KeySet(settings.keysMax);
  }

  /** A request, or its repetition. */
  request(requester: number, transfer: number, chunkLimit: number, nowMs: number): void {
    if (this.#transfers.get(requester)?.transfer === transfer) {
      this.credit(requester, transfer, chunkLimit, nowMs);
      return;
    }
    this.forget(requester);
    const fresh = { requester, transfer, cursor: 0, chunkLimit, chunks: 0, records: 0, lastHeardMs: nowMs };
    this.#transfers.set(requester, { ...fresh, finished: false });
    this.#publisher.sendSequenced({ type: DatagramType.bulkBegin, requester, transfer }, nowMs);
    this.#readNext();
  }

  credit(requester: number, transfer: number, chunkLimit: number, nowMs: number): void {
    const one = this.#transfers.get(requester);
    if (one === undefined || one.transfer !== transfer) return;
    one.lastHeardMs = nowMs;
    one.chunkLimit = Math.max(one.chunkLimit, chunkLimit);
    this.#readNext();
  }

  /** The requester has restarted or is gone. */
  forget(requester: number): void {
    const one = this.#transfers.get(requester);
    if (one === undefined) return;
    if (!one.finished) this.#counters.traffic.bulkAbandoned += 1;
    if (this.#reading === one) this.#reading = undefined;
    this.#transfers.delete(requester);
  }

  /** The events in this batch have been sent. */
  published(batch: Int32Array): void {
    if (this.#exporting) this.#publishedMeanwhile.noteBatch(batch, 0);
  }

  /** Takes the page requested by `exportPage`; undefined when it could not be read. */
  exported(page: TablePage | undefined, nowMs: number): void {
    const transfer = this.#reading;
    this.#exporting = false;
    this.#reading = undefined;
    if (transfer !== undefined && page !== undefined) {
      if (this.#publishedMeanwhile.overflowed) this.#counters.traffic.bulkPagesRepeated += 1;
      else this.#sendPage(transfer, page, nowMs);
    }
    this.#publishedMeanwhile.clear();
    if (page !== undefined) this.#readNext();
  }

  /** Gives up on receivers that have fallen silent, and retries a page that could not be read. */
  advance(nowMs: number): void {
    for (const one of [...this.#transfers.values()]) {
      if (!one.finished && nowMs - one.lastHeardMs >= 2 * this.#settings.bulkStallMs) this.forget(one.requester);
    }
    this.#readNext();
  }

  get active(): boolean {
    for (const one of this.#transfers.values()) if (!one.finished) return true;
    return false;
  }

  #sendPage(transfer: Transfer, page: TablePage, nowMs: number): void {
    const valid = this.#publisher.sendable(asUpserts(page.batch));
    const fresh = withoutRecords(valid, (at) => this.#publishedMeanwhile.speakerOf(valid, at) !== undefined);
    this.#counters.traffic.bulkEntriesSuperseded += (valid.length - fresh.length) / recordWords;
    const { requester, transfer: name } = transfer;
    transfer.chunks += this.#publisher.publishChunks(fresh, requester, name, transfer.chunks, nowMs);
    const records = fresh.length / recordWords;
    transfer.records += records;
    this.#counters.traffic.bulkEntriesSent += records;
    if (page.next !== undefined) {
      transfer.cursor = page.next;
      return;
    }
    transfer.finished = true;
    this.#counters.traffic.bulkServed += 1;
    const counts = { chunks: transfer.chunks, records: transfer.records };
    this.#publisher.sendSequenced({ type: DatagramType.bulkEnd, requester, transfer: name, ...counts }, nowMs);
  }

  #readNext(): void {
    if (this.#exporting) return;
    for (const transfer of this.#transfers.values()) {
      const credit = transfer.chunkLimit - transfer.chunks;
      if (transfer.finished || credit <= 0) continue;
      // The transfer moves to the end of the line, so that receivers take turns.
      this.#transfers.delete(transfer.requester);
      this.#transfers.set(transfer.requester, transfer);
      this.#exporting = true;
      this.#reading = transfer;
      const perChunk = Math.max(1, Math.floor(entriesRoom(this.#settings) / entryLengthIpv4));
      this.#exportPage(transfer.cursor, Math.min(this.#settings.exportRecordsMax, credit * perChunk));
      return;
    }
  }
}

/** Every connection in the table exists, whatever event its record was packed with. */
function asUpserts(batch: Int32Array): Int32Array {
  const upserts = batch.slice();
  for (let at = 0; at < upserts.length; at += recordWords) {
    upserts[at + RecordOffset.head] = withEvent(upserts[at + RecordOffset.head]!, ConnectionEvent.upsert);
  }
  return upserts;
}

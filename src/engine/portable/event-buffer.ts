// SPDX-License-Identifier: Apache-2.0
import { type ConnectionEvent, headWord, RecordFlag, RecordOffset, recordWords } from '../../model/connection-batch.ts';
import type { Destinations } from './destinations.ts';
import { EntryFlag, EntryWord, stateMask, stateShift } from './entry-layout.ts';

const batchRecordsMax = 512;
const delayMaxMs = 1;

/** Writes an entry as a packed record. `idle` and the timeout are milliseconds. */
export function writeRecord(
  records: Int32Array,
  at: number,
  event: ConnectionEvent,
  words: Int32Array,
  entry: number,
  destinations: Destinations,
  timeoutMs: number,
  now: number,
): void {
  const head = words[entry + EntryWord.head]!;
  const destination = words[entry + EntryWord.destination]!;
  const flags =
    ((head & EntryFlag.ipv6) === 0 ? 0 : RecordFlag.ipv6) |
    ((head & EntryFlag.local) === 0 ? 0 : RecordFlag.local) |
    ((head & EntryFlag.template) === 0 ? 0 : RecordFlag.template) |
    // A half-open entry has not had the chance to carry anything.
    ((head & (EntryFlag.secondClass | EntryFlag.halfOpen)) === EntryFlag.secondClass ? RecordFlag.secondClass : 0);
  records[at + RecordOffset.head] = headWord(
    event,
    head & 0xff,
    (head & stateMask) >>> stateShift,
    destinations.methods[destination]!.number,
    flags,
  );
  records[at + RecordOffset.ports] = words[entry + EntryWord.ports]!;
  records[at + RecordOffset.realPort] = destinations.ports[destination]!;
  records[at + RecordOffset.idleMs] = (now - words[entry + EntryWord.lastSeen]!) | 0;
  records[at + RecordOffset.timeoutMs] = timeoutMs;
  for (let i = 0; i < 4; i += 1) {
    records[at + RecordOffset.clientAddress + i] = words[entry + EntryWord.clientAddress + i]!;
    records[at + RecordOffset.virtualAddress + i] = words[entry + EntryWord.virtualAddress + i]!;
    records[at + RecordOffset.realAddress + i] = destinations.addresses[(destination << 2) + i]!;
  }
}

/** Collects connection events into batches: at most 1 ms of them, or as many as fit. */
export class EventBuffer {
  listener: ((batch: Int32Array) => void) | undefined;
  readonly #records = new Int32Array(batchRecordsMax * recordWords);
  readonly #destinations: Destinations;
  #length = 0;
  #firstAtMs = 0;

  constructor(destinations: Destinations) {
    this.#destinations = destinations;
  }

  append(event: ConnectionEvent, words: Int32Array, entry: number, timeoutMs: number, nowMs: number): void {
    if (this.#length === 0) this.#firstAtMs = nowMs;
    const at = this.#length * recordWords;
    writeRecord(this.#records, at, event, words, entry, this.#destinations, timeoutMs, nowMs | 0);
    this.#length += 1;
    if (this.#length === batchRecordsMax) this.flush();
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** Hands over a batch whose first event has waited long enough. */
  flushDue(nowMs: number): void {
    if (this.#length > 0 && nowMs - this.#firstAtMs >= delayMaxMs) this.flush();
  }

  flush(): void {
    if (this.#length === 0) return;
    const batch = this.#records.slice(0, this.#length * recordWords);
    this.#length = 0;
    this.listener?.(batch);
  }
}

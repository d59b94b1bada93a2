// SPDX-License-Identifier: Apache-2.0
import {
  type ApplyOutcome,
  type ConnectionPort,
  type Defer,
  type ExportPage,
  nothingApplied,
} from '../../src/engine/engine.ts';
import type { Clock } from '../../src/lib/clock.ts';
import {
  ConnectionEvent,
  eventOf,
  headKeyOf,
  RecordFlag,
  RecordOffset,
  recordWords,
  stateOf,
  withEvent,
} from '../../src/model/connection-batch.ts';

interface Entry {
  readonly record: Int32Array;
  readonly local: boolean;
  /** Stays while the entry does, so that a cursor never skips one. */
  readonly slot: number;
  lastPacketMs: number;
}

/**
 * A connection table as sync sees it: the semantics of ConnectionPort on a Map. Calls take `latencyMs`; a page shows
 * the table of the moment in the middle of its call, so that events overtake it on both sides.
 */
export class FakeConnectionPort implements ConnectionPort {
  readonly #clock: Clock;
  readonly #latencyMs: () => number;
  readonly #entries = new Map<string, Entry>();
  #listener: (batch: Int32Array) => void = () => {};
  #defer: Defer = (release) => release();
  /** Called when the SYNs of a batch of events may go on. */
  onReleased: (batch: Int32Array) => void = () => {};
  #pending: Int32Array[] = [];
  #nextSlot = 0;
  appliedRecords = 0;
  /** While true, writes wait. */
  stalled = false;
  #stalledWrites: (() => void)[] = [];

  constructor(clock: Clock, latencyMs: () => number) {
    this.#clock = clock;
    this.#latencyMs = latencyMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  onEvents(
    listener: (batch: Int32Array) => void,
    _onOverrun?: () => void,
    defer: Defer = (release) => release(),
  ): void {
    this.#listener = listener;
    this.#defer = defer;
  }

  exportPage(cursor: number, recordsMax: number): Promise<ExportPage> {
    return this.#later(() => {
      const rest = [...this.#entries.values()].filter((entry) => entry.slot >= cursor).sort((a, b) => a.slot - b.slot);
      const page = rest.slice(0, recordsMax);
      const batch = new Int32Array(page.length * recordWords);
      for (const [i, entry] of page.entries()) batch.set(this.#present(entry), i * recordWords);
      return { batch, next: rest[recordsMax]?.slot };
    });
  }

  /** How long each time. */
  readonly expectations: number[] = [];

  expectRecords(forMs: number): void {
    this.expectations.push(forMs);
  }

  applyBatch(batch: Int32Array): Promise<ApplyOutcome> {
    const write = (): ApplyOutcome => this.#apply(batch);
    if (!this.stalled) return this.#later(write);
    return new Promise((resolve) => this.#stalledWrites.push(() => resolve(write())));
  }

  resume(): void {
    this.stalled = false;
    for (const write of this.#stalledWrites.splice(0)) write();
  }

  /** A packet of a connection that this director forwards. */
  touch(record: Int32Array, event: ConnectionEvent = ConnectionEvent.upsert): void {
    const lastPacketMs = this.#clock.nowMs();
    const local = record.slice();
    local[0] = local[0]! | RecordFlag.local;
    this.#put({ record: local, local: true, lastPacketMs });
    this.#emit(local, event);
  }

  /** The end of a connection that this director forwards. */
  remove(record: Int32Array): boolean {
    const key = keyOf(record);
    const entry = this.#entries.get(key);
    if (entry === undefined || !entry.local) return false;
    this.#entries.delete(key);
    this.#emit(this.#present(entry), ConnectionEvent.remove);
    return true;
  }

  /** Puts an entry into the table without an event, as if it had been there from the start. */
  seed(record: Int32Array, local: boolean): void {
    const copy = record.slice();
    copy[0] = local ? copy[0]! | RecordFlag.local : copy[0]! & ~RecordFlag.local;
    this.#put({ record: copy, local, lastPacketMs: this.#clock.nowMs() });
  }

  /** Does as the engine's sweep: local entries are announced again, idle ones expire. */
  sweep(): void {
    for (const [key, entry] of [...this.#entries]) {
      const idleMs = this.#clock.nowMs() - entry.lastPacketMs;
      if (entry.local && !this.#expired(entry)) {
        entry.lastPacketMs = this.#clock.nowMs();
        this.#emit(this.#present(entry), ConnectionEvent.refresh);
      } else if (idleMs >= entry.record[RecordOffset.timeoutMs]!) {
        this.#entries.delete(key);
      }
    }
  }

  /** The director dies: what was local is forgotten with it. */
  clear(): void {
    this.#entries.clear();
    this.#pending = [];
  }

  /** The table as text, sorted; what matters for equality (neither who forwards it, nor how long it was idle). */
  contents(): string[] {
    return [...this.#entries.values()].map(({ record }) => describe(record)).sort();
  }

  localRecords(): Int32Array[] {
    return [...this.#entries.values()].filter(({ local }) => local).map(({ record }) => record);
  }

  #apply(batch: Int32Array): ApplyOutcome {
    const outcome = { ...nothingApplied };
    for (let at = 0; at < batch.length; at += recordWords) {
      const record = batch.slice(at, at + recordWords);
      const key = keyOf(record);
      const existing = this.#entries.get(key);
      this.appliedRecords += 1;
      if (existing?.local) {
        outcome.refusedLocal += 1;
        continue;
      }
      outcome.applied += 1;
      if (eventOf(record[0]!) === ConnectionEvent.remove) {
        this.#entries.delete(key);
        continue;
      }
      const lastPacketMs = this.#clock.nowMs() - record[RecordOffset.idleMs]!;
      record[0] = record[0]! & ~RecordFlag.local;
      this.#put({ record, local: false, lastPacketMs });
    }
    return outcome;
  }

  #put(entry: Omit<Entry, 'slot'>): void {
    const key = keyOf(entry.record);
    const slot = this.#entries.get(key)?.slot ?? this.#nextSlot++;
    this.#entries.set(key, { ...entry, slot });
  }

  #present(entry: Entry): Int32Array {
    const record = entry.record.slice();
    record[RecordOffset.idleMs] = Math.round(this.#clock.nowMs() - entry.lastPacketMs);
    return record;
  }

  #expired(entry: Entry): boolean {
    return this.#clock.nowMs() - entry.lastPacketMs >= 10 * entry.record[RecordOffset.timeoutMs]!;
  }

  /** Events leave up to 1 ms after the first of them. */
  #emit(record: Int32Array, event: ConnectionEvent): void {
    const copy = record.slice();
    copy[0] = withEvent(copy[0]!, event);
    this.#pending.push(copy);
    if (this.#pending.length > 1) return;
    this.#clock.callAt(this.#clock.nowMs() + 1, () => {
      const batch = new Int32Array(this.#pending.length * recordWords);
      for (const [i, one] of this.#pending.entries()) batch.set(one, i * recordWords);
      this.#pending = [];
      if (batch.length === 0) return;
      this.#listener(batch);
      this.#defer(() => this.onReleased(batch));
    });
  }

  #later<Value>(work: () => Value): Promise<Value> {
    return new Promise((resolve) => {
      const latencyMs = this.#latencyMs();
      this.#clock.callAt(this.#clock.nowMs() + latencyMs / 2, () => {
        const value = work();
        this.#clock.callAt(this.#clock.nowMs() + latencyMs / 2, () => resolve(value));
      });
    });
  }
}

function keyOf(record: Int32Array): string {
  return `${headKeyOf(record[0]!)} ${record[1]} ${record.subarray(5, 13).join(' ')}`;
}

function describe(record: Int32Array): string {
  return `${keyOf(record)} state ${stateOf(record[0]!)} to ${record.subarray(13).join(' ')}:${record[2]}`;
}

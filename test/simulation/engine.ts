// SPDX-License-Identifier: Apache-2.0
import {
  type ApplyOutcome,
  type ConnectionPort,
  type ExportPage,
  nothingApplied,
  type PublisherReader,
} from '../../src/engine/engine.ts';
import { Leases } from '../../src/engine/portable/leases.ts';
import { noBatch, PublisherWatch } from '../../src/engine/portable/publisher-watch.ts';
import {
  ConnectionEvent,
  eventOf,
  headKeyOf,
  RecordFlag,
  RecordOffset,
  recordWords,
  stateOf as stateOfHead,
  withEvent,
  withState,
} from '../../src/model/connection-batch.ts';
import { engineLifeSlot, leaseSlots, Sign, signs } from '../../src/model/lease.ts';
import { TcpState } from '../../src/model/tcp-state.ts';
import type { SimulatedHost } from '../support/simulated-segment.ts';
import type { Session } from './session.ts';

/**
 * The lease memory of one host: leases written by the election, signs of life by the parts of the director, and the number
 * of the last batch of events that the sync thread has sent. Read by the engine, the vrrp process and the rules.
 */
export class LeaseArray {
  readonly #untilMs = new Float64Array(leaseSlots);
  readonly #signedUntilMs = new Float64Array(signs);
  takenBatch = 0;

  validUntilMs(slot: number): number {
    return this.#untilMs[slot] ?? 0;
  }

  grant(slot: number, untilMs: number): void {
    this.#untilMs[slot] = untilMs;
  }

  revoke(slot: number): void {
    this.#untilMs[slot] = 0;
  }

  signedUntilMs(part: Sign): number {
    return this.#signedUntilMs[part]!;
  }

  sign(part: Sign, untilMs: number): void {
    this.#signedUntilMs[part] = untilMs;
  }
}

/** As the engine reads it. */
export function publisherReader(leases: LeaseArray): PublisherReader {
  return {
    publisherUntilMs: () => leases.signedUntilMs(Sign.publisher),
    peerUntilMs: () => leases.signedUntilMs(Sign.peer),
    takenBatch: () => leases.takenBatch,
    releasedBatch: () => leases.takenBatch,
  };
}

/** The outcome of a client's packet. `reset`: the session is broken; `held`: a SYN waits for its publication. */
export type Verdict = 'forwarded' | 'no lease' | 'grace' | 'reset' | 'no publisher' | 'held';

/** A SYN that waits for the batch that tells the peers of its connection. */
interface HeldSyn {
  readonly session: Session;
  readonly batch: number;
  readonly untilMs: number;
  readonly answer: (verdict: Verdict) => void;
}

interface Entry {
  readonly record: Int32Array;
  readonly leaseSlot: number;
  /** Stays while the entry does, so that a cursor never skips one. */
  readonly index: number;
  local: boolean;
  published: boolean;
  lastSeenMs: number;
  lastPublishedMs: number;
}

export interface EngineTimes {
  readonly establishedMs: number;
  readonly closedMs: number;
  readonly halfOpenMs: number;
  readonly graceMs: number;
}

const sweepPeriodMs = 250;
const lifePeriodMs = 50;
const lifeMs = 500;
/** As in the portable engine. */
const refreshesPerTimeout = 3;
/** Of the queue of SYNs in the portable engine. */
const heldMaxMs = 500;
/** Of four new sessions one is beyond the budget of publications at the SYN. */
const budgetPeriod = 4;

/**
 * The portable engine as sync and the clients see it (connections.ts, replication.ts and leases.ts there), on a Map: an
 * entry is this director's own once it has forwarded a packet of it. Peers' records of an entry count unless it is
 * held, which means own and under a valid lease.
 */
export class SimulatedEngine implements ConnectionPort {
  readonly #host: SimulatedHost;
  /** The host on which the listener and the answers run. */
  reader: SimulatedHost;
  readonly #leases: Leases;
  readonly #leaseArray: LeaseArray;
  readonly #times: EngineTimes;
  readonly #onSettled: () => void;
  readonly #entries = new Map<string, Entry>();
  #nextIndex = 0;
  #listener: (batch: Int32Array) => void = () => {};
  #pending: Int32Array[] = [];
  readonly #watch: PublisherWatch;
  #heldSyns: HeldSyn[] = [];
  /** A session has been given an entry. */
  onAdmitted: (session: Session) => void = () => {};

  constructor(
    host: SimulatedHost,
    reader: SimulatedHost,
    leaseArray: LeaseArray,
    slots: readonly number[],
    times: EngineTimes,
    onSettled: () => void,
    publisher: PublisherReader,
  ) {
    this.#host = host;
    this.reader = reader;
    this.#leaseArray = leaseArray;
    this.#times = times;
    this.#onSettled = onSettled;
    this.#leases = new Leases(leaseArray);
    this.#leases.configure(slots, times.graceMs);
    this.#watch = new PublisherWatch(publisher);
    this.#live();
    host.callAt(host.nowMs() + sweepPeriodMs, () => this.#sweep());
  }

  get size(): number {
    return this.#entries.size;
  }

  onEvents(listener: (batch: Int32Array) => void): void {
    this.#listener = listener;
  }

  exportPage(cursor: number, recordsMax: number): Promise<ExportPage> {
    return this.#call(() => {
      const rest = [...this.#entries.values()].filter((entry) => entry.index >= cursor && !this.#expired(entry));
      const page = rest.sort((a, b) => a.index - b.index).slice(0, recordsMax);
      const batch = new Int32Array(page.length * recordWords);
      for (const [i, entry] of page.entries()) batch.set(this.#present(entry, ConnectionEvent.upsert), i * recordWords);
      return { batch, next: rest[recordsMax]?.index };
    });
  }

  expectRecords(forMs: number): void {
    this.#leases.recordsExpectedUntilMs = this.#host.nowMs() + forMs;
  }

  applyBatch(batch: Int32Array): Promise<ApplyOutcome> {
    return this.#call(() => {
      const outcome = { ...nothingApplied };
      for (let at = 0; at < batch.length; at += recordWords) {
        outcome[this.#apply(batch.slice(at, at + recordWords))] += 1;
      }
      return outcome;
    });
  }

  /** A packet of a session has arrived. Runs when the engine does. */
  packet(session: Session, answer: (verdict: Verdict) => void): void {
    this.#host.deliver(() => {
      const verdict = this.#forward(session);
      if (verdict === 'held') {
        const untilMs = this.#host.nowMs() + heldMaxMs;
        this.#heldSyns.push({ session, batch: this.#watch.nextBatch, untilMs, answer });
      } else answer(verdict);
    });
  }

  /** Another sync thread reads the events from here on. */
  beginPublisher(reader: SimulatedHost): void {
    this.reader = reader;
    this.#watch.begin();
  }

  has(session: Session): boolean {
    const entry = this.#entries.get(keyOf(session.record));
    return entry !== undefined && !this.#expired(entry);
  }

  /** The live entries that this director has forwarded itself under a lease slot, by what identifies them. */
  heldKeys(slot: number, publishedBeforeMs: number): string[] {
    return [...this.#entries]
      .filter(([, entry]) => entry.leaseSlot === slot && this.#held(entry) && !this.#expired(entry))
      .filter(([, entry]) => entry.published && entry.lastPublishedMs <= publishedBeforeMs)
      .map(([key]) => key);
  }

  hasKey(key: string): boolean {
    return this.#entries.has(key);
  }

  /** The fields that two equal entries share: neither the forwarding director, nor the idle time. */
  contents(): string[] {
    return [...this.#entries.values()]
      .filter((entry) => !this.#expired(entry))
      .map(({ record }) => `${keyOf(record)} state ${stateOf(record)} to ${record[RecordOffset.realAddress]}`)
      .sort();
  }

  #forward(session: Session): Verdict {
    this.#leases.read(this.#host.nowMs());
    if (!this.#leases.isValid(session.leaseSlot)) return 'no lease';
    const key = keyOf(session.record);
    let entry = this.#entries.get(key);
    if (entry !== undefined && this.#expired(entry)) entry = undefined;
    if (entry === undefined) {
      if (session.phase !== 'opening') return this.#leases.inGrace(session.leaseSlot) ? 'grace' : 'reset';
      return this.#admit(session, key);
    }
    if (session.phase === 'opening') return this.#repeat(session, entry);
    const state = session.phase === 'closing' ? TcpState.timeWait : TcpState.established;
    const followed = entry.local && stateOf(entry.record) === state;
    entry.lastSeenMs = this.#host.nowMs();
    entry.local = true;
    setState(entry.record, state, state === TcpState.timeWait ? this.#times.closedMs : this.#times.establishedMs);
    if (!followed) this.#publish(entry, ConnectionEvent.upsert);
    return 'forwarded';
  }

  #admit(session: Session, key: string): Verdict {
    if (!this.#watch.keepsUp(this.#host.nowMs())) return 'no publisher';
    const record = session.record.slice();
    setState(record, TcpState.synReceived, this.#times.halfOpenMs);
    const entry = this.#create(record, true);
    this.#entries.set(key, entry);
    this.onAdmitted(session);
    return this.#publishBegun(session, entry);
  }

  /** The client has had no answer to its SYN. */
  #repeat(session: Session, entry: Entry): Verdict {
    entry.lastSeenMs = this.#host.nowMs();
    entry.local = true;
    if (!this.#watch.keepsUp(this.#host.nowMs())) return 'no publisher';
    return this.#publishBegun(session, entry);
  }

  /** As far as the budget goes. The entry does not count as published: its copies expire with it. */
  #publishBegun(session: Session, entry: Entry): Verdict {
    const nowMs = this.#host.nowMs();
    if (session.number % budgetPeriod === budgetPeriod - 1) return 'forwarded';
    session.safe = this.#leaseArray.signedUntilMs(Sign.peer) > nowMs;
    const batch = this.#watch.hearsPeer(nowMs) ? this.#watch.nextBatch : noBatch;
    this.#emit(this.#present(entry, ConnectionEvent.upsert));
    return batch === noBatch || this.#watch.isReleased(batch) ? 'forwarded' : 'held';
  }

  /** The sync thread has sent a batch, or time has passed. */
  #release(): void {
    const nowMs = this.#host.nowMs();
    this.#leases.read(nowMs);
    const held = this.#heldSyns;
    this.#heldSyns = held.filter(({ batch, untilMs }) => !this.#watch.isReleased(batch) && nowMs < untilMs);
    for (const { session, batch, answer } of held) {
      if (!this.#watch.isReleased(batch)) continue;
      answer(this.#leases.isValid(session.leaseSlot) ? 'forwarded' : 'no lease');
    }
  }

  #apply(record: Int32Array): keyof ApplyOutcome {
    const key = keyOf(record);
    const existing = this.#entries.get(key);
    if (existing !== undefined && this.#held(existing)) return 'refusedLocal';
    if (eventOf(record[0]!) === ConnectionEvent.remove) this.#entries.delete(key);
    else {
      const idleMs = record[RecordOffset.idleMs]!;
      this.#entries.set(key, {
        ...this.#create(record, false, existing?.index),
        lastSeenMs: this.#host.nowMs() - idleMs,
      });
    }
    return 'applied';
  }

  #create(record: Int32Array, local: boolean, index = this.#nextIndex++): Entry {
    const nowMs = this.#host.nowMs();
    const leaseSlot = (record[RecordOffset.ports]! & 0xffff) - 8000;
    return { record, leaseSlot, index, local, published: false, lastSeenMs: nowMs, lastPublishedMs: nowMs };
  }

  #held(entry: Entry): boolean {
    return entry.local && this.#leaseArray.validUntilMs(entry.leaseSlot) > this.#host.nowMs();
  }

  #expired(entry: Entry): boolean {
    return this.#host.nowMs() - entry.lastSeenMs >= entry.record[RecordOffset.timeoutMs]!;
  }

  #sweep(): void {
    const nowMs = this.#host.nowMs();
    for (const [key, entry] of [...this.#entries]) {
      if (this.#expired(entry)) {
        if (entry.published && this.#held(entry)) this.#emit(this.#present(entry, ConnectionEvent.remove));
        this.#entries.delete(key);
        continue;
      }
      const due = (nowMs - entry.lastPublishedMs) * refreshesPerTimeout >= entry.record[RecordOffset.timeoutMs]!;
      if (!entry.published || !due || entry.lastSeenMs <= entry.lastPublishedMs || !this.#held(entry)) continue;
      this.#publish(entry, ConnectionEvent.refresh);
    }
    this.#host.callAt(nowMs + sweepPeriodMs, () => this.#sweep());
  }

  /** Its sign of life, which the vrrp process watches; also sent when a new lease is seen. */
  #live(): void {
    const nowMs = this.#host.nowMs();
    this.#leases.read(nowMs);
    this.#leaseArray.grant(engineLifeSlot, nowMs + lifeMs);
    this.#release();
    this.#host.callAt(nowMs + lifePeriodMs, () => this.#live());
  }

  #publish(entry: Entry, event: ConnectionEvent): void {
    entry.published = true;
    entry.lastPublishedMs = this.#host.nowMs();
    this.#emit(this.#present(entry, event));
  }

  #present(entry: Entry, event: ConnectionEvent): Int32Array {
    const record = entry.record.slice();
    const head = withEvent(record[0]!, event);
    record[0] = entry.local ? head | RecordFlag.local : head & ~RecordFlag.local;
    record[RecordOffset.idleMs] = Math.round(this.#host.nowMs() - entry.lastSeenMs);
    return record;
  }

  /** Events leave up to 1 ms after the first of them. */
  #emit(record: Int32Array): void {
    this.#pending.push(record);
    if (this.#pending.length > 1) return;
    this.#host.callAt(this.#host.nowMs() + 1, () => {
      const batch = new Int32Array(this.#pending.length * recordWords);
      for (const [i, one] of this.#pending.entries()) batch.set(one, i * recordWords);
      this.#pending = [];
      const number = this.#watch.hand(this.#host.nowMs());
      this.reader.deliver(() => {
        this.#listener(batch);
        this.#leaseArray.takenBatch = number;
        this.#host.deliver(() => this.#release());
      });
    });
  }

  /** A call from the sync thread: the engine executes it when it runs, and the thread gets the answer when it reads. */
  #call<Value>(work: () => Value): Promise<Value> {
    return new Promise((resolve) => {
      this.#host.deliver(() => {
        const value = work();
        this.reader.callAt(this.reader.nowMs() + 0.1, () => {
          resolve(value);
          this.#onSettled();
        });
      });
    });
  }
}

export function keyOf(record: Int32Array): string {
  return `${headKeyOf(record[0]!)} ${record[1]} ${record[5]} ${record[6]} ${record[7]} ${record[8]}`;
}

function stateOf(record: Int32Array): number {
  return stateOfHead(record[0]!);
}

function setState(record: Int32Array, state: number, timeoutMs: number): void {
  record[0] = withState(record[0]!, state);
  record[RecordOffset.timeoutMs] = timeoutMs;
}

// SPDX-License-Identifier: Apache-2.0
import { completesHandshake } from '../../connection/lifecycle.ts';
import { nextTcpState, type TcpDirection } from '../../connection/tcp-transitions.ts';
import { timeoutsByState } from '../../connection/timeouts.ts';
import { ConnectionEvent } from '../../model/connection-batch.ts';
import type { TcpState } from '../../model/tcp-state.ts';
import type { ProtocolTimeouts } from '../../model/timeouts.ts';
import type { ConnectionTable } from './connection-table.ts';
import type { Destinations } from './destinations.ts';
import { absent, EntryFlag, EntryWord, entryShift, stateMask, stateShift } from './entry-layout.ts';
import type { EventBuffer } from './event-buffer.ts';
import type { Leases } from './leases.ts';
import type { Tally } from './tally.ts';

/** The sweep comes past every entry about this often. */
const sweepPeriodMs = 1_000;
/** A bound on one sweep's work: about 0.1 ms. */
const sweepEntriesMax = 16_384;
/** A local entry is refreshed at its peers when a third of its timeout has gone by since they last heard of it. */
const refreshesPerTimeout = 3;

/** The life of entries: opening, following a connection's segments, publishing, expiring. */
export class Connections {
  readonly table: ConnectionTable;
  timeouts: Int32Array;
  readonly #destinations: Destinations;
  readonly #events: EventBuffer;
  readonly #leases: Leases;
  readonly #tally: Tally;
  #sweepPosition = 0;
  #sweptAtMs = Number.NaN;

  constructor(
    table: ConnectionTable,
    destinations: Destinations,
    events: EventBuffer,
    leases: Leases,
    tally: Tally,
    timeouts: ProtocolTimeouts,
  ) {
    this.table = table;
    this.#destinations = destinations;
    this.#events = events;
    this.#leases = leases;
    this.#tally = tally;
    this.timeouts = timeoutsByState(timeouts);
  }

  stateOf(entry: number): TcpState {
    return ((this.table.words[entry + EntryWord.head]! & stateMask) >>> stateShift) as TcpState;
  }

  hasExpired(entry: number, nowMs: number): boolean {
    const { words } = this.table;
    return (nowMs - words[entry + EntryWord.lastSeen]!) >>> 0 >= words[entry + EntryWord.timeout]! >>> 0;
  }

  /** Adds a local entry. The caller has checked that an established one has room. */
  open(key: Int32Array, destination: number, state: TcpState, halfOpen: boolean, nowMs: number): number {
    if (halfOpen && this.table.halfOpenFull) {
      const oldest = this.table.oldestHalfOpen;
      if (oldest !== absent) this.close(oldest, nowMs);
      this.#tally.halfOpenEvictions += 1;
    }
    const flags = EntryFlag.local | (halfOpen ? EntryFlag.halfOpen : 0);
    const entry = this.table.insert(key, destination, state, flags, nowMs | 0, this.timeouts[state]!);
    this.#destinations.countConnection(destination);
    if (!halfOpen) this.#publish(ConnectionEvent.upsert, entry, nowMs);
    return entry;
  }

  /**
   * Follows a TCP segment that this director forwards. Returns false when the connection would become established and
   * the established table is full: the entry stays as it was, and the packet is not to be forwarded.
   */
  follow(entry: number, direction: TcpDirection, flags: number, nowMs: number): boolean {
    const { table } = this;
    const { words } = table;
    const head = words[entry + EntryWord.head]!;
    const before = ((head & stateMask) >>> stateShift) as TcpState;
    const after = nextTcpState(direction, before, flags);
    const halfOpen = (head & EntryFlag.halfOpen) !== 0;
    if (before === after && (head & EntryFlag.local) !== 0) {
      words[entry + EntryWord.lastSeen] = nowMs | 0;
      words[entry + EntryWord.timeout] = this.timeouts[after]!;
      if (halfOpen) table.touchHalfOpen(entry);
      return true;
    }
    const establishes = halfOpen && completesHandshake(before, after);
    if (establishes && table.establishedFull) return false;
    words[entry + EntryWord.lastSeen] = nowMs | 0;
    words[entry + EntryWord.timeout] = this.timeouts[after]!;
    if (before !== after) table.setState(entry, after);
    // What a peer had forwarded until then is this director's own from the first packet on.
    words[entry + EntryWord.head]! |= EntryFlag.local;
    if (establishes) table.establish(entry);
    else if (halfOpen) table.touchHalfOpen(entry);
    if (!halfOpen || establishes) this.#publish(ConnectionEvent.upsert, entry, nowMs);
    return true;
  }

  /** Removes an entry, and tells the peers when they have learnt of it from here. */
  close(entry: number, nowMs: number): void {
    const head = this.table.words[entry + EntryWord.head]!;
    if ((head & EntryFlag.published) !== 0 && this.isHeld(entry)) {
      this.#events.append(ConnectionEvent.remove, this.table.words, entry, nowMs);
    }
    this.table.remove(entry);
  }

  /** Local, and under a valid lease: what this director says about it counts. */
  isHeld(entry: number): boolean {
    const { words } = this.table;
    return (
      (words[entry + EntryWord.head]! & EntryFlag.local) !== 0 &&
      this.#leases.isValid(this.#destinations.leaseSlots[words[entry + EntryWord.destination]!]!)
    );
  }

  /** Expires and refreshes a share of the table that fits the time gone by since the last call. */
  sweep(nowMs: number): void {
    const elapsedMs = Number.isNaN(this.#sweptAtMs) ? 0 : nowMs - this.#sweptAtMs;
    const { highWater, words } = this.table;
    const share = Math.ceil((highWater * Math.min(elapsedMs, sweepPeriodMs)) / sweepPeriodMs);
    this.#sweptAtMs = nowMs;
    let position = this.#sweepPosition;
    for (let left = Math.min(share, sweepEntriesMax); left > 0; left -= 1) {
      if (position >= highWater) position = 0;
      const entry = position << entryShift;
      position += 1;
      if ((words[entry + EntryWord.head]! & EntryFlag.used) !== 0) this.#inspect(entry, nowMs);
    }
    this.#sweepPosition = position;
  }

  #inspect(entry: number, nowMs: number): void {
    const { words } = this.table;
    const removed = this.#destinations.services[words[entry + EntryWord.destination]!] === undefined;
    if (removed || this.hasExpired(entry, nowMs)) {
      this.close(entry, nowMs);
      return;
    }
    if ((words[entry + EntryWord.head]! & EntryFlag.published) === 0) return;
    const lastPublished = words[entry + EntryWord.lastPublished]!;
    const sincePublished = (nowMs - lastPublished) >>> 0;
    if (sincePublished * refreshesPerTimeout < words[entry + EntryWord.timeout]! >>> 0) return;
    // Wrapping difference: negative or zero when no packet has come since.
    if (((words[entry + EntryWord.lastSeen]! - lastPublished) | 0) <= 0 || !this.isHeld(entry)) return;
    this.#publish(ConnectionEvent.refresh, entry, nowMs);
  }

  #publish(event: ConnectionEvent, entry: number, nowMs: number): void {
    const { words } = this.table;
    words[entry + EntryWord.head]! |= EntryFlag.published;
    words[entry + EntryWord.lastPublished] = nowMs | 0;
    this.#events.append(event, words, entry, nowMs);
  }
}

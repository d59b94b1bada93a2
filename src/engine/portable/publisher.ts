// SPDX-License-Identifier: Apache-2.0

import { isHalfOpenTcpState } from '../../connection/lifecycle.ts';
import { synPublicationsBurst, synPublicationsPerMs } from '../../connection/publication.ts';
import { synCounts } from '../../connection/sequence.ts';
import { TcpFlag } from '../../connection/tcp-transitions.ts';
import { ConnectionEvent } from '../../model/connection-batch.ts';
import type { TcpState } from '../../model/tcp-state.ts';
import type { ConnectionTable } from './connection-table.ts';
import type { Destinations } from './destinations.ts';
import { EntryFlag, EntryWord, entryTimeoutMs, stateMask, stateShift } from './entry-layout.ts';
import type { EventBuffer } from './event-buffer.ts';
import type { Leases } from './leases.ts';
import { noBatch, type PublisherWatch } from './publisher-watch.ts';
import { TokenBucket } from './token-bucket.ts';

export interface PublisherParts {
  readonly table: ConnectionTable;
  readonly destinations: Destinations;
  readonly events: EventBuffer;
  readonly leases: Leases;
  readonly watch: PublisherWatch;
}

/** Tells the peers about entries of the table. */
export class Publisher {
  readonly watch: PublisherWatch;
  readonly #table: ConnectionTable;
  readonly #destinations: Destinations;
  readonly #events: EventBuffer;
  readonly #leases: Leases;
  #begun: number = noBatch;
  readonly #synBudget = new TokenBucket(1_000 * synPublicationsPerMs, synPublicationsBurst);

  constructor({ table, destinations, events, leases, watch }: PublisherParts) {
    this.#table = table;
    this.#destinations = destinations;
    this.#events = events;
    this.#leases = leases;
    this.watch = watch;
  }

  /** Whether an entry is local and under a valid lease: peers take this director's word for it. */
  isHeld(entry: number): boolean {
    const { words } = this.#table;
    return (
      (words[entry + EntryWord.head]! & EntryFlag.local) !== 0 &&
      this.#leases.isValid(this.#destinations.leaseSlots[words[entry + EntryWord.destination]!]!)
    );
  }

  /**
   * Whether this director's word of an entry counts, and not a peer's record: the entry is held, and has carried a packet since
   * the lease was taken over. One that is older may be of a connection that is long over: the peer's last records of another
   * in its place, from just before a handover, come after the lease.
   */
  isCurrent(entry: number): boolean {
    if (!this.isHeld(entry)) return false;
    const { words } = this.#table;
    const sinceMs = this.#leases.takenOverAtMs(this.#destinations.leaseSlots[words[entry + EntryWord.destination]!]!);
    return sinceMs === undefined || ((words[entry + EntryWord.lastSeen]! - sinceMs) | 0) >= 0;
  }

  publish(event: ConnectionEvent, entry: number, nowMs: number): void {
    const { words } = this.#table;
    words[entry + EntryWord.head]! |= EntryFlag.published;
    words[entry + EntryWord.lastPublished] = nowMs | 0;
    this.#append(event, entry, nowMs);
  }

  /**
   * The SYN of a new connection has come. Its entry does not count as published: the peers are not told when it expires
   * half-open, since their copies expire with it.
   */
  publishBegun(entry: number, nowMs: number): void {
    if (!this.#synBudget.take(Math.floor(nowMs))) return;
    // If the event fills its batch, that leaves at once, with this number.
    if (this.watch.hearsPeer(nowMs)) this.#begun = this.watch.nextBatch;
    this.#append(ConnectionEvent.upsert, entry, nowMs);
  }

  /**
   * The SYN of a known entry has come: its client repeats it, and the publisher may have died with the first one, so that no
   * peer knows of the connection; or it begins another connection in the entry of one that is closing, of which its change of
   * state will tell. False: nobody would publish it.
   */
  hearSyn(entry: number, nowMs: number): boolean {
    const { words } = this.#table;
    const head = words[entry + EntryWord.head]!;
    const isRepeated = (head & EntryFlag.halfOpen) !== 0;
    const state = ((head & stateMask) >>> stateShift) as TcpState;
    const idleMs = (nowMs - words[entry + EntryWord.lastSeen]!) >>> 0;
    const begins = isRepeated ? (head & EntryFlag.local) !== 0 : synCounts(state, TcpFlag.syn, idleMs);
    if (!begins) return true;
    if (!this.watch.keepsUp(nowMs)) return false;
    if (!this.watch.hearsPeer(nowMs) || !this.#synBudget.take(Math.floor(nowMs))) return true;
    this.#begun = this.watch.nextBatch;
    // The SYN of a connection in a former one's entry may be repeated too: its state does not change again.
    if (isRepeated) this.#append(ConnectionEvent.upsert, entry, nowMs);
    else if (isHalfOpenTcpState(state)) this.publish(ConnectionEvent.upsert, entry, nowMs);
    return true;
  }

  /** Whether a SYN is being handled whose connection has been published. */
  get isBeginning(): boolean {
    return this.#begun !== noBatch;
  }

  /** The batch that tells the peers of the connection that a SYN has just begun or repeated; `noBatch`: they need not know. */
  takeBegun(): number {
    const batch = this.#begun;
    this.#begun = noBatch;
    return batch;
  }

  /** The entry is about to be removed: peers are told when they have learnt of it from here. */
  withdraw(event: ConnectionEvent, entry: number, nowMs: number): void {
    if ((this.#table.words[entry + EntryWord.head]! & EntryFlag.published) === 0 || !this.isHeld(entry)) return;
    this.#append(event, entry, nowMs);
  }

  #append(event: ConnectionEvent, entry: number, nowMs: number): void {
    const { words, tcpTimeouts } = this.#table;
    this.#events.append(event, words, entry, entryTimeoutMs(words, entry, tcpTimeouts), nowMs);
  }
}

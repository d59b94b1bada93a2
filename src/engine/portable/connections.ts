// SPDX-License-Identifier: Apache-2.0
import { leavesDeadServer, udpLeavesDeadServer } from '../../connection/dead-servers.ts';
import { completesHandshake, isHalfOpenTcpState } from '../../connection/lifecycle.ts';
import { isCrowded, timeoutsByClass } from '../../connection/second-class.ts';
import { stateAfter, TcpDirection } from '../../connection/tcp-transitions.ts';
import { roundsBetweenTouches } from '../../connection/template-touches.ts';
import { ConnectionEvent } from '../../model/connection-batch.ts';
import { type DeadServerPolicy, defaultDeadServerPolicy } from '../../model/dead-servers.ts';
import { TcpState } from '../../model/tcp-state.ts';
import { defaultTimeouts, type ProtocolTimeouts } from '../../model/timeouts.ts';
import { type Persistence, protocolNumbers } from '../../model/virtual-service.ts';
import type { ConnectionTable } from './connection-table.ts';
import type { Destinations } from './destinations.ts';
import {
  absent,
  EntryFlag,
  EntryWord,
  entryShift,
  entryTimeoutMs,
  KeyWord,
  stateMask,
  stateShift,
} from './entry-layout.ts';
import type { Packet } from './packet.ts';
import type { Publisher } from './publisher.ts';
import { Room } from './room.ts';
import { hearClient, hearServer } from './sequences.ts';
import type { Tally } from './tally.ts';
import { Templates } from './templates.ts';

/** The sweep passes every entry about this often. */
const sweepPeriodMs = 1_000;
/** A bound on one sweep's work: about 0.1 ms. */
const sweepEntriesMax = 16_384;
/** A local entry is refreshed at its peers when a third of its timeout has gone by since they last heard of it. */
const refreshesPerTimeout = 3;

/** The life of entries: opening, following a connection's segments, publishing, expiring. */
export class Connections {
  readonly table: ConnectionTable;
  readonly templates: Templates;
  readonly publisher: Publisher;
  udpMs = 0;
  deadServerPolicy: DeadServerPolicy = defaultDeadServerPolicy;
  /** See `EngineConfiguration`. */
  sloppyTcp = true;
  readonly #destinations: Destinations;
  readonly #tally: Tally;
  readonly #room: Room;
  #timeouts: ProtocolTimeouts = defaultTimeouts;
  #isCrowded = false;
  #sweepPosition = 0;
  #sweepRound = 0;
  #sweptAtMs = Number.NaN;

  constructor(
    table: ConnectionTable,
    destinations: Destinations,
    publisher: Publisher,
    tally: Tally,
    timeouts: ProtocolTimeouts,
  ) {
    this.table = table;
    this.publisher = publisher;
    this.templates = new Templates(table, publisher);
    this.#destinations = destinations;
    this.#tally = tally;
    this.#room = new Room(table);
    this.setTimeouts(timeouts);
  }

  setTimeouts(timeouts: ProtocolTimeouts): void {
    this.#timeouts = timeouts;
    this.table.tcpTimeouts.set(timeoutsByClass(timeouts, this.#isCrowded));
    this.udpMs = timeouts.udpMs;
  }

  /** In milliseconds; `head` holds the protocol in its low byte. */
  timeoutOf(head: number, state: number): number {
    return (head & 0xff) === protocolNumbers.udp ? this.udpMs : this.table.tcpTimeouts[state]!;
  }

  stateOf(entry: number): TcpState {
    return ((this.table.words[entry + EntryWord.head]! & stateMask) >>> stateShift) as TcpState;
  }

  /** Whether the TCP connection is over: a SYN of its client is then scheduled again (IPVS's conn_reuse). */
  isOver(entry: number): boolean {
    const state = this.stateOf(entry);
    return state === TcpState.timeWait || state === TcpState.close;
  }

  hasExpired(entry: number, nowMs: number): boolean {
    const { words, tcpTimeouts } = this.table;
    return (nowMs - words[entry + EntryWord.lastSeen]!) >>> 0 >= entryTimeoutMs(words, entry, tcpTimeouts);
  }

  /** Whether a client's packet ends the entry because the entry's real server is dead: see `leavesDeadServer`. */
  leavesDeadServer(entry: number, begins: boolean, nowMs: number): boolean {
    const { words } = this.table;
    const head = words[entry + EntryWord.head]!;
    if ((head & 0xff) === protocolNumbers.udp) return udpLeavesDeadServer(this.deadServerPolicy);
    const idleMs = (nowMs - words[entry + EntryWord.lastSeen]!) >>> 0;
    return leavesDeadServer(this.deadServerPolicy, begins, isHalfOpenTcpState(this.stateOf(entry)), idleMs);
  }

  /** Pushes the oldest half-open entry out when there is no room for another. */
  makeHalfOpenRoom(nowMs: number): void {
    if (!this.table.halfOpenFull) return;
    const oldest = this.table.oldestHalfOpen;
    if (oldest !== absent) this.close(oldest, nowMs);
    this.#tally.halfOpenEvictions += 1;
  }

  /** Whether the established table has room for a TCP connection: if need be an entry of the second class gives way. */
  makeEstablishedRoom(nowMs: number): boolean {
    if (!this.table.establishedFull) return true;
    const entry = this.#room.find(nowMs);
    if (entry === absent) return false;
    this.close(entry, nowMs);
    this.#tally.secondClassEvictions += 1;
    return true;
  }

  /** Adds a local entry. The caller has checked that an established one has room. */
  open(key: Int32Array, destination: number, state: TcpState, halfOpen: boolean, nowMs: number): number {
    if (halfOpen) this.makeHalfOpenRoom(nowMs);
    const isTcp = (key[KeyWord.head]! & 0xff) === protocolNumbers.tcp;
    const flags = EntryFlag.local | (halfOpen ? EntryFlag.halfOpen : 0) | (isTcp ? EntryFlag.secondClass : 0);
    const timeout = this.timeoutOf(key[KeyWord.head]!, state);
    const entry = this.table.insert(key, destination, state, flags, nowMs | 0, timeout);
    this.#destinations.countConnection(destination);
    this.#destinations.countRate(destination, nowMs);
    if (!halfOpen) this.#publishEstablished(entry, nowMs);
    return entry;
  }

  /** A further packet of a UDP flow, in either direction: the second one makes it known to the peers. */
  followUdp(entry: number, nowMs: number): void {
    const { table } = this;
    const { words } = table;
    const head = words[entry + EntryWord.head]!;
    words[entry + EntryWord.lastSeen] = nowMs | 0;
    words[entry + EntryWord.timeout] = this.udpMs;
    words[entry + EntryWord.head] = head | EntryFlag.local;
    if ((head & EntryFlag.halfOpen) !== 0) {
      if (table.establishedUdpFull) {
        table.touchHalfOpen(entry);
        return;
      }
      table.establish(entry);
    } else if ((head & EntryFlag.local) !== 0) {
      return;
    }
    this.#publishEstablished(entry, nowMs);
  }

  /**
   * Follows a TCP segment that this director forwards. Returns false when the connection would become established and
   * the established table has no room: the entry stays as it was, and the packet is not to be forwarded. A segment that
   * changes nothing keeps the entry alive only when `keepsAlive`.
   */
  follow(entry: number, direction: TcpDirection, packet: Packet, keepsAlive: boolean, nowMs: number): boolean {
    const { table } = this;
    const { words } = table;
    const event =
      direction === TcpDirection.output
        ? hearServer(table, entry, packet, nowMs)
        : hearClient(table, entry, direction, packet, nowMs);
    const head = words[entry + EntryWord.head]!;
    const before = ((head & stateMask) >>> stateShift) as TcpState;
    const after = stateAfter(event, before);
    const halfOpen = (head & EntryFlag.halfOpen) !== 0;
    if (before === after && (head & EntryFlag.local) !== 0) {
      if (!keepsAlive) return true;
      words[entry + EntryWord.lastSeen] = nowMs | 0;
      if (halfOpen) table.touchHalfOpen(entry);
      return true;
    }
    const establishes = halfOpen && completesHandshake(before, after);
    if (establishes && !this.makeEstablishedRoom(nowMs)) return false;
    words[entry + EntryWord.lastSeen] = nowMs | 0;
    if (before !== after) table.setState(entry, after);
    // A connection that a peer forwarded until now is this director's own from the first packet on.
    words[entry + EntryWord.head]! |= EntryFlag.local;
    if (establishes) table.establish(entry);
    else if (halfOpen) table.touchHalfOpen(entry);
    if (establishes) this.#publishEstablished(entry, nowMs);
    else if (!halfOpen) this.publisher.publish(ConnectionEvent.upsert, entry, nowMs);
    return true;
  }

  /** Removes an entry, and tells the peers when they have learnt of it from here. */
  close(entry: number, nowMs: number): void {
    this.publisher.withdraw(ConnectionEvent.remove, entry, nowMs);
    this.table.remove(entry);
  }

  /** Expires and refreshes entries: a share of the table in proportion to the time since the last call. */
  sweep(nowMs: number): void {
    this.#followCrowding();
    const elapsedMs = Number.isNaN(this.#sweptAtMs) ? 0 : nowMs - this.#sweptAtMs;
    const { highWater, words } = this.table;
    const share = Math.ceil((highWater * Math.min(elapsedMs, sweepPeriodMs)) / sweepPeriodMs);
    this.#sweptAtMs = nowMs;
    let position = this.#sweepPosition;
    for (let left = Math.min(share, sweepEntriesMax); left > 0; left -= 1) {
      if (position >= highWater) {
        position = 0;
        this.#sweepRound += 1;
      }
      const entry = position << entryShift;
      position += 1;
      if ((words[entry + EntryWord.head]! & EntryFlag.used) !== 0) this.#inspect(entry, nowMs);
    }
    this.#sweepPosition = position;
  }

  /** While the established table is more than half full, entries of the second class do not last as long. */
  #followCrowding(): void {
    const { establishedCount, limits } = this.table;
    const crowded = isCrowded(establishedCount, limits.establishedMax);
    if (crowded === this.#isCrowded) return;
    this.#isCrowded = crowded;
    this.setTimeouts(this.#timeouts);
  }

  #inspect(entry: number, nowMs: number): void {
    const { words } = this.table;
    const service = this.#destinations.services[words[entry + EntryWord.destination]!];
    if (service === undefined || this.hasExpired(entry, nowMs)) {
      this.close(entry, nowMs);
      return;
    }
    const { persistence } = service.compiled.service;
    if (persistence !== undefined) this.#keepTemplate(persistence, entry, nowMs);
    if ((words[entry + EntryWord.head]! & EntryFlag.published) === 0) return;
    const lastPublished = words[entry + EntryWord.lastPublished]!;
    const sincePublished = (nowMs - lastPublished) >>> 0;
    const timeoutMs = entryTimeoutMs(words, entry, this.table.tcpTimeouts);
    if (sincePublished * refreshesPerTimeout < timeoutMs) return;
    // Wrapping difference: negative or zero when no packet has come since.
    if (((words[entry + EntryWord.lastSeen]! - lastPublished) | 0) <= 0 || !this.publisher.isHeld(entry)) return;
    this.publisher.publish(ConnectionEvent.refresh, entry, nowMs);
  }

  #keepTemplate(persistence: Persistence, entry: number, nowMs: number): void {
    const head = this.table.words[entry + EntryWord.head]!;
    if ((head & (EntryFlag.template | EntryFlag.halfOpen)) !== 0 || !this.publisher.isHeld(entry)) return;
    if (this.#sweepRound % roundsBetweenTouches(persistence, sweepPeriodMs) !== 0) return;
    this.templates.keep(persistence, entry, nowMs);
  }

  #publishEstablished(entry: number, nowMs: number): void {
    this.publisher.publish(ConnectionEvent.upsert, entry, nowMs);
    const service = this.#destinations.services[this.table.words[entry + EntryWord.destination]!];
    const persistence = service?.compiled.service.persistence;
    if (persistence !== undefined) this.templates.keep(persistence, entry, nowMs);
  }
}

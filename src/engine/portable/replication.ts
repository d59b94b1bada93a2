// SPDX-License-Identifier: Apache-2.0
import { isHalfOpenTcpState } from '../../connection/lifecycle.ts';
import {
  ConnectionEvent,
  eventOf,
  isValidHead,
  methodOf,
  protocolOf,
  RecordFlag,
  RecordOffset,
  recordWords,
  stateOf,
} from '../../model/connection-batch.ts';
import { methodByNumber } from '../../model/forwarding-method.ts';
import type { TcpState } from '../../model/tcp-state.ts';
import { protocolNumbers } from '../../model/virtual-service.ts';
import { type ApplyOutcome, type ExportPage, nothingApplied } from '../engine.ts';
import type { Connections } from './connections.ts';
import type { Destinations } from './destinations.ts';
import { absent, EntryFlag, EntryWord, entryShift, entryTimeoutMs, KeyWord, keyWords } from './entry-layout.ts';
import { writeRecord } from './event-buffer.ts';
import type { Services } from './services.ts';

/** A bound on the entries that one page looks at, so that a sparse table does not hold up the packets. */
const scanEntriesMax = 16_384;
/** Longer than any timeout that can be configured: a longer one from a peer is ignored. */
const timeoutMsMax = 31 * 86_400_000;

type Verdict = keyof ApplyOutcome;

/** The connection table as sync reads and writes it. */
export class Replication {
  readonly #connections: Connections;
  readonly #destinations: Destinations;
  readonly #services: Services;
  readonly #key = new Int32Array(keyWords);

  constructor(connections: Connections, destinations: Destinations, services: Services) {
    this.#connections = connections;
    this.#destinations = destinations;
    this.#services = services;
  }

  /**
   * All entries but UDP flows of one packet and templates of which no connection has been established.
   *
   * Entries never move, so the cursor, an entry's index, gives each entry that lives throughout exactly once however
   * the table changes meanwhile. A page may be empty and yet not the last.
   */
  exportPage(cursor: number, recordsMax: number, nowMs: number): ExportPage {
    const { words, highWater } = this.#connections.table;
    const end = Math.min(highWater, cursor + scanEntriesMax);
    const batch = new Int32Array(Math.min(recordsMax, Math.max(0, end - cursor)) * recordWords);
    let at = 0;
    let position = cursor;
    for (; position < end && at < batch.length; position += 1) {
      const entry = position << entryShift;
      if ((words[entry + EntryWord.head]! & EntryFlag.used) === 0) continue;
      if (this.#connections.hasExpired(entry, nowMs) || isTentative(words[entry + EntryWord.head]!)) continue;
      const timeoutMs = entryTimeoutMs(words, entry, this.#connections.table.tcpTimeouts);
      writeRecord(batch, at, ConnectionEvent.upsert, words, entry, this.#destinations, timeoutMs, nowMs | 0);
      at += recordWords;
    }
    return { batch: batch.slice(0, at), next: position < highWater ? position : undefined };
  }

  apply(batch: Int32Array, nowMs: number): ApplyOutcome {
    const outcome = { ...nothingApplied };
    for (let at = 0; at + recordWords <= batch.length; at += recordWords) {
      outcome[this.#applyRecord(batch, at, nowMs)] += 1;
    }
    return outcome;
  }

  #applyRecord(batch: Int32Array, at: number, nowMs: number): Verdict {
    const head = batch[at + RecordOffset.head]!;
    if (!isValidHead(head)) return 'refusedUnknown';
    if (methodByNumber(methodOf(head))?.supported !== true) return 'refusedMethod';
    const key = this.#readKey(batch, at);
    const { table } = this.#connections;
    let entry = table.find(key);
    if (entry !== absent && this.#connections.publisher.isCurrent(entry)) return 'refusedLocal';
    if (eventOf(head) === ConnectionEvent.remove) {
      if (entry !== absent) table.remove(entry);
      return 'applied';
    }
    const destination = this.#findDestination(key, batch, at);
    if (destination < 0) return 'refusedUnknown';
    const state = stateOf(head) as TcpState;
    if (entry !== absent && !this.#isSameLife(entry, destination, state)) {
      table.remove(entry);
      entry = absent;
    }
    if (entry === absent) return this.#learn(key, destination, state, batch, at, nowMs);
    const { words } = table;
    const isSecond = isSecondClass(key, head, state);
    const establishes = (words[entry + EntryWord.head]! & EntryFlag.halfOpen) !== 0 && !isHalfOpen(key, state);
    if (establishes && !this.#hasRoom(key, state, isSecond, nowMs)) return 'refusedFull';
    const timeoutMs = entryTimeoutMs(words, entry, table.tcpTimeouts);
    if (establishes) table.establish(entry);
    table.setState(entry, state);
    table.setClass(entry, isSecond);
    words[entry + EntryWord.head]! &= ~(EntryFlag.local | EntryFlag.published | EntryFlag.sequenced);
    words[entry + EntryWord.timeout] = timeoutMs;
    this.#readTimes(entry, batch, at, nowMs);
    return 'applied';
  }

  #learn(key: Int32Array, destination: number, state: TcpState, batch: Int32Array, at: number, nowMs: number): Verdict {
    const { table } = this.#connections;
    const halfOpen = isHalfOpen(key, state);
    const isSecond = isSecondClass(key, batch[at + RecordOffset.head]!, state);
    if (!this.#hasRoom(key, state, isSecond, nowMs)) return 'refusedFull';
    const isTemplate = (key[KeyWord.head]! & EntryFlag.template) !== 0;
    const rival = isTemplate ? absent : table.findReplyOf(key, destination);
    if (rival !== absent && this.#connections.publisher.isCurrent(rival)) return 'refusedLocal';
    if (rival !== absent) table.remove(rival);
    const flags = (halfOpen ? EntryFlag.halfOpen : 0) | (isSecond ? EntryFlag.secondClass : 0);
    const timeout = this.#connections.timeoutOf(key[KeyWord.head]!, state);
    const entry = table.insert(key, destination, state, flags, nowMs | 0, timeout);
    this.#readTimes(entry, batch, at, nowMs);
    return 'applied';
  }

  /** The peer's timeout holds until a packet passes here: with it the copy lives exactly as long as the original. */
  #readTimes(entry: number, batch: Int32Array, at: number, nowMs: number): void {
    const { words } = this.#connections.table;
    words[entry + EntryWord.lastSeen] = (nowMs | 0) - Math.max(0, batch[at + RecordOffset.idleMs]!);
    const timeout = batch[at + RecordOffset.timeoutMs]! >>> 0;
    if (timeout > 0 && timeout <= timeoutMsMax) words[entry + EntryWord.timeout] = timeout;
  }

  /** For an entry of the first class one of the second gives way. */
  #hasRoom(key: Int32Array, state: TcpState, isSecond: boolean, nowMs: number): boolean {
    const { table } = this.#connections;
    if (isHalfOpen(key, state)) return !table.halfOpenFull;
    const kind = key[KeyWord.head]! & (0xff | EntryFlag.template);
    if (kind === protocolNumbers.udp) return !table.establishedUdpFull;
    if (kind !== protocolNumbers.tcp || isSecond) return !table.establishedFull;
    return this.#connections.makeEstablishedRoom(nowMs);
  }

  /** An established entry for which a peer reports a half-open state is another connection with the same flow key. */
  #isSameLife(entry: number, destination: number, state: TcpState): boolean {
    const { words } = this.#connections.table;
    if (words[entry + EntryWord.destination] !== destination) return false;
    return (words[entry + EntryWord.head]! & EntryFlag.halfOpen) !== 0 || !isHalfOpen(this.#key, state);
  }

  #readKey(batch: Int32Array, at: number): Int32Array {
    const key = this.#key;
    const head = batch[at + RecordOffset.head]!;
    const addressWords = (head & RecordFlag.ipv6) !== 0 ? 4 : 1;
    for (let i = 0; i < 4; i += 1) {
      key[KeyWord.clientAddress + i] = i < addressWords ? batch[at + RecordOffset.clientAddress + i]! : 0;
      key[KeyWord.virtualAddress + i] = i < addressWords ? batch[at + RecordOffset.virtualAddress + i]! : 0;
    }
    key[KeyWord.ports] = batch[at + RecordOffset.ports]!;
    key[KeyWord.head] =
      protocolOf(head) |
      ((head & RecordFlag.ipv6) !== 0 ? EntryFlag.ipv6 : 0) |
      ((head & RecordFlag.template) !== 0 ? EntryFlag.template : 0);
    return key;
  }

  /** This director's real server with the record's endpoint; its own forwarding method holds, as in IPVS. */
  #findDestination(key: Int32Array, batch: Int32Array, at: number): number {
    const service = this.#services.findService(
      key[KeyWord.head]!,
      key,
      KeyWord.virtualAddress,
      key[KeyWord.ports]! & 0xffff,
    );
    if (service === undefined) return -1;
    const { addresses, ports } = this.#destinations;
    for (const destination of service.destinations) {
      if (ports[destination] !== batch[at + RecordOffset.realPort]) continue;
      let same = true;
      for (let i = 0; i < 4; i += 1) {
        if (addresses[(destination << 2) + i] !== batch[at + RecordOffset.realAddress + i]) same = false;
      }
      if (same) return destination;
    }
    return -1;
  }
}

/** Peers hear of UDP flows and templates only when they are no longer half-open. `key`: see `KeyWord`. */
function isHalfOpen(key: Int32Array, state: TcpState): boolean {
  return (key[KeyWord.head]! & (0xff | EntryFlag.template)) === protocolNumbers.tcp && isHalfOpenTcpState(state);
}

/** Half-open TCP connections are, and established ones of which the peer says so in the record's head. */
function isSecondClass(key: Int32Array, head: number, state: TcpState): boolean {
  if ((key[KeyWord.head]! & (0xff | EntryFlag.template)) !== protocolNumbers.tcp) return false;
  return isHalfOpenTcpState(state) || (head & RecordFlag.secondClass) !== 0;
}

/** Whether an entry is half-open, but its record would not show that. */
function isTentative(head: number): boolean {
  if ((head & EntryFlag.halfOpen) === 0) return false;
  return (head & (0xff | EntryFlag.template)) !== protocolNumbers.tcp;
}

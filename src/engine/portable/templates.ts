// SPDX-License-Identifier: Apache-2.0
import { ConnectionEvent } from '../../model/connection-batch.ts';
import type { Persistence } from '../../model/virtual-service.ts';
import type { ConnectionTable } from './connection-table.ts';
import { absent, EntryFlag, EntryWord, KeyWord, keyWords } from './entry-layout.ts';
import type { Publisher } from './publisher.ts';
import type { RunningService } from './running-service.ts';

const templateState = 0;

/**
 * Connection templates: which real server the clients of a prefix stay with. They are entries of the connection table
 * beside the connections, with the prefix as client address and 0 as client port, and do not count as connections.
 *
 * A template is half-open, among those that a flood pushes out, until a connection of its prefix is established: then
 * it is published and stays. It lives on while connections of it do, and for its timeout after the last.
 */
export class Templates {
  readonly #table: ConnectionTable;
  readonly #publisher: Publisher;
  readonly #key = new Int32Array(keyWords);

  constructor(table: ConnectionTable, publisher: Publisher) {
    this.#table = table;
    this.#publisher = publisher;
  }

  /** The real server that the template of a client's flow key leads to; -1: none that may be used. */
  find(service: RunningService, persistence: Persistence, key: Int32Array, nowMs: number): number {
    const entry = this.#findEntry(persistence, key, 0);
    if (entry === absent) return -1;
    const { words } = this.#table;
    const destination = words[entry + EntryWord.destination]!;
    const realServer = service.destinations.indexOf(destination);
    const expired = (nowMs - words[entry + EntryWord.lastSeen]!) >>> 0 >= words[entry + EntryWord.timeout]! >>> 0;
    if (expired || realServer < 0 || service.available[realServer] !== 1) {
      this.#publisher.withdraw(ConnectionEvent.remove, entry, nowMs);
      this.#table.remove(entry);
      return -1;
    }
    this.#use(entry, persistence, nowMs);
    return destination;
  }

  /** After `find` has found none: binds the prefix of a flow key to a real server. There is room for a half-open entry. */
  bind(persistence: Persistence, key: Int32Array, destination: number, nowMs: number): void {
    this.#fillKey(persistence, key, 0);
    const flags = EntryFlag.local | EntryFlag.halfOpen;
    this.#table.insert(this.#key, destination, templateState, flags, nowMs | 0, persistence.timeoutMs);
  }

  /** A connection of the prefix lives, or has just been established: its template is used, and stays. */
  keep(persistence: Persistence, connection: number, nowMs: number): void {
    const { words } = this.#table;
    const entry = this.#findEntry(persistence, words, connection);
    if (entry === absent) return;
    if (words[entry + EntryWord.destination] !== words[connection + EntryWord.destination]) return;
    const isHalfOpen = (words[entry + EntryWord.head]! & EntryFlag.halfOpen) !== 0;
    if (isHalfOpen && !this.#table.establishedFull) {
      this.#table.establish(entry);
      words[entry + EntryWord.lastSeen] = nowMs | 0;
      this.#publisher.publish(ConnectionEvent.upsert, entry, nowMs);
    }
    this.#use(entry, persistence, nowMs);
  }

  #use(entry: number, persistence: Persistence, nowMs: number): void {
    const { words } = this.#table;
    const head = words[entry + EntryWord.head]!;
    words[entry + EntryWord.lastSeen] = nowMs | 0;
    words[entry + EntryWord.timeout] = persistence.timeoutMs;
    if ((head & EntryFlag.halfOpen) !== 0) this.#table.touchHalfOpen(entry);
    if ((head & EntryFlag.local) !== 0) return;
    // A template that a peer kept until now is this director's own from the first connection on.
    words[entry + EntryWord.head] = head | EntryFlag.local;
    this.#publisher.publish(ConnectionEvent.upsert, entry, nowMs);
  }

  #findEntry(persistence: Persistence, words: Int32Array, at: number): number {
    this.#fillKey(persistence, words, at);
    return this.#table.find(this.#key);
  }

  /** `words` holds a flow key from `at` on; bits of its head that are not part of the key are left out. */
  #fillKey(persistence: Persistence, words: Int32Array, at: number): void {
    const key = this.#key;
    const head = words[at + KeyWord.head]! & (0xff | EntryFlag.ipv6);
    const { prefixLength } = persistence;
    for (let i = 0; i < 4; i += 1) {
      const bits = Math.min(32, Math.max(0, prefixLength - 32 * i));
      const mask = bits === 0 ? 0 : -1 << (32 - bits);
      key[KeyWord.clientAddress + i] = words[at + KeyWord.clientAddress + i]! & mask;
      key[KeyWord.virtualAddress + i] = words[at + KeyWord.virtualAddress + i]!;
    }
    key[KeyWord.ports] = words[at + KeyWord.ports]! & 0xffff;
    key[KeyWord.head] = head | EntryFlag.template;
  }
}

// SPDX-License-Identifier: Apache-2.0
import { timeoutsByClass } from '../../connection/second-class.ts';
import { finishHash, mixWord } from '../../lib/hash.ts';
import { defaultTimeouts } from '../../model/timeouts.ts';
import { protocolNumbers } from '../../model/virtual-service.ts';
import type { Destinations } from './destinations.ts';
import {
  absent,
  EntryFlag,
  EntryWord,
  entryShift,
  entryWords,
  headKeyMask,
  KeyWord,
  keyWords,
  stateMask,
  stateShift,
} from './entry-layout.ts';
import { HashIndex } from './hash-index.ts';

export interface TableLimits {
  /** Half-open entries; one more pushes the oldest out. */
  readonly halfOpenMax: number;
  /** Established entries; one more is refused. */
  readonly establishedMax: number;
  /** Unguessable, so that nobody can choose flows that collide. */
  readonly hashSeed: number;
}

export const defaultTableLimits: Omit<TableLimits, 'hashSeed'> = { halfOpenMax: 65_536, establishedMax: 1_048_576 };

/**
 * The half-open and the established connections of all virtual services, with two indexes: by the client's flow key,
 * and, where the replies pass here, by the key that a real server's reply carries. Both tables share one slab and are told apart by
 * a flag, so that one probe answers for both; each has a limit of its own, and only the half-open one is an LRU.
 *
 * Keeps each real server's active and inactive connections right through every change.
 */
export class ConnectionTable {
  /** Entries by `EntryWord`. The kernel backs its pages as they are touched. */
  readonly words: Int32Array;
  readonly limits: TableLimits;
  /** Timeouts of TCP connections by state and class, in milliseconds. */
  readonly tcpTimeouts = timeoutsByClass(defaultTimeouts, false);
  /** Entries of either table, templates included. */
  halfOpenCount = 0;
  establishedCount = 0;
  /** Templates among the entries of either table. */
  halfOpenTemplates = 0;
  establishedTemplates = 0;
  /** UDP entries in the established table. */
  establishedUdp = 0;
  /** Entries of the second class in the established table. */
  secondClassCount = 0;
  /** Every entry that has ever been in use has an index below this. */
  highWater = 0;

  readonly #destinations: Destinations;
  readonly #byClient: HashIndex;
  readonly #byReply: HashIndex;
  #freeHead = 0;
  #oldest = 0;
  #newest = 0;
  readonly #key = new Int32Array(keyWords);

  constructor(limits: TableLimits, destinations: Destinations) {
    const entriesMax = limits.halfOpenMax + limits.establishedMax;
    this.limits = limits;
    this.words = new Int32Array(entriesMax * entryWords);
    this.#destinations = destinations;
    this.#byClient = new HashIndex(entriesMax);
    this.#byReply = new HashIndex(entriesMax);
  }

  get halfOpenFull(): boolean {
    return this.halfOpenCount >= this.limits.halfOpenMax;
  }

  get establishedFull(): boolean {
    return this.establishedCount >= this.limits.establishedMax;
  }

  /**
   * Anybody can forge UDP packets that look like a flow, but not a TCP handshake. UDP flows fill at most half of the
   * established table, so that the other half is always left for TCP connections.
   */
  get establishedUdpFull(): boolean {
    return this.establishedFull || this.establishedUdp >= this.limits.establishedMax >>> 1;
  }

  /** The half-open entry that has waited longest; `absent` when there is none. */
  get oldestHalfOpen(): number {
    return this.#oldest === 0 ? absent : (this.#oldest - 1) << entryShift;
  }

  /** The entry of a flow key (`KeyWord`), or `absent`. */
  find(key: Int32Array): number {
    const head = key[KeyWord.head]!;
    if ((head & EntryFlag.ipv6) !== 0) return this.#findIpv6(key);
    return this.#findIpv4(head, key[KeyWord.clientAddress]!, key[KeyWord.virtualAddress]!, key[KeyWord.ports]!);
  }

  /**
   * The entry that a real server's packet answers, or `absent`. `key` is laid out as a flow key: the real
   * server stands for the client, the client for the virtual address, as in the packet.
   */
  findReply(key: Int32Array): number {
    const head = key[KeyWord.head]!;
    if ((head & EntryFlag.ipv6) !== 0) return this.#findReplyIpv6(key);
    return this.#findReplyIpv4(head, key[KeyWord.clientAddress]!, key[KeyWord.virtualAddress]!, key[KeyWord.ports]!);
  }

  #findIpv4(protocol: number, client: number, virtual: number, ports: number): number {
    const { slots, mask } = this.#byClient;
    const { words } = this;
    const hash = hashIpv4(this.limits.hashSeed, protocol, client, virtual, ports);
    for (let at = (hash << 1) & mask; ; at = (at + 2) & mask) {
      const reference = slots[at]!;
      if (reference === 0) return absent;
      if (slots[at + 1] !== hash) continue;
      const entry = (reference - 1) << entryShift;
      if (
        words[entry + EntryWord.clientAddress] === client &&
        words[entry + EntryWord.ports] === ports &&
        words[entry + EntryWord.virtualAddress] === virtual &&
        (words[entry + EntryWord.head]! & headKeyMask) === protocol
      ) {
        return entry;
      }
    }
  }

  #findReplyIpv4(protocol: number, real: number, client: number, ports: number): number {
    const { slots, mask } = this.#byReply;
    const { words } = this;
    const hash = hashIpv4(this.limits.hashSeed, protocol, real, client, ports);
    for (let at = (hash << 1) & mask; ; at = (at + 2) & mask) {
      const reference = slots[at]!;
      if (reference === 0) return absent;
      if (slots[at + 1] !== hash) continue;
      const entry = (reference - 1) << entryShift;
      const destination = words[entry + EntryWord.destination]!;
      if (
        words[entry + EntryWord.clientAddress] === client &&
        words[entry + EntryWord.ports]! >>> 16 === (ports & 0xffff) &&
        this.#destinations.addresses[destination << 2] === real &&
        this.#destinations.ports[destination] === ports >>> 16 &&
        (words[entry + EntryWord.head]! & headKeyMask) === protocol
      ) {
        return entry;
      }
    }
  }

  #findIpv6(key: Int32Array): number {
    const { slots, mask } = this.#byClient;
    const hash = hashIpv6(this.limits.hashSeed, key);
    for (let at = (hash << 1) & mask; ; at = (at + 2) & mask) {
      const reference = slots[at]!;
      if (reference === 0) return absent;
      if (slots[at + 1] === hash && this.#hasKey((reference - 1) << entryShift, key)) {
        return (reference - 1) << entryShift;
      }
    }
  }

  #findReplyIpv6(key: Int32Array): number {
    const { slots, mask } = this.#byReply;
    const { words } = this;
    const { addresses, ports } = this.#destinations;
    const hash = hashIpv6(this.limits.hashSeed, key);
    for (let at = (hash << 1) & mask; ; at = (at + 2) & mask) {
      const reference = slots[at]!;
      if (reference === 0) return absent;
      if (slots[at + 1] !== hash) continue;
      const entry = (reference - 1) << entryShift;
      const destination = words[entry + EntryWord.destination]!;
      if (
        words[entry + EntryWord.ports]! >>> 16 === (key[KeyWord.ports]! & 0xffff) &&
        ports[destination] === key[KeyWord.ports]! >>> 16 &&
        (words[entry + EntryWord.head]! & headKeyMask) === key[KeyWord.head] &&
        sameAddress(words, entry + EntryWord.clientAddress, key, KeyWord.virtualAddress) &&
        sameAddress(addresses, destination << 2, key, KeyWord.clientAddress)
      ) {
        return entry;
      }
    }
  }

  /** The entry whose replies could not be told from those of a new entry with this key and destination, or `absent`. */
  findReplyOf(key: Int32Array, destination: number): number {
    if (!this.#destinations.seesReplies(destination)) return absent;
    const { slots, mask } = this.#byReply;
    const { words } = this;
    const hash = this.#hashReply(key, destination);
    for (let at = (hash << 1) & mask; ; at = (at + 2) & mask) {
      const reference = slots[at]!;
      if (reference === 0) return absent;
      if (slots[at + 1] !== hash) continue;
      const entry = (reference - 1) << entryShift;
      if (
        sameAddress(words, entry + EntryWord.clientAddress, key, KeyWord.clientAddress) &&
        words[entry + EntryWord.ports]! >>> 16 === key[KeyWord.ports]! >>> 16 &&
        (words[entry + EntryWord.head]! & headKeyMask) === key[KeyWord.head] &&
        this.#destinations.sameEndpoint(words[entry + EntryWord.destination]!, destination)
      ) {
        return entry;
      }
    }
  }

  /**
   * Adds an entry. The caller has made sure that the key and its replies are absent and that its table has room.
   * `flags`: of `EntryFlag`, those that are not part of the key.
   */
  insert(key: Int32Array, destination: number, state: number, flags: number, now: number, timeout: number): number {
    const entry = this.#allocate();
    const { words } = this;
    for (let i = 0; i < KeyWord.head; i += 1) words[entry + i] = key[i]!;
    words[entry + EntryWord.head] = key[KeyWord.head]! | (state << stateShift) | flags | EntryFlag.used;
    words[entry + EntryWord.destination] = destination;
    words[entry + EntryWord.lastSeen] = now;
    words[entry + EntryWord.lastPublished] = now;
    words[entry + EntryWord.timeout] = timeout;
    const reference = (entry >>> entryShift) + 1;
    this.#byClient.insert(this.#hashClient(key), reference);
    if (this.#hasReplies(key[KeyWord.head]!, destination)) {
      this.#byReply.insert(this.#hashReply(key, destination), reference);
    }
    if ((flags & EntryFlag.halfOpen) !== 0) this.#append(reference);
    this.#count(key[KeyWord.head]! | flags, 1);
    this.#destinations.countEntry(destination, state, key[KeyWord.head]!, 1);
    return entry;
  }

  remove(entry: number): void {
    const { words } = this;
    const head = words[entry + EntryWord.head]!;
    const destination = words[entry + EntryWord.destination]!;
    const reference = (entry >>> entryShift) + 1;
    const key = this.#key;
    for (let i = 0; i < KeyWord.head; i += 1) key[i] = words[entry + i]!;
    key[KeyWord.head] = head & headKeyMask;
    this.#byClient.remove(this.#hashClient(key), reference);
    if (this.#hasReplies(head, destination)) this.#byReply.remove(this.#hashReply(key, destination), reference);
    if ((head & EntryFlag.halfOpen) !== 0) this.#unlink(entry);
    this.#count(head, -1);
    this.#destinations.countEntry(destination, (head & stateMask) >>> stateShift, head, -1);
    words[entry + EntryWord.head] = 0;
    words[entry + EntryWord.older] = this.#freeHead;
    this.#freeHead = reference;
  }

  setState(entry: number, state: number): void {
    const { words } = this;
    const head = words[entry + EntryWord.head]!;
    const destination = words[entry + EntryWord.destination]!;
    // A template counts as no connection, whatever a peer says of its state.
    if ((head & EntryFlag.template) === 0) {
      this.#destinations.countTransition(destination, (head & stateMask) >>> stateShift, state);
    }
    words[entry + EntryWord.head] = (head & ~stateMask) | (state << stateShift);
  }

  setClass(entry: number, isSecond: boolean): void {
    const { words } = this;
    const former = words[entry + EntryWord.head]!;
    const head = isSecond ? former | EntryFlag.secondClass : former & ~EntryFlag.secondClass;
    if (head === former) return;
    words[entry + EntryWord.head] = head;
    if ((head & EntryFlag.halfOpen) === 0) this.secondClassCount += isSecond ? 1 : -1;
  }

  /** Moves an entry from the half-open to the established table, which has room. */
  establish(entry: number): void {
    const head = this.words[entry + EntryWord.head]!;
    this.#unlink(entry);
    this.#count(head, -1);
    this.#count(head & ~EntryFlag.halfOpen, 1);
    this.words[entry + EntryWord.head] = head & ~EntryFlag.halfOpen;
  }

  /** A half-open entry was used: it is the last to be pushed out. */
  touchHalfOpen(entry: number): void {
    const reference = (entry >>> entryShift) + 1;
    if (this.#newest === reference) return;
    this.#unlink(entry);
    this.#append(reference);
  }

  /** An entry with this head has come (1) or gone (-1). */
  #count(head: number, by: number): void {
    const isTemplate = (head & EntryFlag.template) !== 0;
    if ((head & EntryFlag.halfOpen) !== 0) {
      this.halfOpenCount += by;
      if (isTemplate) this.halfOpenTemplates += by;
    } else {
      this.establishedCount += by;
      if (isTemplate) this.establishedTemplates += by;
      else if ((head & 0xff) === protocolNumbers.udp) this.establishedUdp += by;
      else if ((head & EntryFlag.secondClass) !== 0) this.secondClassCount += by;
    }
  }

  #hasReplies(head: number, destination: number): boolean {
    return (head & EntryFlag.template) === 0 && this.#destinations.seesReplies(destination);
  }

  #allocate(): number {
    const reference = this.#freeHead;
    if (reference === 0) {
      this.highWater += 1;
      return (this.highWater - 1) << entryShift;
    }
    const entry = (reference - 1) << entryShift;
    this.#freeHead = this.words[entry + EntryWord.older]!;
    return entry;
  }

  #append(reference: number): void {
    const { words } = this;
    const entry = (reference - 1) << entryShift;
    words[entry + EntryWord.older] = this.#newest;
    words[entry + EntryWord.newer] = 0;
    if (this.#newest === 0) this.#oldest = reference;
    else words[((this.#newest - 1) << entryShift) + EntryWord.newer] = reference;
    this.#newest = reference;
  }

  #unlink(entry: number): void {
    const { words } = this;
    const older = words[entry + EntryWord.older]!;
    const newer = words[entry + EntryWord.newer]!;
    if (older === 0) this.#oldest = newer;
    else words[((older - 1) << entryShift) + EntryWord.newer] = newer;
    if (newer === 0) this.#newest = older;
    else words[((newer - 1) << entryShift) + EntryWord.older] = older;
  }

  #hasKey(entry: number, key: Int32Array): boolean {
    const { words } = this;
    return (
      words[entry + EntryWord.ports] === key[KeyWord.ports] &&
      (words[entry + EntryWord.head]! & headKeyMask) === key[KeyWord.head] &&
      sameAddress(words, entry + EntryWord.clientAddress, key, KeyWord.clientAddress) &&
      sameAddress(words, entry + EntryWord.virtualAddress, key, KeyWord.virtualAddress)
    );
  }

  #hashClient(key: Int32Array): number {
    const head = key[KeyWord.head]!;
    const seed = this.limits.hashSeed;
    if ((head & EntryFlag.ipv6) === 0) return hashIpv4(seed, head, key[0]!, key[4]!, key[KeyWord.ports]!);
    return hashIpv6(seed, key);
  }

  #hashReply(key: Int32Array, destination: number): number {
    const head = key[KeyWord.head]!;
    const { addresses } = this.#destinations;
    const ports = (this.#destinations.ports[destination]! << 16) | (key[KeyWord.ports]! >>> 16);
    const seed = this.limits.hashSeed;
    if ((head & EntryFlag.ipv6) === 0) return hashIpv4(seed, head, addresses[destination << 2]!, key[0]!, ports);
    let state = seed;
    for (let i = 0; i < 4; i += 1) state = mixWord(state, addresses[(destination << 2) + i]!);
    for (let i = 0; i < 4; i += 1) state = mixWord(state, key[i]!);
    return finishHash(mixWord(mixWord(state, ports), head)) | 0;
  }
}

function sameAddress(a: Int32Array, atA: number, b: Int32Array, atB: number): boolean {
  return a[atA] === b[atB] && a[atA + 1] === b[atB + 1] && a[atA + 2] === b[atB + 2] && a[atA + 3] === b[atB + 3];
}

function hashIpv6(seed: number, key: Int32Array): number {
  let state = seed;
  for (let i = 0; i < keyWords; i += 1) state = mixWord(state, key[i]!);
  return finishHash(state) | 0;
}

/** IPv4 keys hash only the words that they use. Signed, as Int32Array holds it. */
function hashIpv4(seed: number, protocol: number, first: number, second: number, ports: number): number {
  return finishHash(mixWord(mixWord(mixWord(seed ^ protocol, first), second), ports)) | 0;
}

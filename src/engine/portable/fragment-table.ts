// SPDX-License-Identifier: Apache-2.0
import { finishHash, mixWord } from '../../lib/hash.ts';
import { EntryFlag } from './entry-layout.ts';
import { HashIndex } from './hash-index.ts';
import type { Packet } from './packet.ts';

/** Datagrams whose fragments are followed at one time; one more pushes the oldest out. */
const datagramsMax = 4096;
/** As ipfrag_time in Linux: how long the fragments of a datagram may take. */
const timeoutMs = 30_000;
/** A datagram has at most 65535 bytes, and fragments begin at multiples of 8. */
const bytesMax = 65_535;
const bitmapLength = 1024;

/** Words of a datagram: its name (source, destination, identification, protocol and family), then where it goes. */
const Word = { source: 0, destination: 4, identification: 8, head: 9, target: 10, startedAt: 11, flags: 12 } as const;
const wordsPerDatagram = 13;
const Flag = { used: 1, outbound: 2, spoilt: 4 } as const;
const nameWords = 10;

export type FragmentFault = 'fragmentMalformed' | 'fragmentOverlap';

export const unknownDatagram = -1;

/**
 * Sends the fragments of a datagram after the first one, which alone names its ports. The bytes that have gone by are
 * remembered in units of 8, so that no fragment overwrites bytes of another (RFC 1858, RFC 5722).
 */
export class FragmentTable {
  readonly #words = new Int32Array(datagramsMax * wordsPerDatagram);
  /** The length of each datagram in bytes, once its last fragment has come; else 0. */
  readonly #totals = new Int32Array(datagramsMax);
  /** Units of 8 bytes that have gone by. */
  readonly #counts = new Int32Array(datagramsMax);
  readonly #bitmaps = new Uint8Array(datagramsMax * bitmapLength);
  readonly #index = new HashIndex(datagramsMax);
  readonly #name = new Int32Array(nameWords);
  readonly #seed: number;
  #next = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** Whether a fragment's length and place can be true at all. */
  static check(packet: Packet): FragmentFault | undefined {
    const length = packet.end - packet.fragmentStart;
    if (length <= 0 || (packet.moreFragments && (length & 7) !== 0)) return 'fragmentMalformed';
    // The headers count too: the whole would otherwise be longer than any packet may be ("ping of death").
    const headers = packet.ipv6 ? 0 : packet.fragmentStart - packet.ip;
    return headers + packet.fragmentOffset + length > bytesMax ? 'fragmentMalformed' : undefined;
  }

  /** The datagram that a fragment belongs to, or `unknownDatagram`. */
  find(packet: Packet, nowMs: number): number {
    const name = this.#nameOf(packet);
    const hash = this.#hash(name, 0);
    const { slots, mask } = this.#index;
    for (let at = (hash << 1) & mask; ; at = (at + 2) & mask) {
      const reference = slots[at]!;
      if (reference === 0) return unknownDatagram;
      const datagram = reference - 1;
      if (slots[at + 1] !== hash || !this.#hasName(datagram, name)) continue;
      const age = (nowMs - this.#words[datagram * wordsPerDatagram + Word.startedAt]!) >>> 0;
      if (age < timeoutMs) return datagram;
      this.#forget(datagram);
      return unknownDatagram;
    }
  }

  /** Remembers where the first fragment went: a destination, with its replies (`outbound`) or its client's packets. */
  begin(packet: Packet, target: number, outbound: boolean, nowMs: number): void {
    const datagram = this.#next;
    this.#next = (datagram + 1) % datagramsMax;
    const at = datagram * wordsPerDatagram;
    if (this.#words[at + Word.flags] !== 0) this.#forget(datagram);
    const name = this.#nameOf(packet);
    this.#words.set(name, at);
    this.#words[at + Word.target] = target;
    this.#words[at + Word.startedAt] = nowMs | 0;
    this.#words[at + Word.flags] = Flag.used | (outbound ? Flag.outbound : 0);
    this.#totals[datagram] = 0;
    this.#counts[datagram] = 0;
    this.#bitmaps.fill(0, datagram * bitmapLength, (datagram + 1) * bitmapLength);
    this.#index.insert(this.#hash(name, 0), datagram + 1);
    this.accept(datagram, packet);
  }

  /**
   * Takes a fragment that `check` has let pass. A fragment whose bytes have all gone by is a duplicate; one that overlaps
   * in part spoils the datagram, of which nothing is forwarded from then on (RFC 5722 section 3).
   */
  accept(datagram: number, packet: Packet): FragmentFault | undefined {
    const at = datagram * wordsPerDatagram;
    if ((this.#words[at + Word.flags]! & Flag.spoilt) !== 0) return 'fragmentOverlap';
    const from = packet.fragmentOffset >>> 3;
    const end = packet.fragmentOffset + packet.end - packet.fragmentStart;
    const to = (end + 7) >>> 3;
    const total = this.#totals[datagram]!;
    const contradicts = total !== 0 && (packet.moreFragments ? end >= total : end !== total);
    const seen = this.#countSeen(datagram, from, to);
    if (contradicts || seen > 0) {
      if (contradicts || seen < to - from) this.#words[at + Word.flags]! |= Flag.spoilt;
      return 'fragmentOverlap';
    }
    if (!packet.moreFragments && this.#hasSeenBeyond(datagram, to)) {
      this.#words[at + Word.flags]! |= Flag.spoilt;
      return 'fragmentOverlap';
    }
    if (!packet.moreFragments) this.#totals[datagram] = end;
    const base = datagram * bitmapLength;
    for (let unit = from; unit < to; unit += 1) this.#bitmaps[base + (unit >>> 3)]! |= 1 << (unit & 7);
    this.#counts[datagram]! += to - from;
    return undefined;
  }

  /** The whole datagram has gone by: its name may be used again. */
  finish(datagram: number): void {
    const total = this.#totals[datagram]!;
    if (total !== 0 && this.#counts[datagram] === (total + 7) >>> 3) this.#forget(datagram);
  }

  targetOf(datagram: number): number {
    return this.#words[datagram * wordsPerDatagram + Word.target]!;
  }

  isOutbound(datagram: number): boolean {
    return (this.#words[datagram * wordsPerDatagram + Word.flags]! & Flag.outbound) !== 0;
  }

  #countSeen(datagram: number, from: number, to: number): number {
    const base = datagram * bitmapLength;
    let seen = 0;
    for (let unit = from; unit < to; unit += 1) seen += (this.#bitmaps[base + (unit >>> 3)]! >>> (unit & 7)) & 1;
    return seen;
  }

  #hasSeenBeyond(datagram: number, unit: number): boolean {
    return this.#countSeen(datagram, unit, bitmapLength * 8) > 0;
  }

  #forget(datagram: number): void {
    const at = datagram * wordsPerDatagram;
    if (this.#words[at + Word.flags] === 0) return;
    this.#index.remove(this.#hash(this.#words, at), datagram + 1);
    this.#words[at + Word.flags] = 0;
  }

  #hasName(datagram: number, name: Int32Array): boolean {
    const at = datagram * wordsPerDatagram;
    for (let i = 0; i < nameWords; i += 1) if (this.#words[at + i] !== name[i]) return false;
    return true;
  }

  /** IPv6 tells datagrams apart by addresses and identification alone (RFC 8200 section 4.5). */
  #nameOf(packet: Packet): Int32Array {
    const name = this.#name;
    for (let i = 0; i < Word.identification; i += 1) name[i] = packet.key[i]!;
    name[Word.identification] = packet.identification | 0;
    name[Word.head] = packet.ipv6 ? EntryFlag.ipv6 : packet.protocol;
    return name;
  }

  #hash(words: Int32Array, at: number): number {
    let state = this.#seed;
    for (let i = 0; i < nameWords; i += 1) state = mixWord(state, words[at + i]!);
    return finishHash(state) | 0;
  }
}

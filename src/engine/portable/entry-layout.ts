// SPDX-License-Identifier: Apache-2.0
import { secondClassBit } from '../../connection/second-class.ts';
import { protocolNumbers } from '../../model/virtual-service.ts';

/**
 * A connection entry is `entryWords` 32-bit words in one Int32Array: 64 bytes, one cache line, because at a million
 * connections a look-up costs what its cache misses cost.
 *
 * Times are monotonic milliseconds modulo 2^32. An age is `(now - then) >>> 0`, right for ages below 49 days, and the
 * sweep removes an entry long before: the longest timeout that can be configured is 31 days.
 */
export const EntryWord = {
  /** Four big-endian words; IPv4 uses the first and leaves the others zero. */
  clientAddress: 0,
  virtualAddress: 4,
  /** Client port << 16 | virtual port. */
  ports: 8,
  /** Bits 0..7 protocol number, 8..11 state, from 12 `EntryFlag`, 24..31 the mark of `markAfter`. */
  head: 9,
  /** Index into `Destinations`. */
  destination: 10,
  lastSeen: 11,
  lastPublished: 12,
  /** Half-open: the neighbours in order of use, as entry index + 1. Free: `older` is the next free entry. */
  older: 13,
  newer: 14,
  /** The timeout of the present state, in milliseconds, unsigned. Not of a local TCP connection: see `entryTimeoutMs`. */
  timeout: 15,
  /** Of a local TCP connection: the sequence number that its client is expected to send next, if `EntryFlag.sequenced`. */
  nextSequence: 15,
} as const;

export const entryWords = 16;
/** An entry's handle is the offset of its first word: index << `entryShift`. */
export const entryShift = 4;

export const EntryFlag = {
  /** A TCP connection that has carried no data. */
  secondClass: secondClassBit << 8,
  ipv6: 1 << 16,
  /** This director forwards it. */
  local: 1 << 17,
  /** In the half-open table. */
  halfOpen: 1 << 18,
  /** Peers know of it. */
  published: 1 << 19,
  used: 1 << 20,
  /** A connection template: the client address is a prefix, the client port 0. */
  template: 1 << 21,
  /** `EntryWord.nextSequence` is known. */
  sequenced: 1 << 22,
} as const;

export const stateShift = 8;
export const stateMask = 0xf00;
/** The state, and with it whether the entry is of the second class: an index into `timeoutsByClass`. */
export const classMask = stateMask | EntryFlag.secondClass;
export const markShift = 24;

/** The part of the head that belongs to the key: protocol, family, and whether it is a template. */
export const headKeyMask = 0xff | EntryFlag.ipv6 | EntryFlag.template;

const localTcp = protocolNumbers.tcp | EntryFlag.local;
const localTcpMask = 0xff | EntryFlag.local | EntryFlag.template;

/** Whether a head is that of a TCP connection that this director forwards. */
export function isLocalTcp(head: number): boolean {
  return (head & localTcpMask) === localTcp;
}

/**
 * How long an entry lasts after its last packet, in milliseconds. A local TCP connection has the timeout of its state;
 * its word holds the sequence instead, because the entry is one cache line and has no other to spare.
 */
export function entryTimeoutMs(words: Int32Array, entry: number, tcpTimeouts: Int32Array): number {
  const head = words[entry + EntryWord.head]!;
  if (isLocalTcp(head)) return tcpTimeouts[(head & classMask) >>> stateShift]!;
  return words[entry + EntryWord.timeout]! >>> 0;
}

/** No entry. */
export const absent = -1;

/** A flow key as words: client address, virtual address, ports, protocol | family flag | template flag. */
export const keyWords = 10;
export const KeyWord = { clientAddress: 0, virtualAddress: 4, ports: 8, head: 9 } as const;

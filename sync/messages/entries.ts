// SPDX-License-Identifier: Apache-2.0
import { readI32, readU16, writeU16, writeU32 } from '../../src/lib/bytes.ts';
import { accept, type Result, reject } from '../../src/lib/result.ts';
import {
  ConnectionEvent,
  eventOf,
  headWord,
  isValidHead,
  methodOf,
  protocolOf,
  RecordFlag,
  RecordOffset,
  recordWords,
  stateOf,
} from '../../src/model/connection-batch.ts';
import { protocolNumbers } from '../../src/model/virtual-service.ts';

// Connection entries packed one after the other, big-endian. Byte 0 says how long an entry is:
//
//     byte  0       bits 0..1 event, 2 IPv6, 3 local, 4..5 forwarding method, 6 template, 7 zero
//     byte  1       protocol number
//     byte  2       state
//     bytes 3..8    client, virtual and real server port
//     bytes 9..12   milliseconds since the last packet, below 2^31
//     bytes 13..16  timeout of the state in milliseconds, below 2^31
//     then          client, virtual and real server address, 4 or 16 bytes each
//
// 29 bytes with IPv4, 65 with IPv6.

export const entryLengthIpv4 = 29;
export const entryLengthIpv6 = 65;
/** Entries of one datagram at most: each has a bit in the header. */
const entriesMax = 64;

/** Which entries of a datagram are of the second class: a bit for each, from the lowest of `low` on. */
export interface ClassBits {
  readonly low: number;
  readonly high: number;
}

// V8 folds a module's own constants into the code of its functions, but loads imported ones for each entry.
const Word = RecordOffset;
const Flag = RecordFlag;
const wordsOfRecord = recordWords;

const addressesOffset = 17;
/** Byte 0. */
const EntryBits = { event: 3, ipv6: 4, local: 8, methodShift: 4, method: 3, template: 0x40, unused: 0x80 } as const;

/** The flags of a head by byte 0. */
const flagsOfBits = Int32Array.from({ length: EntryBits.unused }, (_, bits) => {
  const ipv6 = (bits & EntryBits.ipv6) !== 0 ? Flag.ipv6 : 0;
  const local = (bits & EntryBits.local) !== 0 ? Flag.local : 0;
  return ipv6 | local | ((bits & EntryBits.template) !== 0 ? Flag.template : 0);
});

/** How many records of the batch, from `from` on, one datagram with `room` bytes for entries takes, and their bytes. */
export function measureEntries(
  batch: Int32Array,
  from: number,
  room: number,
): { readonly count: number; readonly length: number } {
  const total = Math.floor(batch.length / wordsOfRecord);
  let length = 0;
  let count = 0;
  for (let record = from; record < total; record += 1) {
    const next = length + entryLength(batch[record * wordsOfRecord + Word.head]!);
    if (next > room || count === entriesMax) break;
    length = next;
    count += 1;
  }
  return { count, length };
}

/** Packs `count` records from `from` on, which must satisfy `isValidRecord`. Gives the offset behind them. */
export function emitEntries(
  batch: Int32Array,
  from: number,
  count: number,
  buffer: Uint8Array,
  offset: number,
): number {
  for (let record = from; record < from + count; record += 1) {
    const at = record * wordsOfRecord;
    const head = batch[at + Word.head]!;
    const ipv6 = (head & Flag.ipv6) !== 0;
    buffer[offset] =
      (eventOf(head) & EntryBits.event) |
      (ipv6 ? EntryBits.ipv6 : 0) |
      ((head & Flag.local) !== 0 ? EntryBits.local : 0) |
      (methodOf(head) << EntryBits.methodShift) |
      ((head & Flag.template) !== 0 ? EntryBits.template : 0);
    buffer[offset + 1] = protocolOf(head);
    buffer[offset + 2] = stateOf(head);
    writeU32(buffer, offset + 3, batch[at + Word.ports]!);
    writeU16(buffer, offset + 7, batch[at + Word.realPort]!);
    writeU32(buffer, offset + 9, batch[at + Word.idleMs]!);
    writeU32(buffer, offset + 13, batch[at + Word.timeoutMs]!);
    const words = ipv6 ? 4 : 1;
    let to = offset + addressesOffset;
    for (let address = Word.clientAddress; address < wordsOfRecord; address += 4) {
      for (let word = 0; word < words; word += 1, to += 4) writeU32(buffer, to, batch[at + address + word]!);
    }
    offset = to;
  }
  return offset;
}

/** Which of `count` records from `from` on are of the second class; an entry itself has no room to say so. */
export function classBitsOf(batch: Int32Array, from: number, count: number): ClassBits {
  const bits = new Uint32Array(2);
  for (let i = 0; i < count; i += 1) {
    if ((batch[(from + i) * wordsOfRecord + Word.head]! & Flag.secondClass) !== 0) bits[i >> 5]! |= 1 << (i & 31);
  }
  const [low, high] = bits;
  return { low: low!, high: high! };
}

/** Writes the class of each unpacked entry into its record. Bits without an entry are ignored. */
export function applyClassBits(batch: Int32Array, { low, high }: ClassBits): void {
  if ((low | high) === 0) return;
  const records = Math.min(entriesMax, batch.length / wordsOfRecord);
  for (let i = 0; i < records; i += 1) {
    if ((((i < 32 ? low : high) >>> (i & 31)) & 1) === 1) batch[i * wordsOfRecord + Word.head]! |= Flag.secondClass;
  }
}

/** Unpacks at least one entry. A malformed entry rejects them all, because its neighbours cannot be trusted either. */
export function parseEntries(bytes: Uint8Array): Result<Int32Array, 'badEntry'> {
  let count = 0;
  let end = 0;
  while (end < bytes.length) {
    end += (bytes[end]! & EntryBits.ipv6) !== 0 ? entryLengthIpv6 : entryLengthIpv4;
    count += 1;
  }
  if (count === 0 || end !== bytes.length) return reject('badEntry');
  const batch = new Int32Array(count * wordsOfRecord);
  let offset = 0;
  for (let at = 0; at < batch.length; at += wordsOfRecord) {
    const bits = bytes[offset]!;
    if ((bits & EntryBits.unused) !== 0) return reject('badEntry');
    const ipv6 = (bits & EntryBits.ipv6) !== 0;
    const event = (bits & EntryBits.event) as ConnectionEvent;
    const method = (bits >>> EntryBits.methodShift) & EntryBits.method;
    batch[at + Word.head] = headWord(event, bytes[offset + 1]!, bytes[offset + 2]!, method, flagsOfBits[bits]!);
    batch[at + Word.ports] = readI32(bytes, offset + 3);
    batch[at + Word.realPort] = readU16(bytes, offset + 7);
    batch[at + Word.idleMs] = readI32(bytes, offset + 9);
    batch[at + Word.timeoutMs] = readI32(bytes, offset + 13);
    const words = ipv6 ? 4 : 1;
    offset += addressesOffset;
    for (let address = Word.clientAddress; address < wordsOfRecord; address += 4) {
      for (let word = 0; word < words; word += 1, offset += 4) batch[at + address + word] = readI32(bytes, offset);
    }
    if (!isValidRecord(batch, at)) return reject('badEntry');
  }
  return accept(batch);
}

/**
 * Whether the record at word `at` may cross the network, in either direction. A removal only needs to name the
 * connection: its real server may be left out.
 */
export function isValidRecord(batch: Int32Array, at: number): boolean {
  const head = batch[at + Word.head]!;
  if (!isValidHead(head)) return false;
  const ports = batch[at + Word.ports]!;
  if ((ports & 0xffff) === 0 || !isValidClient(head, ports >>> 16)) return false;
  if (batch[at + Word.idleMs]! < 0 || batch[at + Word.timeoutMs]! < 0) return false;
  const realPort = batch[at + Word.realPort]!;
  if (realPort < 0 || realPort > 0xffff) return false;
  if ((head & Flag.ipv6) === 0 && hasIpv6Words(batch, at)) return false;
  if (isUnspecified(batch, at + Word.clientAddress) || isUnspecified(batch, at + Word.virtualAddress)) {
    return false;
  }
  if (eventOf(head) === ConnectionEvent.remove) return true;
  return realPort !== 0 && batch[at + Word.timeoutMs]! > 0 && !isUnspecified(batch, at + Word.realAddress);
}

/** A template has no client port; a UDP packet need not have one (RFC 768). UDP flows and templates have one state. */
function isValidClient(head: number, port: number): boolean {
  const isUdp = protocolOf(head) === protocolNumbers.udp;
  const isTemplate = (head & Flag.template) !== 0;
  if ((isUdp || isTemplate) && stateOf(head) !== 0) return false;
  return isTemplate ? port === 0 : isUdp || port !== 0;
}

function entryLength(head: number): number {
  return (head & Flag.ipv6) !== 0 ? entryLengthIpv6 : entryLengthIpv4;
}

/** 0.0.0.0 and :: name no host. */
function isUnspecified(batch: Int32Array, at: number): boolean {
  return (batch[at]! | batch[at + 1]! | batch[at + 2]! | batch[at + 3]!) === 0;
}

function hasIpv6Words(batch: Int32Array, at: number): boolean {
  for (let address = Word.clientAddress; address < wordsOfRecord; address += 4) {
    if ((batch[at + address + 1]! | batch[at + address + 2]! | batch[at + address + 3]!) !== 0) return true;
  }
  return false;
}

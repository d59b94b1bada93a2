// SPDX-License-Identifier: Apache-2.0
import { carried, markAfter } from '../../connection/second-class.ts';
import { advances, clientEvent, type HeardSegment, synCounts } from '../../connection/sequence.ts';
import { TcpDirection, tcpEvent } from '../../connection/tcp-transitions.ts';
import { readI32 } from '../../lib/bytes.ts';
import { TcpState } from '../../model/tcp-state.ts';
import { readTcpHeaderLength, TcpFlag, TcpOffset } from '../../wire/tcp.ts';
import type { ConnectionTable } from './connection-table.ts';
import { classMask, EntryFlag, EntryWord, isLocalTcp, markShift, stateMask, stateShift } from './entry-layout.ts';
import type { Packet } from './packet.ts';

const heard: HeardSegment = { flags: 0, isKnown: false, behind: 0, ahead: 0, length: 0, idleMs: 0 };
const notPlain = TcpFlag.syn | TcpFlag.fin | TcpFlag.rst;
const firstClassEstablished = TcpState.established << stateShift;
const withoutMark = (1 << markShift) - 1;

/** Follows the sequence of a client's segment. Returns what the segment means, as an event of `stateAfter`. */
export function hearClient(
  table: ConnectionTable,
  entry: number,
  direction: TcpDirection,
  packet: Packet,
  nowMs: number,
): number {
  const { words } = table;
  const { memory, transport } = packet;
  const head = words[entry + EntryWord.head]!;
  const flags = memory[transport + TcpOffset.flags]!;
  const state = ((head & stateMask) >>> stateShift) as TcpState;
  const sequence = readI32(memory, transport + TcpOffset.sequence);
  const length = packet.end - transport - readTcpHeaderLength(memory, transport);
  const isKnown = (head & EntryFlag.sequenced) !== 0;
  const expected = words[entry + EntryWord.nextSequence]!;
  const isPlain = (flags & notPlain) === 0;
  const end = (sequence + length + (isPlain ? 0 : controlLength(flags))) | 0;
  const ahead = (end - expected) | 0;
  if (isPlain && (head & classMask) === firstClassEstablished) {
    if (isKnown && advances(ahead)) words[entry + EntryWord.nextSequence] = end;
    return tcpEvent(direction, flags);
  }
  const idleMs = (nowMs - words[entry + EntryWord.lastSeen]!) >>> 0;
  heard.flags = flags;
  heard.isKnown = isKnown;
  heard.behind = (expected - sequence) | 0;
  heard.ahead = ahead;
  heard.length = length;
  heard.idleMs = idleMs;
  const event = clientEvent(direction, state, heard);
  if ((head & EntryFlag.secondClass) !== 0) hearSecondClass(table, entry, direction, packet, nowMs);
  if ((flags & TcpFlag.rst) !== 0) return event;
  if ((flags & TcpFlag.syn) !== 0) {
    if (synCounts(state, flags, idleMs)) begin(table, entry, end);
  } else if (isKnown && advances(ahead)) words[entry + EntryWord.nextSequence] = end;
  return event;
}

/**
 * A real server's acknowledgement says what the client is expected to send next, where that is not known, and its data
 * that the connection carries some.
 */
export function hearServer(table: ConnectionTable, entry: number, packet: Packet, nowMs: number): number {
  const { words } = table;
  const { memory, transport } = packet;
  const head = words[entry + EntryWord.head]!;
  const flags = memory[transport + TcpOffset.flags]!;
  const isKnown = (head & EntryFlag.sequenced) !== 0;
  if (!isKnown && (flags & TcpFlag.ack) !== 0) {
    learn(words, entry, readI32(memory, transport + TcpOffset.acknowledgement));
  }
  if ((head & EntryFlag.secondClass) !== 0 && (flags & (TcpFlag.syn | TcpFlag.rst)) === 0) {
    const length = packet.end - transport - readTcpHeaderLength(memory, transport);
    if (length > 0) becomeFirstClass(table, entry, nowMs);
  }
  return tcpEvent(TcpDirection.output, flags);
}

function hearSecondClass(
  table: ConnectionTable,
  entry: number,
  direction: TcpDirection,
  { memory, transport }: Packet,
  nowMs: number,
): void {
  const { words } = table;
  const head = words[entry + EntryWord.head]!;
  const acknowledgement = readI32(memory, transport + TcpOffset.acknowledgement);
  const mark = markAfter(direction, head >>> markShift, heard, acknowledgement);
  if (mark === carried) becomeFirstClass(table, entry, nowMs);
  else words[entry + EntryWord.head] = (head & withoutMark) | (mark << markShift);
}

/** The peers hear of it by the next sweep, which finds the entry due for a refresh. */
function becomeFirstClass(table: ConnectionTable, entry: number, nowMs: number): void {
  const { words, tcpTimeouts } = table;
  table.setClass(entry, false);
  const state = (words[entry + EntryWord.head]! & stateMask) >>> stateShift;
  words[entry + EntryWord.lastPublished] = (nowMs | 0) - tcpTimeouts[state]!;
}

/** The SYN of a connection, which may be another one than the entry's. */
function begin(table: ConnectionTable, entry: number, next: number): void {
  table.setClass(entry, true);
  table.words[entry + EntryWord.head]! &= withoutMark;
  learn(table.words, entry, next);
}

/** Until an entry is this director's own its word holds the peer's timeout. */
function learn(words: Int32Array, entry: number, next: number): void {
  const head = words[entry + EntryWord.head]!;
  if (!isLocalTcp(head)) return;
  words[entry + EntryWord.nextSequence] = next;
  words[entry + EntryWord.head] = head | EntryFlag.sequenced;
}

/** SYN and FIN take a number each. */
function controlLength(flags: number): number {
  return ((flags & TcpFlag.syn) !== 0 ? 1 : 0) + ((flags & TcpFlag.fin) !== 0 ? 1 : 0);
}

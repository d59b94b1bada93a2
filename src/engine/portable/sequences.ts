// SPDX-License-Identifier: Apache-2.0
import { advances, clientEvent, type HeardSegment, synCounts } from '../../connection/sequence.ts';
import { TcpDirection, tcpEvent } from '../../connection/tcp-transitions.ts';
import { readI32 } from '../../lib/bytes.ts';
import { TcpState } from '../../model/tcp-state.ts';
import { readTcpHeaderLength, TcpFlag, TcpOffset } from '../../wire/tcp.ts';
import { EntryFlag, EntryWord, isLocalTcp, stateMask, stateShift } from './entry-layout.ts';
import type { Packet } from './packet.ts';

const heard: HeardSegment = { flags: 0, isKnown: false, behind: 0, ahead: 0, length: 0, idleMs: 0 };
const notPlain = TcpFlag.syn | TcpFlag.fin | TcpFlag.rst;

/** Follows the sequence of a client's segment. Returns what the segment means, as an event of `stateAfter`. */
export function hearClient(
  words: Int32Array,
  entry: number,
  direction: TcpDirection,
  packet: Packet,
  nowMs: number,
): number {
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
  if (isPlain && state === TcpState.established) {
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
  if ((flags & TcpFlag.rst) !== 0) return event;
  if ((flags & TcpFlag.syn) !== 0) {
    if (synCounts(state, flags, idleMs)) learn(words, entry, end);
  } else if (isKnown && advances(ahead)) words[entry + EntryWord.nextSequence] = end;
  return event;
}

/** A real server's acknowledgement says what the client is expected to send next, where that is not known. */
export function hearServer(words: Int32Array, entry: number, packet: Packet): number {
  const { memory, transport } = packet;
  const flags = memory[transport + TcpOffset.flags]!;
  const isKnown = (words[entry + EntryWord.head]! & EntryFlag.sequenced) !== 0;
  if (!isKnown && (flags & TcpFlag.ack) !== 0) {
    learn(words, entry, readI32(memory, transport + TcpOffset.acknowledgement));
  }
  return tcpEvent(TcpDirection.output, flags);
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

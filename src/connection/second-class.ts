// SPDX-License-Identifier: Apache-2.0
import { TcpState } from '../model/tcp-state.ts';
import type { ProtocolTimeouts } from '../model/timeouts.ts';
import { advances, type HeardSegment } from './sequence.ts';
import { TcpDirection, TcpFlag } from './tcp-transitions.ts';
import { timeoutsByState } from './timeouts.ts';

// An entry of a TCP connection is of the second class until its connection has carried data. Anybody can send a handshake in
// the name of a client that does not exist, where the replies go past the director, so entries of the second class give
// way when the established table is full. Entries of the first class never do.

/** How long an established entry of the second class lasts while the established table is more than half full. */
export const secondClassTimeoutMs = 60_000;

/** An entry of the second class gives way only after so much silence: its first data may be on its way. */
export const givesWayAfterMs = 1_000;

/** So many entries are looked at for one that gives way. */
export const looksForRoomMax = 256;

/** An index into `timeoutsByClass` is a state, with this bit for the second class. */
export const secondClassBit = 16;

/** As `timeoutsByState`, by state and class. */
export function timeoutsByClass(timeouts: ProtocolTimeouts, isCrowded: boolean): Int32Array {
  const byState = timeoutsByState(timeouts);
  const byClass = new Int32Array(2 * secondClassBit);
  byClass.set(byState);
  byClass.set(byState, secondClassBit);
  const { tcpMs } = timeouts;
  byClass[secondClassBit | TcpState.established] = isCrowded ? Math.min(tcpMs, secondClassTimeoutMs) : tcpMs;
  return byClass;
}

/** Whether a table that holds so many entries is crowded. */
export function isCrowded(entries: number, entriesMax: number): boolean {
  return entries > entriesMax >>> 1;
}

/** Instead of a mark: the connection has carried data. */
export const carried = -1;

/**
 * What a client's segment says of an entry of the second class: that its connection has carried data (`carried`), or the
 * entry's next mark. The mark, 0 as long as there is none, is that of the first acknowledgement that was seen.
 *
 * Data counts when it follows what has been seen; where the sequence is not known, it counts from the second segment on.
 * Where the replies go past the director, another acknowledgement than the first says that the real server has sent data.
 */
export function markAfter(
  direction: TcpDirection,
  mark: number,
  { flags, isKnown, ahead, length }: HeardSegment,
  acknowledgement: number,
): number {
  if ((flags & (TcpFlag.syn | TcpFlag.rst)) !== 0) return mark;
  if (length > 0 && (isKnown ? advances(ahead) : mark !== 0)) return carried;
  const heard = markOf(acknowledgement);
  if (mark === 0) return heard;
  const isPlain = (flags & TcpFlag.fin) === 0 && (flags & TcpFlag.ack) !== 0;
  return direction === TcpDirection.inputOnly && isPlain && heard !== mark ? carried : mark;
}

/** 1..255: an entry has no room for more. One advance in 255 is missed, and the next one seen. */
function markOf(acknowledgement: number): number {
  return Math.imul(acknowledgement, 0x9e37_79b1) >>> 24 || 1;
}

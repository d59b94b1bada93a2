// SPDX-License-Identifier: Apache-2.0
import { TcpState } from '../model/tcp-state.ts';
import { isHalfOpenTcpState } from './lifecycle.ts';
import { TcpDirection, TcpFlag, tcpEvent } from './tcp-transitions.ts';

// An entry follows the sequence number that its client is expected to send next, from the SYN on, so that a segment of
// somebody else cannot end the connection. It is not known for a connection that was learnt from a peer, or whose SYN did
// not pass here; where the replies pass, the real server's next acknowledgement says it.

/**
 * So many bytes may be missing before a segment that counts, because segments get lost on their way here: one that GRO
 * has merged is as large. A blind segment hits this range once in 2^16 times.
 */
export const sequenceWindow = 65_536;

/** So long nothing must have been seen of a connection that is closing before a SYN begins another one in its entry. */
export const closingSilenceMs = 1_000;

/** Whether a segment that ends so many bytes beyond what is expected (negative: before it) belongs to the connection. */
function fits(ahead: number): boolean {
  return ahead >= -sequenceWindow && ahead <= sequenceWindow;
}

/** Whether a segment that ends so many bytes beyond what is expected moves that on. */
export function advances(ahead: number): boolean {
  return ahead > 0 && ahead <= sequenceWindow;
}

const endings = (1 << TcpState.finWait) | (1 << TcpState.timeWait) | (1 << TcpState.close) | (1 << TcpState.closeWait);
const closings = (1 << TcpState.finWait) | (1 << TcpState.closeWait);

/** A client's segment beside its entry. The data path fills one object for all segments. */
export interface HeardSegment {
  flags: number;
  /** The sequence is known. */
  isKnown: boolean;
  /** How far the segment begins before what is expected, in bytes. */
  behind: number;
  /** How far it ends beyond that, in bytes. */
  ahead: number;
  /** Of its data, in bytes. */
  length: number;
  /** Since the entry's last packet. */
  idleMs: number;
}

/**
 * What a client's segment means to its entry, as an event: itself, nothing (`flags` 0), or that the connection goes on
 * (`TcpDirection.revived`).
 *
 * - RST counts when it has exactly the expected number (RFC 5961 section 3.2).
 * - FIN counts when it fits, and when the sequence is not known.
 * - SYN counts in the handshake, and on a connection that is closing after silence; with ACK never.
 * - Data behind a FIN or RST says that neither was the client's.
 */
export function clientEvent(direction: TcpDirection, state: TcpState, segment: HeardSegment): number {
  const { flags, isKnown, behind, ahead, length, idleMs } = segment;
  if ((flags & TcpFlag.rst) !== 0) return tcpEvent(direction, isKnown && behind === 0 ? flags : 0);
  if ((flags & TcpFlag.syn) !== 0) return tcpEvent(direction, synCounts(state, flags, idleMs) ? flags : 0);
  if ((flags & TcpFlag.fin) !== 0) return tcpEvent(direction, !isKnown || fits(ahead) ? flags : 0);
  const revives = isKnown ? advances(ahead) && ((endings >> state) & 1) === 1 : ((closings >> state) & 1) === 1;
  return length > 0 && revives ? tcpEvent(TcpDirection.revived, flags) : tcpEvent(direction, flags);
}

/** Whether a SYN counts; it then also says what its client is expected to send next, unless the connection stands. */
export function synCounts(state: TcpState, flags: number, idleMs: number): boolean {
  if ((flags & TcpFlag.ack) !== 0 || state === TcpState.established) return false;
  return isHalfOpenTcpState(state) || idleMs >= closingSilenceMs;
}

// SPDX-License-Identifier: Apache-2.0
import { TcpState } from '../model/tcp-state.ts';

/** Bit sets over the states: a data path asks these questions for every packet. */
const halfOpenStates =
  (1 << TcpState.none) |
  (1 << TcpState.synSent) |
  (1 << TcpState.synReceived) |
  (1 << TcpState.listen) |
  (1 << TcpState.synAck);

const publishedStates =
  (1 << TcpState.established) |
  (1 << TcpState.finWait) |
  (1 << TcpState.timeWait) |
  (1 << TcpState.close) |
  (1 << TcpState.closeWait) |
  (1 << TcpState.lastAck);

/**
 * Counts as an active connection of its real server; every other state, and UDP, counts as inactive (IPVS: an entry
 * begins with IP_VS_CONN_F_INACTIVE, and only ESTABLISHED takes it off).
 */
export function isActiveTcpState(state: TcpState): boolean {
  return state === TcpState.established;
}

/** The handshake is not complete. */
export function isHalfOpenTcpState(state: TcpState): boolean {
  return ((halfOpenStates >> state) & 1) === 1;
}

/**
 * Whether a transition completes the handshake, so that the entry moves to the established table. That is the client's
 * ACK, alone or with a FIN (the bare ACK may be lost; the segment after it completes the handshake as well). Where the
 * replies pass, a segment of the real server other than SYN and RST does it too: it proves that the real server has
 * got the client's ACK. A half-open entry that is reset stays where it is and expires.
 */
export function completesHandshake(before: TcpState, after: TcpState): boolean {
  return isHalfOpenTcpState(before) && !isHalfOpenTcpState(after) && after !== TcpState.close;
}

/**
 * Whether peers are told about an entry of the established table in this state (ip_vs_sync_conn_needed: ESTABLISHED and
 * the states that follow it). Entries of the half-open table are never published, not even in CLOSE.
 */
export function isPublishedTcpState(state: TcpState): boolean {
  return ((publishedStates >> state) & 1) === 1;
}

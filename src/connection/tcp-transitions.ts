// SPDX-License-Identifier: Apache-2.0
import { TcpState } from '../model/tcp-state.ts';

/** Which half of a connection a packet belongs to, and whether the director sees the other half at all. */
export const TcpDirection = {
  /** Client to real server, where the replies pass this director too: masquerade. */
  input: 0,
  /** Real server to client. */
  output: 1,
  /** Client to real server, where the replies go past this director: direct-route and tunnel. */
  inputOnly: 2,
  /** Client to real server: data that shows that the connection has not ended (sequence.ts). */
  revived: 3,
} as const;
export type TcpDirection = (typeof TcpDirection)[keyof typeof TcpDirection];

/** The bits of byte 13 of the TCP header (RFC 9293 section 3.1). */
export const TcpFlag = { fin: 0x01, syn: 0x02, rst: 0x04, psh: 0x08, ack: 0x10, urg: 0x20 } as const;

/** The low five flag bits decide; URG, ECE and CWR say nothing about the state. */
const flagsMask = 0x1f;

const { established, synSent, synReceived, finWait, timeWait, close, closeWait, lastAck, listen, synAck } = TcpState;

/** Next states on SYN, FIN, ACK, RST. */
type Transitions = readonly [syn: TcpState, fin: TcpState, ack: TcpState, rst: TcpState];
type StateTable = readonly Transitions[];

/** The normal (not secure_tcp) transitions of IPVS, ip_vs_proto_tcp.c; the index is the state before. */
const input: StateTable = [
  /* NONE        */ [synReceived, close, close, close],
  /* ESTABLISHED */ [established, closeWait, established, close],
  /* SYN_SENT    */ [established, synSent, synSent, close],
  /* SYN_RECV    */ [synReceived, timeWait, established, synReceived],
  /* FIN_WAIT    */ [synReceived, timeWait, finWait, close],
  /* TIME_WAIT   */ [synReceived, timeWait, timeWait, close],
  /* CLOSE       */ [synReceived, close, close, close],
  /* CLOSE_WAIT  */ [synReceived, closeWait, closeWait, close],
  /* LAST_ACK    */ [synReceived, lastAck, close, lastAck],
  /* LISTEN      */ [synReceived, listen, listen, listen],
  /* SYNACK      */ [synReceived, timeWait, established, synReceived],
];

const output: StateTable = [
  /* NONE        */ [synSent, timeWait, established, close],
  /* ESTABLISHED */ [established, finWait, established, close],
  /* SYN_SENT    */ [synSent, synSent, synSent, synSent],
  /* SYN_RECV    */ [synReceived, timeWait, established, close],
  /* FIN_WAIT    */ [synSent, finWait, finWait, close],
  /* TIME_WAIT   */ [synSent, timeWait, timeWait, timeWait],
  /* CLOSE       */ [synSent, close, close, close],
  /* CLOSE_WAIT  */ [synSent, timeWait, closeWait, close],
  /* LAST_ACK    */ [synSent, lastAck, lastAck, close],
  /* LISTEN      */ [listen, listen, established, close],
  /* SYNACK      */ [synReceived, timeWait, established, close],
];

/**
 * With the replies unseen a client's FIN cannot tell who closed first, so the entry waits in FIN_WAIT, which any
 * further packet of the client keeps alive: the real server may go on sending.
 */
const inputOnly: StateTable = input.map((row, state) => {
  if (state === established || state === finWait) return [row[0], finWait, row[2], row[3]];
  if (state === synAck) return [row[0], row[1], row[2], close];
  return row;
});

const revived: StateTable = input.map((_, state) =>
  state === finWait || state === timeWait || state === close || state === closeWait
    ? [established, established, established, established]
    : [state, state, state, state],
) as StateTable;

/** One load a packet: index is direction × 512 + flags × 16 + state. */
const nextStates = expand([input, output, inputOnly, revived]);

/** A segment as an event of `stateAfter`. `flags` is byte 13 of the TCP header. */
export function tcpEvent(direction: TcpDirection, flags: number): number {
  return (direction << 9) | ((flags & flagsMask) << 4);
}

/** The state after a `tcpEvent`. */
export function stateAfter(event: number, state: TcpState): TcpState {
  return nextStates[event | state]! as TcpState;
}

/**
 * The state after a segment. `flags` is byte 13 of the TCP header; RST outweighs SYN, SYN outweighs FIN, FIN outweighs
 * ACK, as in `tcp_state_idx` of ip_vs_proto_tcp.c. A segment with none of the four leaves the state alone: RFC 9293
 * section 3.10.7.4 has every receiver drop it, so it may not close a connection (IPVS lets it).
 */
export function nextTcpState(direction: TcpDirection, state: TcpState, flags: number): TcpState {
  return stateAfter(tcpEvent(direction, flags), state);
}

function expand(tables: readonly StateTable[]): Uint8Array {
  const expanded = new Uint8Array(tables.length << 9);
  for (const [direction, table] of tables.entries()) {
    for (let flags = 0; flags <= flagsMask; flags += 1) {
      for (const [state, row] of table.entries()) {
        expanded[tcpEvent(direction as TcpDirection, flags) | state] = rowEntry(row, flags) ?? state;
      }
    }
  }
  return expanded;
}

function rowEntry([syn, fin, ack, rst]: Transitions, flags: number): TcpState | undefined {
  if ((flags & TcpFlag.rst) !== 0) return rst;
  if ((flags & TcpFlag.syn) !== 0) return syn;
  if ((flags & TcpFlag.fin) !== 0) return fin;
  if ((flags & TcpFlag.ack) !== 0) return ack;
  return undefined;
}

// SPDX-License-Identifier: Apache-2.0
import { TcpState, tcpStateNames } from '../model/tcp-state.ts';
import type { ProtocolTimeouts } from '../model/timeouts.ts';

/** A UDP connection has one state (IP_VS_UDP_S_NORMAL); it lasts `ProtocolTimeouts.udpMs` after its last packet. */
export const udpState = 0;

/**
 * How long a TCP connection lasts after its last packet, in milliseconds, by state (`timeoutsByState(...)[state]`):
 * IPVS's values (ip_vs_proto_tcp.c). Of them `lvs_timeouts` sets two: `tcp` ESTABLISHED and `tcpfin` FIN_WAIT
 * (ip_vs_set_timeout in ip_vs_ctl.c).
 */
export function timeoutsByState(timeouts: ProtocolTimeouts): Int32Array {
  const byState = new Int32Array(tcpStateNames.length);
  byState[TcpState.none] = 2_000;
  byState[TcpState.established] = timeouts.tcpMs;
  byState[TcpState.synSent] = 120_000;
  byState[TcpState.synReceived] = 60_000;
  byState[TcpState.finWait] = timeouts.tcpFinMs;
  byState[TcpState.timeWait] = 120_000;
  byState[TcpState.close] = 10_000;
  byState[TcpState.closeWait] = 60_000;
  byState[TcpState.lastAck] = 30_000;
  byState[TcpState.listen] = 120_000;
  byState[TcpState.synAck] = 120_000;
  return byState;
}

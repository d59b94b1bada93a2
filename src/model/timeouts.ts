// SPDX-License-Identifier: Apache-2.0

/** The timeouts that `lvs_timeouts` sets, in milliseconds. */
export interface ProtocolTimeouts {
  readonly tcpMs: number;
  readonly tcpFinMs: number;
  readonly udpMs: number;
}

/** IPVS's defaults (ip_vs_proto_tcp.c, ip_vs_proto_udp.c). */
export const defaultTimeouts: ProtocolTimeouts = { tcpMs: 900_000, tcpFinMs: 120_000, udpMs: 300_000 };

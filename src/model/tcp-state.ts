// SPDX-License-Identifier: Apache-2.0

/** Connection states with IPVS's numbers (enum in uapi ip_vs.h), so that they read alike in both worlds. */
export const TcpState = {
  none: 0,
  established: 1,
  synSent: 2,
  synReceived: 3,
  finWait: 4,
  timeWait: 5,
  close: 6,
  closeWait: 7,
  lastAck: 8,
  listen: 9,
  synAck: 10,
} as const;
export type TcpState = (typeof TcpState)[keyof typeof TcpState];

/** As `ipvsadm -Lc` prints them; the index is the state's number. */
export const tcpStateNames = [
  'NONE',
  'ESTABLISHED',
  'SYN_SENT',
  'SYN_RECV',
  'FIN_WAIT',
  'TIME_WAIT',
  'CLOSE',
  'CLOSE_WAIT',
  'LAST_ACK',
  'LISTEN',
  'SYNACK',
] as const;

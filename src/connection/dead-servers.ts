// SPDX-License-Identifier: Apache-2.0
import type { DeadServerPolicy } from '../model/dead-servers.ts';

/** So long nothing must have been seen of an established connection before a SYN takes it from its dead real server. */
export const deadServerSilenceMs = 5_000;

/**
 * Whether a client's TCP segment ends its entry when the entry's real server is dead: taken out by its health checks, or
 * no longer configured. The segment is then scheduled to a real server that lives.
 *
 * A SYN (`begins`) of a connection that never came about is the client's next attempt. An established connection to a
 * server that fails its checks may work all the same, and a SYN for it may be forged: it gives way after silence only.
 */
export function leavesDeadServer(
  policy: DeadServerPolicy,
  begins: boolean,
  isHalfOpen: boolean,
  idleMs: number,
): boolean {
  return policy === 'all' || (begins && (isHalfOpen || idleMs >= deadServerSilenceMs));
}

/** The same for a packet of a UDP flow. */
export function udpLeavesDeadServer(policy: DeadServerPolicy): boolean {
  return policy !== 'none';
}

// SPDX-License-Identifier: Apache-2.0
import type { GateState } from '../../../sync/gate.ts';
import type { PeerStatus } from '../../../sync/peer.ts';
import type { SessionStatus } from '../../../sync/surroundings.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import type { SyncPeerStatus, SyncStatus } from '../status.ts';
import type { ApplyTotals } from './apply-queue.ts';
import type { SyncWarning } from './warning.ts';

/** The read model of connection synchronisation; plain values that cross threads. */
export interface ReplicationStatus extends SyncStatus {
  readonly state: GateState;
  readonly peers: readonly (SyncPeerStatus & PeerStatus)[];
  /** The last number of this director's own stream. */
  readonly lastSequence: number;
}

/** What a status says of this director's own end of the wire. */
export interface OwnSide {
  readonly warning: SyncWarning | undefined;
  /** The address that datagrams come from. */
  readonly source: IpAddress | undefined;
}

/** Flattens all counters into one record: `rejected.badMagic`, `import.refusedLocal`. */
export function describeReplication(
  session: SessionStatus,
  applied: ApplyTotals,
  { warning, source }: OwnSide,
): ReplicationStatus {
  const counters: Record<string, number> = { ...session.counters.traffic };
  for (const [reason, count] of Object.entries(session.counters.rejected)) counters[`rejected.${reason}`] = count;
  for (const [name, count] of Object.entries(applied)) counters[`import.${name}`] = count;
  return {
    state: session.gate,
    mayPreempt: session.open,
    ...(warning === undefined ? {} : { warning: warning.sentence }),
    ...(source === undefined ? {} : { source }),
    peers: session.peers,
    lastSequence: session.lastSequence,
    counters,
  };
}

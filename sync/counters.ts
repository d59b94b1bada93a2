// SPDX-License-Identifier: Apache-2.0
import { frameReasons } from './frame.ts';
import { bodyReasons } from './messages/body-bounds.ts';
import { fieldReasons } from './messages/fields.ts';

/** Well-formed datagrams that change nothing all the same. */
const sessionReasons = [
  /** This director's own, come back. */
  'ownDatagram',
  /** Another director uses this one's sender id. */
  'senderIdConflict',
  /** From before the peer's last restart. */
  'oldEpoch',
  /** There are `peersMax` peers already. */
  'peerLimit',
  'duplicate',
  /** Ahead of a gap, and there is no more memory to hold it: it will be asked for again. */
  'heldFull',
  /** Of a snapshot that this director has given up or never asked for. */
  'staleTransfer',
] as const;

/** Why a datagram was not applied: the vocabulary of docs/sync-protocol.md, one counter each. */
export const rejectionReasons = [...frameReasons, ...bodyReasons, ...fieldReasons, ...sessionReasons] as const;
export type RejectionReason = (typeof rejectionReasons)[number];

const trafficCounterNames = [
  'datagramsSent',
  'datagramsReceived',
  'bytesSent',
  'bytesReceived',
  'entriesSent',
  'entriesReceived',
  /** Events of the engine that fail `isValidRecord`. */
  'entriesUnsendable',
  'resends',
  'nacksSent',
  'nacksReceived',
  'goneSent',
  'gapsSeen',
  'gapsRepaired',
  'gapsLost',
  'bulkRequested',
  'bulkRestarted',
  'bulkReceived',
  'bulkServed',
  'bulkAbandoned',
  'bulkEntriesSent',
  'bulkEntriesReceived',
  /** Entries of a page that were left out, since an event about them went ahead. */
  'bulkEntriesSuperseded',
  /** Pages read again, since more changed meanwhile than could be remembered. */
  'bulkPagesRepeated',
  'keysOverflowed',
  'peersMet',
  'peersRestarted',
  'peersForgotten',
  'fingerprintMismatches',
  /** Times that this director was stopped for longer than half the peer timeout. */
  'pauses',
] as const;
export type TrafficCounterName = (typeof trafficCounterNames)[number];

export interface SyncCounters {
  readonly traffic: Record<TrafficCounterName, number>;
  readonly rejected: Record<RejectionReason, number>;
}

export function createSyncCounters(): SyncCounters {
  return { traffic: zeros(trafficCounterNames), rejected: zeros(rejectionReasons) };
}

function zeros<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;
}

// SPDX-License-Identifier: Apache-2.0
import { frameReasons } from './frame.ts';
import { bodyReasons } from './messages/body-bounds.ts';
import { fieldReasons } from './messages/fields.ts';

/** The reasons why well-formed datagrams change nothing. */
const sessionReasons = [
  /** Sent by this director itself. */
  'ownDatagram',
  /** Another director uses this one's sender id. */
  'senderIdConflict',
  /** Sent before the peer's last restart. */
  'oldEpoch',
  /** There are `peersMax` peers already. */
  'peerLimit',
  'duplicate',
  /** Ahead of a gap, with no memory left to hold it: it will be requested again. */
  'heldFull',
  /** Part of a snapshot that this director has given up or never requested. */
  'staleTransfer',
  /** Acknowledges a number that this director has not given out. */
  'futureSequence',
] as const;

/** The reasons why a datagram was not applied, as in docs/sync-protocol.md; one counter each. */
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
  /** Entries of a page that were left out, because a later event about them has been sent or applied already. */
  'bulkEntriesSuperseded',
  /** Pages read again, because more connections changed meanwhile than could be remembered. */
  'bulkPagesRepeated',
  'keysOverflowed',
  'peersMet',
  'peersRestarted',
  'peersForgotten',
  'fingerprintMismatches',
  /** The number of times that this director was stopped for longer than half the peer timeout. */
  'pauses',
  'acknowledgementsRequested',
  'acknowledgementsReceived',
  'acknowledgementsSent',
  /** Requests of peers that had to wait, because more of them came than are answered. */
  'acknowledgementsPostponed',
  /** Batches of events whose SYNs have waited for acknowledgements. */
  'deferrals',
  /** Those that have gone on without, after `deferMaxMs`. */
  'deferralsOverdue',
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

// SPDX-License-Identifier: Apache-2.0
import { datagramLengthMax, frameLength } from './frame.ts';
import { entryLengthIpv6 } from './messages/entries.ts';
import { entriesOverhead } from './messages/table.ts';

/** Times in milliseconds. */
export interface SyncTuning {
  /** The largest datagram in bytes, header included: maxlen of `lvs_sync_daemon`. */
  readonly datagramLength: number;
  readonly heartbeatIntervalMs: number;
  /** A heartbeat follows the last datagram of a burst after this time, so that its loss is seen early. */
  readonly tailHeartbeatMs: number;
  /** A director that has heard no peer for this long after its start is alone. */
  readonly aloneAfterMs: number;
  /** A peer that has been silent for this long is forgotten; its entries stay. */
  readonly peerTimeoutMs: number;
  /** How long a director that is cut off waits before it preempts all the same: `preempt_without_sync`. */
  readonly preemptWithoutSyncMs: number;
  readonly peersMax: number;
  /** Before the first request for missing datagrams: until then the gap may be due to reordering alone. */
  readonly nackDelayMs: number;
  /** Between the first and the second request; doubles up to `nackSpacingMaxMs`. */
  readonly nackSpacingMs: number;
  readonly nackSpacingMaxMs: number;
  /** Unanswered requests before the gap is given up and a snapshot requested. */
  readonly nackAttemptsMax: number;
  /** A gap that lasts longer than this closes the gate. */
  readonly gapToleranceMs: number;
  /** Memory for datagrams that may have to be sent again. */
  readonly windowBytes: number;
  readonly windowDatagramsMax: number;
  /** A datagram is not sent again within this time, because two receivers that miss it both request it. */
  readonly resendSpacingMs: number;
  /** The most datagrams that are sent again for one request. */
  readonly resendsMax: number;
  /** Memory per peer for datagrams that arrived ahead of a gap. */
  readonly heldBytesMax: number;
  /** Chunks that may be sent before the receiver has applied them, in bytes. */
  readonly bulkWindowBytes: number;
  /** Between repetitions of an unanswered request or credit; requests double it up to `bulkSpacingMaxMs`. */
  readonly bulkSpacingMs: number;
  readonly bulkSpacingMaxMs: number;
  /**
   * After this long without progress, the receiver gives a transfer up and requests another; the sender waits twice as
   * long.
   */
  readonly bulkStallMs: number;
  readonly exportRecordsMax: number;
  /** Keys remembered while a page is read or a snapshot comes in. */
  readonly keysMax: number;
  /** Whether the SYNs of new connections wait for the peers' acknowledgements: `defer`. */
  readonly defer: boolean;
  /** How long they wait at most, and how long a peer looks for what is missing when it is asked to acknowledge. */
  readonly deferMaxMs: number;
  /** Between repetitions of an unanswered request to acknowledge. */
  readonly deferSpacingMs: number;
  /** SYNs that wait at once, counted by batch of events. */
  readonly deferralsMax: number;
  /** A peer that has let so many of them in a row run out of time is not waited for until it acknowledges again. */
  readonly deferralsInVainMax: number;
  /** Between requests to peers that are not waited for. */
  readonly inviteSpacingMs: number;
  /** So many acknowledgements may be sent at once, and then one in each `acknowledgementSpacingMs`, to all peers together. */
  readonly acknowledgementsBurst: number;
  readonly acknowledgementSpacingMs: number;
}

export const defaultSyncTuning: SyncTuning = {
  datagramLength: 1472,
  heartbeatIntervalMs: 100,
  tailHeartbeatMs: 10,
  aloneAfterMs: 400,
  peerTimeoutMs: 500,
  preemptWithoutSyncMs: Number.POSITIVE_INFINITY,
  peersMax: 16,
  nackDelayMs: 3,
  nackSpacingMs: 10,
  nackSpacingMaxMs: 200,
  nackAttemptsMax: 8,
  gapToleranceMs: 50,
  windowBytes: 16 << 20,
  windowDatagramsMax: 8192,
  resendSpacingMs: 2,
  resendsMax: 256,
  heldBytesMax: 4 << 20,
  // 64 datagrams of 1472 bytes fit into the kernel's default receive buffer (net.core.rmem_default, 212 992 bytes),
  // which is charged 2304 bytes for each of them.
  bulkWindowBytes: 64 * 1472,
  bulkSpacingMs: 50,
  bulkSpacingMaxMs: 2000,
  bulkStallMs: 500,
  exportRecordsMax: 4096,
  keysMax: 262_144,
  defer: false,
  deferMaxMs: 10,
  deferSpacingMs: 2,
  deferralsMax: 1024,
  deferralsInVainMax: 10,
  inviteSpacingMs: 200,
  acknowledgementsBurst: 8,
  acknowledgementSpacingMs: 1,
};

/** One IPv6 entry must fit. */
const datagramLengthMin = frameLength + entriesOverhead + entryLengthIpv6;

/** Bytes of packed entries that one datagram holds. */
export function entriesRoom(settings: SyncTuning): number {
  const length = Math.min(datagramLengthMax, Math.max(datagramLengthMin, settings.datagramLength));
  return length - frameLength - entriesOverhead;
}

export function windowDatagrams(settings: SyncTuning): number {
  return Math.max(
    64,
    Math.min(settings.windowDatagramsMax, Math.floor(settings.windowBytes / settings.datagramLength)),
  );
}

export function bulkWindowChunks(settings: SyncTuning): number {
  return Math.max(2, Math.floor(settings.bulkWindowBytes / settings.datagramLength));
}

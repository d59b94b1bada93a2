// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../src/lib/ip-address.ts';
import type { ToldGateState } from './gate.ts';
import type { IncomingStream } from './incoming-stream.ts';
import type { SnapshotIntake } from './snapshot-intake.ts';
import type { SyncTuning } from './tuning.ts';

export interface AcknowledgementRequest {
  /** The number that it would like to hear. */
  readonly upTo: number;
  readonly untilMs: number;
}

/** Another director, as this one knows it. */
export interface Peer {
  readonly senderId: number;
  readonly epoch: number;
  address: IpAddress;
  lastHeardMs: number;
  /** False after a pause of this director itself, until the next datagram of the peer. */
  heardSincePause: boolean;
  /** The state in its last heartbeat; undefined until the first one. */
  gate: ToldGateState | undefined;
  fingerprint: string | undefined;
  /** The last number of this director's stream that it has acknowledged. */
  acknowledged: number;
  /** How many deferrals in a row it has let run out of time; `deferralsInVainMax` before its first acknowledgement. */
  deferralsInVain: number;
  /** Its request to acknowledge, while that is open. */
  asked: AcknowledgementRequest | undefined;
  /** The last number of its stream that was acknowledged to it. */
  told: number;
  readonly stream: IncomingStream;
  readonly intake: SnapshotIntake;
}

export interface PeerStatus {
  readonly senderId: number;
  readonly address: IpAddress;
  readonly epoch: number;
  /** Milliseconds since its last datagram. */
  readonly lastHeardMs: number;
  /** The last number of its stream that was applied, and the last one known to exist. */
  readonly appliedSequence: number;
  readonly highestSequence: number;
  readonly gaps: number;
  readonly snapshot: 'wanted' | 'requested' | 'receiving' | 'settling' | 'complete';
  /** Entries received of the snapshot under way. */
  readonly snapshotRecords: number;
  readonly inSync: boolean;
  readonly gate: ToldGateState | undefined;
  readonly fingerprint: string | undefined;
  /** Whether it acknowledges what this director publishes: with `defer` new connections wait for it then. */
  readonly acknowledges: boolean;
}

/**
 * Whether this director's table has all entries that the peer sent, except those of a short gap that is being
 * repaired.
 */
export function isInSync(peer: Peer, settings: SyncTuning, nowMs: number): boolean {
  if (!peer.intake.complete || !peer.heardSincePause) return false;
  const { gapSinceMs } = peer.stream;
  return gapSinceMs === undefined || nowMs - gapSinceMs < settings.gapToleranceMs;
}

export function describePeer(peer: Peer, settings: SyncTuning, nowMs: number): PeerStatus {
  const { state } = peer.intake;
  return {
    senderId: peer.senderId,
    address: peer.address,
    epoch: peer.epoch,
    lastHeardMs: nowMs - peer.lastHeardMs,
    appliedSequence: peer.stream.expected - 1,
    highestSequence: peer.stream.highest,
    gaps: peer.stream.gaps,
    snapshot: state.kind,
    snapshotRecords: state.kind === 'receiving' ? state.records : 0,
    inSync: isInSync(peer, settings, nowMs),
    gate: peer.gate,
    fingerprint: peer.fingerprint,
    acknowledges: peer.deferralsInVain < settings.deferralsInVainMax,
  };
}

// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../src/lib/ip-address.ts';
import type { SyncCounters } from './counters.ts';
import type { GateState } from './gate.ts';
import type { PeerStatus } from './peer.ts';
import type { SilenceCause } from './silence.ts';

/** The functions that a session calls. None of them may call back into the session. */
export interface SessionOutput {
  /** The bytes do not change until the datagram has left the window (see `SyncTuning`), except by a resend. */
  send(datagram: Uint8Array): void;
  /**
   * Takes records for the table, to be applied in the order of the calls; each call is one batch and is confirmed by
   * `applied`. False when there is no room: the same batch is offered again later.
   */
  apply(batch: Int32Array): boolean;
  /** Reads a page of the table; answered by `exported`. */
  exportPage(cursor: number, recordsMax: number): void;
  /** `open`: this director may preempt a living active one. */
  gateChanged(gate: GateState, open: boolean): void;
  /** A peer has fallen silent without `leave`: it has died, or it works on where this director cannot hear it. */
  peerLost(): void;
  /** Called once for each change: a peer's virtual services differ from this director's, or agree again. */
  fingerprintCompared(peer: IpAddress, equal: boolean): void;
}

export interface SessionStatus {
  readonly gate: GateState;
  /** Whether this director may preempt a living active one. */
  readonly open: boolean;
  readonly lastSequence: number;
  readonly peers: readonly PeerStatus[];
  /** Why nobody is heard; it says nothing while somebody is. */
  readonly silence: SilenceCause;
  readonly counters: SyncCounters;
}

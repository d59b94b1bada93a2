// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../src/lib/ip-address.ts';
import type { RejectionReason, SyncCounters } from './counters.ts';
import type { Frame } from './frame.ts';
import { IncomingStream } from './incoming-stream.ts';
import { isSequenced } from './messages/table.ts';
import { describePeer, isInSync, type Peer, type PeerStatus } from './peer.ts';
import type { Identity } from './publisher.ts';
import { SnapshotIntake } from './snapshot-intake.ts';
import type { SyncTuning } from './tuning.ts';

export interface Meeting {
  readonly peer: Peer;
  /** `met`: it was not heard before. `restarted`: it is in a later epoch, and its former state no longer counts. */
  readonly kind: 'known' | 'met' | 'restarted';
}

/** After a pause a full socket buffer is read within this time. It has the oldest datagrams; the newest are missing. */
const staleForMs = 20;
/** Transfer numbers are below this. */
const transfersEnd = 0x8000_0000;

/** The directors that are heard: who is there, since which epoch, and when each was last heard. */
export class Peers implements Iterable<Peer> {
  readonly #identity: Identity;
  readonly #settings: SyncTuning;
  readonly #counters: SyncCounters;
  readonly #peers = new Map<number, Peer>();
  /** When this director last ran: at every heartbeat, if not more often. */
  #awakeMs: number;
  /** A datagram that arrives from then on was sent after this director's last pause. */
  #freshAtMs = Number.NEGATIVE_INFINITY;
  #transfers: number;

  constructor(identity: Identity, settings: SyncTuning, counters: SyncCounters, nowMs: number) {
    this.#identity = identity;
    this.#settings = settings;
    this.#counters = counters;
    this.#awakeMs = nowMs;
    // A transfer from before a restart must not be taken for one of this epoch.
    this.#transfers = identity.epoch % transfersEnd;
  }

  get size(): number {
    return this.#peers.size;
  }

  [Symbol.iterator](): IterableIterator<Peer> {
    return this.#peers.values();
  }

  /** The reason why the body of this datagram must not be read; undefined when it may be. */
  refuse(frame: Frame): RejectionReason | undefined {
    const { senderId, epoch } = this.#identity;
    // Datagrams that this director sent before its restart may still be under way.
    if (frame.sender === senderId) return frame.epoch <= epoch ? 'ownDatagram' : 'senderIdConflict';
    const peer = this.#peers.get(frame.sender);
    return peer !== undefined && frame.epoch < peer.epoch ? 'oldEpoch' : undefined;
  }

  /** Finds or registers the sender of a valid datagram; undefined when there are too many peers. */
  meet(frame: Frame, address: IpAddress, nowMs: number): Meeting | undefined {
    const known = this.#peers.get(frame.sender);
    if (known !== undefined && known.epoch === frame.epoch) {
      known.lastHeardMs = nowMs;
      known.address = address;
      known.heardSincePause ||= this.#isFresh(nowMs);
      return { peer: known, kind: 'known' };
    }
    if (known === undefined && this.#peers.size >= this.#settings.peersMax) return undefined;
    this.#counters.traffic[known === undefined ? 'peersMet' : 'peersRestarted'] += 1;
    const first = isSequenced(frame.type) ? frame.sequence : frame.sequence + 1;
    const peer: Peer = {
      senderId: frame.sender,
      epoch: frame.epoch,
      address,
      lastHeardMs: nowMs,
      heardSincePause: this.#isFresh(nowMs),
      gate: undefined,
      fingerprint: known?.fingerprint,
      acknowledged: 0,
      deferralsInVain: this.#settings.deferralsInVainMax,
      asked: undefined,
      told: 0,
      stream: new IncomingStream(this.#settings, this.#counters, first),
      intake: new SnapshotIntake(this.#settings, this.#counters, () => this.#nextTransfer(), nowMs),
    };
    this.#peers.set(frame.sender, peer);
    return { peer, kind: known === undefined ? 'met' : 'restarted' };
  }

  /** Returns whether there was such a peer. */
  forget(sender: number): boolean {
    const known = this.#peers.delete(sender);
    if (known) this.#counters.traffic.peersForgotten += 1;
    return known;
  }

  /** The peers that have not been heard for the peer timeout. */
  silent(nowMs: number): readonly Peer[] {
    return [...this.#peers.values()].filter((peer) => nowMs >= peer.lastHeardMs + this.#settings.peerTimeoutMs);
  }

  /**
   * A director that was itself stopped for a while (SIGSTOP, a suspended machine, a long garbage collection) has not
   * heard its peers because it was not listening. Until it hears from them again, it must neither consider itself alone
   * nor its table current. Called at every entry point of the session; returns whether there was such a pause.
   */
  notePause(nowMs: number): boolean {
    const pausedMs = nowMs - this.#awakeMs;
    this.#awakeMs = nowMs;
    if (pausedMs < this.#settings.peerTimeoutMs / 2) return false;
    this.#counters.traffic.pauses += 1;
    this.#freshAtMs = nowMs + staleForMs;
    for (const peer of this.#peers.values()) {
      peer.lastHeardMs = nowMs;
      peer.heardSincePause = false;
    }
    return true;
  }

  countInSync(nowMs: number): number {
    let count = 0;
    for (const peer of this.#peers.values()) if (isInSync(peer, this.#settings, nowMs)) count += 1;
    return count;
  }

  /** The earliest deadline of any peer: its timeout, a request for missing datagrams, or its snapshot. */
  nextDeadlineMs(): number {
    let deadline = Number.POSITIVE_INFINITY;
    for (const { lastHeardMs, stream, intake } of this.#peers.values()) {
      const silentAtMs = lastHeardMs + this.#settings.peerTimeoutMs;
      deadline = Math.min(deadline, silentAtMs, stream.nackAtMs, intake.nextDeadlineMs());
    }
    return deadline;
  }

  describe(nowMs: number): readonly PeerStatus[] {
    return [...this.#peers.values()].map((peer) => describePeer(peer, this.#settings, nowMs));
  }

  /** Whether a datagram that arrives now cannot have waited in the socket during a pause. */
  #isFresh(nowMs: number): boolean {
    return nowMs >= this.#freshAtMs;
  }

  #nextTransfer(): number {
    this.#transfers = (this.#transfers + 1) % transfersEnd;
    return this.#transfers;
  }
}

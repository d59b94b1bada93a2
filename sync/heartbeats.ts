// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../src/lib/ip-address.ts';
import type { SyncCounters } from './counters.ts';
import type { GateState } from './gate.ts';
import { DatagramType, type MessageOf } from './messages/table.ts';
import type { Peer } from './peer.ts';
import type { Publisher } from './publisher.ts';
import type { SyncTuning } from './tuning.ts';

export interface HeartbeatParts {
  readonly settings: SyncTuning;
  readonly counters: SyncCounters;
  readonly publisher: Publisher;
  readonly gate: () => GateState;
  readonly fingerprintCompared: (peer: IpAddress, equal: boolean) => void;
}

/** Sends this director's heartbeats and applies those of the peers. */
export class Heartbeats {
  readonly #parts: HeartbeatParts;
  #fingerprint: string;
  #nextAtMs: number;
  #solicitAnsweredMs = Number.NEGATIVE_INFINITY;

  constructor(parts: HeartbeatParts, fingerprint: string, nowMs: number) {
    this.#parts = parts;
    this.#fingerprint = fingerprint;
    this.#nextAtMs = nowMs;
  }

  /** One interval after the last heartbeat, and soon after the last datagram of a burst. */
  dueMs(): number {
    const { settings, publisher } = this.#parts;
    const lastHeartbeatMs = this.#nextAtMs - settings.heartbeatIntervalMs;
    return publisher.lastSequencedMs > lastHeartbeatMs
      ? Math.min(this.#nextAtMs, publisher.lastSequencedMs + settings.tailHeartbeatMs)
      : this.#nextAtMs;
  }

  send(nowMs: number, solicit: boolean): void {
    const { settings, publisher, gate } = this.#parts;
    this.#nextAtMs = nowMs + settings.heartbeatIntervalMs;
    const { heartbeat: type } = DatagramType;
    const state = gate();
    // The peers need to know whether this director hears them, and versions before this one know three states.
    const told = state === 'cutOff' ? 'alone' : state;
    publisher.sendControl({ type, gate: told, fingerprint: this.#fingerprint, solicit });
  }

  /** Applies a peer's heartbeat. Solicitations that follow soon get no second answer, because the first went to all. */
  apply(message: MessageOf<'heartbeat'>, peer: Peer, nowMs: number): void {
    const equalBefore = peer.fingerprint === undefined || peer.fingerprint === this.#fingerprint;
    peer.gate = message.gate;
    peer.fingerprint = message.fingerprint;
    this.#compareFingerprint(peer, equalBefore);
    if (!message.solicit || nowMs - this.#solicitAnsweredMs < this.#parts.settings.tailHeartbeatMs) return;
    this.#solicitAnsweredMs = nowMs;
    this.send(nowMs, false);
  }

  /** The configuration has changed. */
  setFingerprint(fingerprint: string, peers: Iterable<Peer>, nowMs: number): void {
    if (fingerprint === this.#fingerprint) return;
    const before = this.#fingerprint;
    this.#fingerprint = fingerprint;
    for (const peer of peers) {
      if (peer.fingerprint !== undefined) this.#compareFingerprint(peer, peer.fingerprint === before);
    }
    this.send(nowMs, false);
  }

  #compareFingerprint(peer: Peer, equalBefore: boolean): void {
    const equal = peer.fingerprint === this.#fingerprint;
    if (equal === equalBefore) return;
    if (!equal) this.#parts.counters.traffic.fingerprintMismatches += 1;
    this.#parts.fingerprintCompared(peer.address, equal);
  }
}

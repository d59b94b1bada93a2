// SPDX-License-Identifier: Apache-2.0
import type { SyncCounters } from './counters.ts';
import { DatagramType } from './messages/table.ts';
import type { Peer } from './peer.ts';
import type { Publisher } from './publisher.ts';
import type { SyncTuning } from './tuning.ts';

export interface DeferralParts {
  readonly settings: SyncTuning;
  readonly counters: SyncCounters;
  readonly publisher: Publisher;
  readonly peers: Iterable<Peer>;
}

interface Deferred {
  /** The number of the last datagram that tells the peers of the connections. */
  readonly sequence: number;
  readonly dueMs: number;
  readonly release: () => void;
}

/**
 * `defer`, as pfsync calls it: the SYNs of new connections go on once every peer has acknowledged that it knows of the
 * connections, or after `deferMaxMs` all the same. A datagram that was lost is sent again meanwhile, as after any loss.
 *
 * Peers that do not acknowledge are not waited for: those of an older version, and those that do not hear this director. A
 * peer is waited for from its first acknowledgement until it has let a number of deferrals in a row run out of time.
 */
export class Deferral {
  readonly #parts: DeferralParts;
  /** In the order of their numbers, which is the order in which they are released. */
  #waiting: Deferred[] = [];
  #askAtMs = Number.POSITIVE_INFINITY;
  #inviteAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: DeferralParts) {
    this.#parts = parts;
  }

  /** Calls `release` at once, or when the peers have acknowledged all that has been published so far. */
  defer(release: () => void, nowMs: number): void {
    const { settings, counters, publisher } = this.#parts;
    const sequence = publisher.lastSequence;
    if (!this.#isAwaited(sequence)) {
      release();
      return;
    }
    if (this.#waiting.length === settings.deferralsMax) this.#giveUp(this.#waiting.shift()!);
    this.#waiting.push({ sequence, dueMs: nowMs + settings.deferMaxMs, release });
    counters.traffic.deferrals += 1;
    this.#ask(nowMs);
  }

  /** The peer has applied everything below `next`. False: so much has not been published. */
  acknowledge(peer: Peer, next: number, nowMs: number): boolean {
    if (next - 1 > this.#parts.publisher.lastSequence) return false;
    this.#parts.counters.traffic.acknowledgementsReceived += 1;
    peer.acknowledged = Math.max(peer.acknowledged, next - 1);
    peer.deferralsInVain = 0;
    this.advance(nowMs);
    return true;
  }

  /** Releases what nobody is waited for, or what has waited for long enough; asks again. */
  advance(nowMs: number): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const isAwaited = this.#isAwaited(first.sequence);
      if (isAwaited && nowMs < first.dueMs) break;
      this.#waiting.shift();
      if (isAwaited) this.#giveUp(first);
      else first.release();
    }
    if (this.#waiting.length > 0 && nowMs >= this.#askAtMs) this.#ask(nowMs);
    this.#invite(nowMs);
  }

  /** Releases everything: this director stops. */
  releaseAll(): void {
    for (const { release } of this.#waiting.splice(0)) release();
  }

  nextDeadlineMs(): number {
    const first = this.#waiting[0];
    return first === undefined ? Number.POSITIVE_INFINITY : Math.min(this.#askAtMs, first.dueMs);
  }

  #isAwaited(sequence: number): boolean {
    for (const peer of this.#parts.peers) if (this.#isMissing(peer, sequence)) return true;
    return false;
  }

  #isMissing({ acknowledged, deferralsInVain }: Peer, sequence: number): boolean {
    return acknowledged < sequence && deferralsInVain < this.#parts.settings.deferralsInVainMax;
  }

  /** The time is up: better a session that one datagram decides about than none. */
  #giveUp({ sequence, release }: Deferred): void {
    for (const peer of this.#parts.peers) if (this.#isMissing(peer, sequence)) peer.deferralsInVain += 1;
    this.#parts.counters.traffic.deferralsOverdue += 1;
    release();
  }

  /** Asks again: the request may be lost like any datagram, and it shows a receiver which others are. */
  #ask(nowMs: number): void {
    const { settings, counters, publisher } = this.#parts;
    this.#askAtMs = nowMs + settings.deferSpacingMs;
    counters.traffic.acknowledgementsRequested += 1;
    publisher.sendControl({ type: DatagramType.acknowledgementRequest });
  }

  /** Asks peers that do not acknowledge, now and then. */
  #invite(nowMs: number): void {
    const { settings, peers } = this.#parts;
    if (!settings.defer || nowMs < this.#inviteAtMs) return;
    for (const { deferralsInVain } of peers) {
      if (deferralsInVain < settings.deferralsInVainMax) continue;
      this.#inviteAtMs = nowMs + settings.inviteSpacingMs;
      this.#ask(nowMs);
      return;
    }
  }
}

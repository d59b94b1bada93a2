// SPDX-License-Identifier: Apache-2.0
import type { SyncCounters } from './counters.ts';
import { DatagramType } from './messages/table.ts';
import type { Peer } from './peer.ts';
import type { Publisher } from './publisher.ts';
import type { SyncTuning } from './tuning.ts';

/**
 * Answers peers that ask for an acknowledgement of their streams: at once when nothing is missing, else as what was missing
 * arrives, for as long as anybody may wait for it. However many requests come, and whoever forges them, the answers keep to
 * a rate, and each says all that is known.
 */
export class Acknowledger {
  readonly #settings: SyncTuning;
  readonly #counters: SyncCounters;
  readonly #publisher: Publisher;
  /** When the answers that were sent would have been sent one after the other (a leaky bucket). */
  #emptyAtMs = Number.NEGATIVE_INFINITY;

  constructor(settings: SyncTuning, counters: SyncCounters, publisher: Publisher) {
    this.#settings = settings;
    this.#counters = counters;
    this.#publisher = publisher;
  }

  /** The peer asks for an acknowledgement of all that it is known to have given out. */
  request(peer: Peer, nowMs: number): void {
    peer.asked = { upTo: peer.stream.highest, untilMs: nowMs + this.#settings.deferMaxMs };
    this.answer(peer, nowMs);
    if (isDue(peer)) this.#counters.traffic.acknowledgementsPostponed += 1;
  }

  /** To be called when the peer's stream has advanced, and at `nextDeadlineMs`. */
  answer(peer: Peer, nowMs: number): void {
    const { asked } = peer;
    if (asked === undefined) return;
    const { expected: next } = peer.stream;
    if (nowMs < asked.untilMs && isDue(peer)) {
      if (nowMs < this.#freeAtMs()) return;
      this.#emptyAtMs = Math.max(this.#emptyAtMs, nowMs) + this.#settings.acknowledgementSpacingMs;
      this.#counters.traffic.acknowledgementsSent += 1;
      const target = { sender: peer.senderId, epoch: peer.epoch };
      this.#publisher.sendControl({ type: DatagramType.acknowledgement, target, next });
      peer.told = next - 1;
    }
    if (peer.told >= asked.upTo || nowMs >= asked.untilMs) peer.asked = undefined;
  }

  nextDeadlineMs(peers: Iterable<Peer>): number {
    for (const peer of peers) if (isDue(peer)) return this.#freeAtMs();
    return Number.POSITIVE_INFINITY;
  }

  #freeAtMs(): number {
    const { acknowledgementsBurst, acknowledgementSpacingMs } = this.#settings;
    return this.#emptyAtMs - (acknowledgementsBurst - 1) * acknowledgementSpacingMs;
  }
}

/** Whether the peer can be told all that it wants to know, or more than it was told last. */
function isDue({ asked, told, stream }: Peer): boolean {
  const last = stream.expected - 1;
  return asked !== undefined && (last >= asked.upTo || last > told);
}

// SPDX-License-Identifier: Apache-2.0
import { publishLagMaxMs } from '../../connection/publication.ts';
import type { PublisherReader } from '../engine.ts';

/** For an engine of whose connections no peer has to hear. */
const unwatched: PublisherReader = {
  publisherUntilMs: () => Number.POSITIVE_INFINITY,
  peerUntilMs: () => 0,
  takenBatch: () => 0,
  releasedBatch: () => 0,
};

/** Instead of the number of a batch, which is a signed word. */
export const noBatch = Number.POSITIVE_INFINITY;

/**
 * Whether what the engine admits is published in time (promise P9). A word of the publisher alone would leave open how it
 * has fared since it wrote it, so the oldest batch that it has not sent yet is timed too.
 */
export class PublisherWatch {
  readonly #reader: PublisherReader;
  #number = 0;
  /** The batch that is timed. Batches are numbered modulo 2^32. */
  #mark = 0;
  #markedAtMs = 0;
  /** The batches behind the one up to the other were handed to the publisher's predecessor, and are lost. */
  #lostAfter = 0;
  #lostUntil = 0;

  constructor(reader = unwatched) {
    this.#reader = reader;
  }

  /** A batch leaves for the publisher. Gives its number. */
  hand(nowMs: number): number {
    this.#number = (this.#number + 1) | 0;
    if (!this.#isUnderWay) {
      this.#mark = this.#number;
      this.#markedAtMs = nowMs;
    }
    return this.#number;
  }

  /** The batch that the next event belongs to. */
  get nextBatch(): number {
    return (this.#number + 1) | 0;
  }

  /** Whether the SYNs may go on that the batch tells the peers of. */
  isReleased(batch: number): boolean {
    return ((this.#reader.releasedBatch() - batch) | 0) >= 0 && !this.#isLost(batch);
  }

  /** Whether there is a peer that has to be told of a new connection. */
  hearsPeer(nowMs: number): boolean {
    return this.#reader.peerUntilMs() > nowMs;
  }

  /** Another publisher has begun: nothing that its predecessor was handed is under way. */
  begin(): void {
    this.#mark = this.#reader.takenBatch();
    this.#lostAfter = this.#mark;
    this.#lostUntil = this.#number;
  }

  isAlive(nowMs: number): boolean {
    return this.#reader.publisherUntilMs() > nowMs;
  }

  keepsUp(nowMs: number): boolean {
    const untilMs = this.#reader.publisherUntilMs();
    if (untilMs === Number.POSITIVE_INFINITY) return true;
    return untilMs > nowMs && (!this.#isUnderWay || nowMs - this.#markedAtMs <= publishLagMaxMs);
  }

  #isLost(batch: number): boolean {
    return ((batch - this.#lostAfter) | 0) > 0 && ((this.#lostUntil - batch) | 0) >= 0;
  }

  get #isUnderWay(): boolean {
    return ((this.#reader.takenBatch() - this.#mark) | 0) < 0;
  }
}

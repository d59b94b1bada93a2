// SPDX-License-Identifier: Apache-2.0

import { synPublicationsBurst } from '../../connection/publication.ts';
import { writeMacAddresses } from '../../wire/ethernet.ts';
import type { Leases } from './leases.ts';
import type { NextHop } from './next-hop.ts';
import { noBatch, type PublisherWatch } from './publisher-watch.ts';
import { Drop, type Tally } from './tally.ts';

/** How many frames of which length a queue has room for, and how long they wait at most. */
export interface PendingLimits {
  readonly framesMax: number;
  readonly lengthMax: number;
  readonly waitMaxMs: number;
}

/** Frames whose next hop is being resolved. `PacketPort.transmitCopy` takes no longer ones. */
export const neighbourQueue: PendingLimits = { framesMax: 256, lengthMax: 2048, waitMaxMs: 1_000 };
/**
 * SYNs whose connections are being published: all that one burst of the budget may hold. Later than that the client repeats
 * its SYN (RFC 6298 section 2.1), perhaps to another director.
 */
export const publicationQueue: PendingLimits = { framesMax: synPublicationsBurst, lengthMax: 256, waitMaxMs: 500 };

/**
 * Copies of frames that cannot leave yet, complete except for their Ethernet addresses: their next hop is being resolved, or
 * the peers have not been told of their connection.
 */
export class PendingFrames {
  readonly #limits: PendingLimits;
  readonly #memory: Uint8Array;
  readonly #lengths: Int32Array;
  readonly #leaseSlots: Int32Array;
  readonly #untilMs: Float64Array;
  /** The batch that has to be released first; `noBatch`: none. */
  readonly #batches: Float64Array;
  readonly #hops: (NextHop | undefined)[];
  readonly #leases: Leases;
  readonly #watch: PublisherWatch;
  readonly #tally: Tally;
  /** The frames in order of arrival, with holes where a frame has gone already. */
  #first = 0;
  #length = 0;

  constructor(limits: PendingLimits, leases: Leases, watch: PublisherWatch, tally: Tally) {
    const { framesMax, lengthMax } = limits;
    this.#limits = limits;
    this.#memory = new Uint8Array(framesMax * lengthMax);
    this.#lengths = new Int32Array(framesMax);
    this.#leaseSlots = new Int32Array(framesMax);
    this.#untilMs = new Float64Array(framesMax);
    this.#batches = new Float64Array(framesMax);
    this.#hops = new Array<NextHop | undefined>(framesMax).fill(undefined);
    this.#leases = leases;
    this.#watch = watch;
    this.#tally = tally;
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** Keeps a copy until its next hop is known, and `batch` is released. Returns where it lies, or -1 when there is no room. */
  hold(
    bytes: Uint8Array,
    offset: number,
    length: number,
    hop: NextHop,
    leaseSlot: number,
    batch: number,
    nowMs: number,
  ): number {
    const { framesMax, lengthMax, waitMaxMs } = this.#limits;
    if (this.#length === framesMax || length > lengthMax) return -1;
    const slot = (this.#first + this.#length) % framesMax;
    const at = slot * lengthMax;
    this.#length += 1;
    this.#memory.set(bytes.subarray(offset, offset + length), at);
    this.#lengths[slot] = length;
    this.#leaseSlots[slot] = leaseSlot;
    this.#untilMs[slot] = nowMs + waitMaxMs;
    this.#batches[slot] = batch;
    this.#hops[slot] = hop;
    return at;
  }

  get memory(): Uint8Array {
    return this.#memory;
  }

  /** Queues the frames that can go, and drops those that cannot or that have waited too long. */
  release(nowMs: number): void {
    const { framesMax } = this.#limits;
    for (let i = 0; i < this.#length; i += 1) {
      const slot = (this.#first + i) % framesMax;
      const hop = this.#hops[slot];
      if (hop === undefined) continue;
      const batch = this.#batches[slot]!;
      if (batch !== noBatch && !this.#watch.isReleased(batch)) continue;
      const isLate = this.#untilMs[slot]! <= nowMs;
      if (hop.state === 'resolving' && !isLate) continue;
      this.#hops[slot] = undefined;
      if (batch !== noBatch && isLate) this.#tally.drops[Drop.noPublisher]! += 1;
      else this.#finish(slot, hop);
    }
    while (this.#length > 0 && this.#hops[this.#first] === undefined) {
      this.#first = (this.#first + 1) % framesMax;
      this.#length -= 1;
    }
  }

  #finish(slot: number, hop: NextHop): void {
    const { drops } = this.#tally;
    const { port } = hop;
    if (hop.state === 'resolving') {
      drops[Drop.neighbourUnresolved]! += 1;
    } else if (hop.state === 'unreachable' || port === undefined) {
      drops[Drop.noRoute]! += 1;
    } else if (!this.#leases.isValid(this.#leaseSlots[slot]!)) {
      drops[Drop.noLease]! += 1;
    } else {
      const at = slot * this.#limits.lengthMax;
      writeMacAddresses(this.#memory, at, hop.macAddress, port.macAddress);
      if (port.transmitCopy(this.#memory, at, this.#lengths[slot]!)) this.#leases.use(this.#leaseSlots[slot]!);
      else drops[Drop.transmitFailed]! += 1;
    }
  }
}

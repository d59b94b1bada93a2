// SPDX-License-Identifier: Apache-2.0
import { writeMacAddresses } from '../../wire/ethernet.ts';
import type { Leases } from './leases.ts';
import type { NextHop } from './next-hop.ts';
import { Drop, type Tally } from './tally.ts';

const framesMax = 256;
/** The longest frame that `PacketPort.transmitCopy` takes. */
const copyLengthMax = 2048;
const waitMaxMs = 1_000;

/** Copies of frames whose next hop is being resolved, complete except for their Ethernet addresses. */
export class PendingFrames {
  readonly #memory = new Uint8Array(framesMax * copyLengthMax);
  readonly #lengths = new Int32Array(framesMax);
  readonly #leaseSlots = new Int32Array(framesMax);
  readonly #untilMs = new Float64Array(framesMax);
  readonly #hops: (NextHop | undefined)[] = new Array<NextHop | undefined>(framesMax).fill(undefined);
  readonly #leases: Leases;
  readonly #tally: Tally;
  /** The frames in order of arrival, with holes where a frame has gone already. */
  #first = 0;
  #length = 0;

  constructor(leases: Leases, tally: Tally) {
    this.#leases = leases;
    this.#tally = tally;
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** Keeps a copy. Returns where it lies, or -1 when there is no room (counted). */
  hold(bytes: Uint8Array, offset: number, length: number, hop: NextHop, leaseSlot: number, nowMs: number): number {
    if (this.#length === framesMax || length > copyLengthMax) {
      this.#tally.drops[Drop.neighbourQueueFull]! += 1;
      return -1;
    }
    const slot = (this.#first + this.#length) % framesMax;
    const at = slot * copyLengthMax;
    this.#length += 1;
    this.#memory.set(bytes.subarray(offset, offset + length), at);
    this.#lengths[slot] = length;
    this.#leaseSlots[slot] = leaseSlot;
    this.#untilMs[slot] = nowMs + waitMaxMs;
    this.#hops[slot] = hop;
    return at;
  }

  get memory(): Uint8Array {
    return this.#memory;
  }

  /** Queues the frames that can go, and drops those that cannot or that have waited too long. */
  release(nowMs: number): void {
    for (let i = 0; i < this.#length; i += 1) {
      const slot = (this.#first + i) % framesMax;
      const hop = this.#hops[slot];
      if (hop === undefined) continue;
      if (hop.state === 'resolving' && this.#untilMs[slot]! > nowMs) continue;
      this.#hops[slot] = undefined;
      this.#finish(slot, hop);
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
      const at = slot * copyLengthMax;
      writeMacAddresses(this.#memory, at, hop.macAddress, port.macAddress);
      if (port.transmitCopy(this.#memory, at, this.#lengths[slot]!)) this.#leases.use(this.#leaseSlots[slot]!);
      else drops[Drop.transmitFailed]! += 1;
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../../lib/clock.ts';
import type { Defer, FrameSender, LeaseReader } from '../engine.ts';
import { HeldFrameLayout, PublishingLayout } from './layout/structs.ts';
import { leaseEndless } from './limits.ts';
import type { MappedArray } from './mapped-array.ts';

/** What a port needs to send the SYNs that the program has held. */
export interface HeldFramesParts {
  readonly sender: FrameSender;
  readonly leases: LeaseReader;
}

/** A client has repeated its SYN by then (RFC 6298 section 2.1), and may have found another director. */
const heldMaxMs = 500;

/**
 * The SYNs of new connections, which leave only once the peers have been told of their connections (promise P9; bpf/held.h).
 * A frame is not sent when the lease that it came under has ended meanwhile, as when this process was frozen.
 */
export class HeldFrames {
  readonly #sender: FrameSender;
  readonly #leases: LeaseReader;
  readonly #publishing: MappedArray;
  readonly #clock: Clock;
  #waiting: Int32Array[] = [];
  #closed = false;

  constructor({ sender, leases }: HeldFramesParts, publishing: MappedArray, clock: Clock) {
    this.#sender = sender;
    this.#leases = leases;
    this.#publishing = publishing;
    this.#clock = clock;
  }

  /** Takes a copy of a `struct held_frame` of so many words. */
  hold(words: Int32Array, offset: number, length: number): void {
    this.#waiting.push(words.slice(offset, offset + length));
  }

  /** Sends what waits when `defer` says so: to be called when the events before it have left for the peers. */
  release(defer: Defer): void {
    if (this.#waiting.length === 0) return;
    const frames = this.#waiting;
    this.#waiting = [];
    defer(() => {
      if (!this.#closed) for (const frame of frames) this.#send(frame);
    });
  }

  close(): void {
    this.#closed = true;
    this.#sender.close();
  }

  #send(words: Int32Array): void {
    const nowMs = this.#clock.nowMs();
    const word = (field: number): number => words[field >> 2]!;
    const slot = word(HeldFrameLayout.leaseSlot);
    if (slot !== leaseEndless && this.#leases.validUntilMs(slot) <= nowMs) this.#count(PublishingLayout.heldNoLease);
    else if (((nowMs - word(HeldFrameLayout.since)) | 0) > heldMaxMs) this.#count(PublishingLayout.heldTooLong);
    else {
      const length = Math.min(word(HeldFrameLayout.length), words.byteLength - HeldFrameLayout.bytes);
      const bytes = new Uint8Array(words.buffer, HeldFrameLayout.bytes, length);
      if (!this.#sender.send(word(HeldFrameLayout.interfaceIndex), bytes)) this.#count(PublishingLayout.heldRefused);
    }
  }

  #count(field: number): void {
    this.#publishing.storeLong(0, field, this.#publishing.loadLong(0, field) + 1n);
  }
}

// SPDX-License-Identifier: Apache-2.0

import type { Clock } from '../../lib/clock.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import { isHolding, type RunningRouter } from './running-router.ts';

/** The election does nothing else for at most this long. */
const sliceMs = 5;
/** The same while an advertisement is on its way to the kernel, which takes a turn of the event loop. */
const briefSliceMs = 1;
/** Between two slices received advertisements are read. */
const restMs = 5;

export interface AnnouncingParts {
  readonly clock: Clock;
  readonly announce: (running: RunningRouter, address: IpAddress) => void;
  /** When the next advertisement of any virtual router is due. */
  readonly nextAdvertisementMs: () => number;
  /** An advertisement has been handed to the transport and has not left yet. */
  readonly isAdvertising: () => boolean;
}

/**
 * Sends announcements in slices, and none while an advertisement is due: hundreds of addresses that are announced in one
 * go would delay the advertisements by which they are held.
 */
export class Announcing {
  readonly #parts: AnnouncingParts;
  readonly #queue: { readonly running: RunningRouter; readonly addresses: readonly IpAddress[]; next: number }[] = [];
  #resting = false;

  constructor(parts: AnnouncingParts) {
    this.#parts = parts;
  }

  /** Adds announcements, one for each element; `run` sends them. */
  add(running: RunningRouter, addresses: readonly IpAddress[]): void {
    this.#queue.push({ running, addresses, next: 0 });
  }

  /** What has not been announced yet of these addresses is not announced any more. */
  withdraw(running: RunningRouter, addresses: readonly IpAddress[]): void {
    const gone = new Set(addresses);
    const kept = this.#queue
      .splice(0)
      .map((set) =>
        set.running === running
          ? { running, addresses: set.addresses.slice(set.next).filter((address) => !gone.has(address)), next: 0 }
          : set,
      );
    this.#queue.push(...kept.filter((set) => set.next < set.addresses.length));
  }

  /** To be called when an advertisement has left, and after whatever may have added announcements. */
  run(): void {
    const { clock, nextAdvertisementMs, isAdvertising } = this.#parts;
    if (this.#resting || this.#queue.length === 0) return;
    const startMs = clock.nowMs();
    const lengthMs = isAdvertising() ? briefSliceMs : sliceMs;
    const untilMs = Math.min(startMs + lengthMs, nextAdvertisementMs());
    // The advertisement that is due goes first. Once it has left or failed, this is called again.
    if (untilMs <= startMs) return;
    for (let nowMs = startMs; nowMs < untilMs && this.#announceNext(nowMs); nowMs = clock.nowMs());
    if (this.#queue.length === 0 || lengthMs < sliceMs) return;
    this.#resting = true;
    clock.callAt(clock.nowMs() + restMs, () => {
      this.#resting = false;
      this.run();
    });
  }

  /** False when nothing is left. */
  #announceNext(nowMs: number): boolean {
    const set = this.#queue[0];
    if (set === undefined) return false;
    const { running, addresses } = set;
    const address = addresses[set.next];
    if (address === undefined || !mayAnnounce(running, nowMs)) {
      this.#queue.shift();
      return true;
    }
    set.next += 1;
    this.#parts.announce(running, address);
    return true;
  }
}

/** A process that stood still between two slices may have lost its lease, and the addresses to a peer. */
function mayAnnounce(running: RunningRouter, nowMs: number): boolean {
  return isHolding(running) && running.state.kind === 'active' && nowMs < running.state.leaseUntilMs;
}

// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../../lib/clock.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import type { KernelNeighbour, NeighbourState } from './kernel-routes.ts';

/**
 * Makes the kernel resolve a neighbour, or confirm it; must not throw. The outcome arrives as an event. `startOver`: an
 * attempt of the kernel's that is under way is begun again. The neighbour may have been used while its link was down, and
 * the kernel would be silent for up to a second after the link has come back.
 */
export type AskKernel = (interfaceIndex: number, address: IpAddress, startOver: boolean) => void;

export interface NeighbourLimits {
  /** Addresses that the data path missed and that are not resolved yet. */
  readonly outstandingMax: number;
  /** Addresses that the data path missed once and that are kept confirmed. */
  readonly guestsMax: number;
  /** How many misses a second start a resolution, and how many at once. */
  readonly missesPerSecond: number;
  readonly missesBurst: number;
}

/** One neighbour, and the routes and real servers that need it. */
export interface TrackedNeighbour<Dependent> {
  readonly interfaceIndex: number;
  readonly address: IpAddress;
  state: NeighbourState;
  /** 6 bytes; meaningless while unresolved. */
  macAddress: Uint8Array;
  /** Those to be computed again when it changes. It is kept resolved while there are any. */
  readonly dependents: Set<Dependent>;
  /** The kernel has an entry. */
  known: boolean;
  /** When the data path last missed it; -Infinity when it did not. */
  missedMs: number;
  askedMs: number;
  /** Between the last question and the next while there is no answer. */
  backOffMs: number;
  /** When to ask the kernel next; Infinity when there is nothing to ask. */
  askAtMs: number;
}

export const neighbourLimits: NeighbourLimits = {
  outstandingMax: 1024,
  guestsMax: 4096,
  missesPerSecond: 1000,
  missesBurst: 256,
};

const backOffMinMs = 100;
const backOffMaxMs = 1000;
/** A stale neighbour is confirmed within seconds (delay_first_probe_time and three probes), or has failed. */
const confirmIntervalMs = 10_000;
/** Questions that fall due together are asked together. */
const coalesceMs = 10;
/** The kernel gives up on a silent neighbour after three seconds by default (mcast_solicit × retrans_time). */
const guestPatienceMs = 4000;
/** How long a neighbour that was missed once is kept confirmed, so that it is not missed time and again. */
const guestStayMs = 600_000;

/**
 * The kernel's neighbours, and which of them are wanted. It resolves nothing itself: `ask` tells the kernel that an entry
 * is in use, and the kernel does ARP and neighbour discovery with all their probing.
 */
export class NeighbourTracker<Dependent> {
  readonly #entries = new Map<string, TrackedNeighbour<Dependent>>();
  readonly #clock: Clock;
  readonly #ask: AskKernel;
  readonly #onChange: (neighbour: TrackedNeighbour<Dependent>) => void;
  readonly #limits: NeighbourLimits;
  /** Those with an `askAtMs`. */
  readonly #scheduled = new Set<TrackedNeighbour<Dependent>>();
  /** Those that the data path missed, in the order in which they were admitted. */
  readonly #guests = new Set<TrackedNeighbour<Dependent>>();
  #outstandingCount = 0;
  #tokens: number;
  #tokensMs: number;
  #timerMs = Number.POSITIVE_INFINITY;
  #cancelTimer: (() => void) | undefined;
  #closed = false;

  /** `onChange`: its state or MAC address is not what it was, or it became known or unknown. */
  constructor(
    clock: Clock,
    ask: AskKernel,
    onChange: (neighbour: TrackedNeighbour<Dependent>) => void,
    limits: NeighbourLimits,
  ) {
    this.#clock = clock;
    this.#ask = ask;
    this.#onChange = onChange;
    this.#limits = limits;
    this.#tokens = limits.missesBurst;
    this.#tokensMs = clock.nowMs();
  }

  values(): Iterable<TrackedNeighbour<Dependent>> {
    return this.#entries.values();
  }

  apply(neighbour: KernelNeighbour): void {
    this.#set(this.#find(neighbour.interfaceIndex, neighbour.address), neighbour);
  }

  /** The kernel has forgotten the entry. */
  remove(interfaceIndex: number, address: IpAddress): void {
    const entry = this.#entries.get(keyOf(interfaceIndex, address));
    if (entry?.known === true) this.#set(entry, undefined);
  }

  /** The kernel has these and no others. */
  replaceAll(neighbours: readonly KernelNeighbour[]): void {
    const found = new Set(neighbours.map(({ interfaceIndex, address }) => keyOf(interfaceIndex, address)));
    for (const [key, entry] of this.#entries) if (entry.known && !found.has(key)) this.#set(entry, undefined);
    for (const neighbour of neighbours) this.apply(neighbour);
  }

  removeInterface(interfaceIndex: number): void {
    for (const entry of this.#entries.values()) {
      if (entry.interfaceIndex !== interfaceIndex) continue;
      if (entry.known) this.#set(entry, undefined);
      this.#dismiss(entry);
      this.#settle(entry);
    }
  }

  /** From now on the neighbour is kept resolved on behalf of `dependent`. */
  watch(interfaceIndex: number, address: IpAddress, dependent: Dependent): TrackedNeighbour<Dependent> {
    const entry = this.#find(interfaceIndex, address);
    entry.dependents.add(dependent);
    this.#settle(entry);
    return entry;
  }

  unwatch(entry: TrackedNeighbour<Dependent>, dependent: Dependent): void {
    entry.dependents.delete(dependent);
    this.#settle(entry);
  }

  /** See `NextHops.missing`. */
  missed(interfaceIndex: number, address: IpAddress): boolean {
    const nowMs = this.#clock.nowMs();
    const known = this.#entries.get(keyOf(interfaceIndex, address));
    if (known !== undefined && this.#isWanted(known)) {
      if (this.#guests.has(known)) known.missedMs = nowMs;
      return true;
    }
    // A guest whose stay is over, but whose timer has not run yet, is admitted again.
    if (known !== undefined) this.#settle(known);
    if (known === undefined || known.state === 'unresolved') {
      if (this.#outstandingCount >= this.#limits.outstandingMax || !this.#takeToken(nowMs)) return false;
    }
    if (this.#guests.size >= this.#limits.guestsMax) {
      const oldest = this.#guests.values().next().value!;
      this.#dismiss(oldest);
      this.#settle(oldest);
    }
    const entry = this.#find(interfaceIndex, address);
    entry.missedMs = nowMs;
    this.#guests.add(entry);
    if (entry.state === 'unresolved') this.#outstandingCount += 1;
    this.#settle(entry);
    // Clients are waiting to send their packets again, so not even the millisecond of a timer is lost.
    if (entry.askAtMs <= nowMs) this.#askFor(entry, nowMs);
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
  }

  #find(interfaceIndex: number, address: IpAddress): TrackedNeighbour<Dependent> {
    const key = keyOf(interfaceIndex, address);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = {
        interfaceIndex,
        address,
        state: 'unresolved',
        macAddress: new Uint8Array(6),
        dependents: new Set(),
        known: false,
        missedMs: Number.NEGATIVE_INFINITY,
        askedMs: Number.NEGATIVE_INFINITY,
        backOffMs: backOffMinMs,
        askAtMs: Number.POSITIVE_INFINITY,
      };
      this.#entries.set(key, entry);
    }
    return entry;
  }

  /** `neighbour` undefined: the kernel has none. */
  #set(entry: TrackedNeighbour<Dependent>, neighbour: KernelNeighbour | undefined): void {
    const state = neighbour?.state ?? 'unresolved';
    const moved = state !== 'unresolved' && !sameBytes(neighbour!.macAddress, entry.macAddress);
    const resolution = (state === 'unresolved') !== (entry.state === 'unresolved');
    if (resolution && this.#guests.has(entry)) this.#outstandingCount += state === 'unresolved' ? 1 : -1;
    if (state !== entry.state) entry.askAtMs = Number.POSITIVE_INFINITY;
    // A neighbour that the kernel forgot is asked for at once; one that gave no answer, after a while.
    const failed = neighbour !== undefined && state === 'unresolved' && resolution;
    if (failed) entry.askedMs = this.#clock.nowMs();
    else if (resolution) entry.askedMs = Number.NEGATIVE_INFINITY;
    if (state !== 'unresolved') entry.backOffMs = backOffMinMs;
    const known = neighbour !== undefined;
    const changed = moved || resolution || known !== entry.known;
    entry.state = state;
    entry.known = known;
    if (moved) entry.macAddress = neighbour!.macAddress;
    if (changed) this.#onChange(entry);
    this.#settle(entry);
  }

  #isWanted(entry: TrackedNeighbour<Dependent>): boolean {
    if (entry.dependents.size > 0) return true;
    const stayMs = entry.state === 'unresolved' ? guestPatienceMs : guestStayMs;
    return this.#clock.nowMs() - entry.missedMs < stayMs;
  }

  /** Schedules the next question, or forgets an entry that nobody needs. */
  #settle(entry: TrackedNeighbour<Dependent>): void {
    if (!this.#isWanted(entry)) {
      this.#dismiss(entry);
      this.#schedule(entry, Number.POSITIVE_INFINITY);
      if (!entry.known && entry.dependents.size === 0) this.#entries.delete(keyOf(entry.interfaceIndex, entry.address));
      return;
    }
    if (entry.state === 'usable') this.#schedule(entry, Number.POSITIVE_INFINITY);
    else if (entry.askAtMs === Number.POSITIVE_INFINITY) {
      const intervalMs = entry.state === 'stale' ? backOffMaxMs : entry.backOffMs;
      this.#schedule(entry, Math.max(this.#clock.nowMs(), entry.askedMs + intervalMs));
    }
  }

  /** The neighbour is no guest any more. */
  #dismiss(entry: TrackedNeighbour<Dependent>): void {
    entry.missedMs = Number.NEGATIVE_INFINITY;
    if (this.#guests.delete(entry) && entry.state === 'unresolved') this.#outstandingCount -= 1;
  }

  #schedule(entry: TrackedNeighbour<Dependent>, atMs: number): void {
    entry.askAtMs = atMs;
    if (atMs === Number.POSITIVE_INFINITY) {
      this.#scheduled.delete(entry);
      return;
    }
    this.#scheduled.add(entry);
    this.#arm(atMs);
  }

  #arm(atMs: number): void {
    if (this.#closed || atMs >= this.#timerMs) return;
    this.#cancelTimer?.();
    this.#timerMs = atMs;
    this.#cancelTimer = this.#clock.callAt(atMs, () => this.#askDue());
  }

  #askDue(): void {
    this.#timerMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.nowMs();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const entry of this.#scheduled) {
      if (entry.askAtMs <= nowMs) this.#askFor(entry, nowMs);
      nextMs = Math.min(nextMs, entry.askAtMs);
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#arm(Math.max(nextMs, nowMs + coalesceMs));
  }

  #askFor(entry: TrackedNeighbour<Dependent>, nowMs: number): void {
    entry.askAtMs = Number.POSITIVE_INFINITY;
    if (this.#isWanted(entry)) {
      entry.askedMs = nowMs;
      // A client that does not exist must not cost the link more requests than the kernel would send by itself.
      const startOver = entry.state === 'unresolved' && entry.dependents.size > 0 && entry.backOffMs < backOffMaxMs;
      this.#ask(entry.interfaceIndex, entry.address, startOver);
      if (entry.state === 'stale') {
        this.#schedule(entry, nowMs + confirmIntervalMs);
      } else {
        this.#schedule(entry, nowMs + entry.backOffMs);
        entry.backOffMs = Math.min(2 * entry.backOffMs, backOffMaxMs);
      }
    } else this.#settle(entry);
  }

  #takeToken(nowMs: number): boolean {
    const gained = ((nowMs - this.#tokensMs) / 1000) * this.#limits.missesPerSecond;
    this.#tokens = Math.min(this.#limits.missesBurst, this.#tokens + gained);
    this.#tokensMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function keyOf(interfaceIndex: number, address: IpAddress): string {
  return `${interfaceIndex} ${address}`;
}

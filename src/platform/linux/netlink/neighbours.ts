// SPDX-License-Identifier: Apache-2.0
import type { PacketPort } from '../../../engine/portable/packet-port.ts';
import type { Clock } from '../../../lib/clock.ts';
import { type IpAddress, ipAddressBytes } from '../../../lib/ip-address.ts';
import { type NeighbourName, neighbourStructure, useNeighbour } from './neighbour-request.ts';
import type { NetlinkSocket } from './netlink-socket.ts';
import {
  NDA_DST,
  type Neighbour,
  NUD_NONE,
  NUD_REACHABLE,
  NUD_STALE,
  NUD_VALID,
  parseNeighbour,
  RTM_GETNEIGH,
} from './rtnetlink.ts';

/** One neighbour, kept up to date in place. */
export interface NeighbourEntry {
  readonly port: PacketPort;
  readonly address: IpAddress;
  readonly macAddress: Uint8Array;
  resolved: boolean;
  /** The table must be told of the next use: the entry is unresolved, or is to be confirmed. */
  wantsUse: boolean;
  /** The table has dropped it and no longer updates it. */
  evicted: boolean;
  /** The next request begins the kernel's attempt again: none has been sent since it was resolved or its link came up. */
  startOver: boolean;
  usedMs: number;
  askedMs: number;
}

const macLength = 6;
/** The kernel itself tries for three seconds (mcast_solicit × retrans_time); this is how soon it is asked again. */
const askIntervalMs = 1000;
/** The table stops asking for an entry that has not been used for this long. */
const wantedMs = 10_000;

/**
 * The neighbours that next hops lead to. The table resolves nothing itself: it tells the kernel that an entry is in use
 * (NTF_USE); the kernel does ARP and neighbour discovery with all its probing, and reports the outcome.
 */
export class NeighbourTable {
  readonly #requests: NetlinkSocket;
  /** The kernel's refusals of requests that are sent here arrive among the notifications, and are ignored there. */
  readonly #monitor: NetlinkSocket;
  readonly #clock: Clock;
  readonly #capacity: number;
  /** In the order of their creation. */
  readonly #entries = new Map<string, NeighbourEntry>();
  readonly #unresolved = new Set<NeighbourEntry>();

  constructor(requests: NetlinkSocket, monitor: NetlinkSocket, clock: Clock, capacity: number) {
    this.#requests = requests;
    this.#monitor = monitor;
    this.#clock = clock;
    this.#capacity = capacity;
  }

  /** The neighbour's entry; an unknown one is looked up in the kernel. */
  find(port: PacketPort, address: IpAddress): NeighbourEntry {
    const key = keyOf(port.interfaceIndex, address);
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    if (this.#entries.size >= this.#capacity) this.#evictOldest();
    const entry: NeighbourEntry = {
      port,
      address,
      macAddress: new Uint8Array(macLength),
      resolved: false,
      wantsUse: true,
      evicted: false,
      startOver: true,
      usedMs: this.#clock.nowMs(),
      askedMs: Number.NEGATIVE_INFINITY,
    };
    this.#entries.set(key, entry);
    this.#refresh(entry);
    return entry;
  }

  /** To be called when an entry that `wantsUse` is used. */
  use(entry: NeighbourEntry): void {
    const nowMs = this.#clock.nowMs();
    entry.usedMs = nowMs;
    if (nowMs - entry.askedMs < askIntervalMs) return;
    // A stale entry is confirmed once; the kernel then reports how that went.
    if (entry.resolved) entry.wantsUse = false;
    this.#ask(entry, nowMs);
  }

  /** Takes a notification. Returns true when a next hop changed by it. */
  apply(neighbour: Neighbour, gone: boolean): boolean {
    const entry = this.#entries.get(keyOf(neighbour.interfaceIndex, neighbour.address));
    return entry !== undefined && this.#set(entry, gone ? NUD_NONE : neighbour.state, neighbour.macAddress);
  }

  /** The link has a carrier again: what is not resolved is asked for at once, with a request of its own. */
  linkCameUp(interfaceIndex: number): void {
    for (const entry of this.#entries.values()) {
      if (entry.resolved || entry.port.interfaceIndex !== interfaceIndex) continue;
      entry.startOver = true;
      entry.askedMs = Number.NEGATIVE_INFINITY;
    }
  }

  /** Reads the kernel's table after notifications were lost. Returns true when any next hop changed. */
  refreshAll(): boolean {
    let changed = false;
    for (const entry of this.#entries.values()) changed = this.#refresh(entry) || changed;
    return changed;
  }

  /** Asks again for the neighbours that are still unresolved and in use. */
  retry(): void {
    const nowMs = this.#clock.nowMs();
    for (const entry of this.#unresolved) {
      if (nowMs - entry.usedMs > wantedMs) this.#unresolved.delete(entry);
      else if (nowMs - entry.askedMs >= askIntervalMs) this.#ask(entry, nowMs);
    }
  }

  /** When `retry` is due; Infinity when nothing is unresolved. */
  nextRetryMs(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const { askedMs } of this.#unresolved) earliest = Math.min(earliest, askedMs + askIntervalMs);
    return earliest;
  }

  /** Forgets all neighbours because the ports have changed. */
  clear(): void {
    for (const entry of this.#entries.values()) entry.evicted = true;
    this.#entries.clear();
    this.#unresolved.clear();
  }

  #set(entry: NeighbourEntry, state: number, macAddress: Uint8Array): boolean {
    const resolved = (state & NUD_VALID) !== 0 && macAddress.length === macLength;
    const moved = resolved && !macAddress.every((byte, i) => byte === entry.macAddress[i]);
    const changed = resolved !== entry.resolved || moved;
    if (resolved) {
      entry.macAddress.set(macAddress);
      entry.startOver = true;
    }
    entry.resolved = resolved;
    entry.wantsUse = !resolved || state === NUD_STALE;
    // The kernel has answered: the interval between two requests is meant for neighbours that do not answer it.
    if ((state & NUD_REACHABLE) !== 0) entry.askedMs = Number.NEGATIVE_INFINITY;
    if (resolved) this.#unresolved.delete(entry);
    else if (this.#clock.nowMs() - entry.usedMs <= wantedMs) this.#unresolved.add(entry);
    return changed;
  }

  #refresh(entry: NeighbourEntry): boolean {
    const answer = this.#requests.query(RTM_GETNEIGH, neighbourStructure(nameOf(entry), 0), [
      [NDA_DST, ipAddressBytes(entry.address)],
    ]);
    const parsed = typeof answer === 'number' ? undefined : parseNeighbour(answer.payload);
    if (parsed?.ok) return this.#set(entry, parsed.value.state, parsed.value.macAddress);
    return this.#set(entry, NUD_NONE, new Uint8Array(0));
  }

  #ask(entry: NeighbourEntry, nowMs: number): void {
    entry.askedMs = nowMs;
    if (!entry.resolved) this.#unresolved.add(entry);
    useNeighbour(this.#monitor, nameOf(entry), entry.startOver && !entry.resolved);
    entry.startOver = false;
  }

  #evictOldest(): void {
    const [key, entry] = this.#entries.entries().next().value!;
    entry.evicted = true;
    this.#entries.delete(key);
    this.#unresolved.delete(entry);
  }
}

function nameOf({ port, address }: NeighbourEntry): NeighbourName {
  return { interfaceIndex: port.interfaceIndex, address };
}

function keyOf(interfaceIndex: number, address: IpAddress): string {
  return `${interfaceIndex} ${address}`;
}

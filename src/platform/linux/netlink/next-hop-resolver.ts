// SPDX-License-Identifier: Apache-2.0
import type { NextHop, NextHopResolver } from '../../../engine/portable/next-hop.ts';
import type { PacketPort } from '../../../engine/portable/packet-port.ts';
import type { Clock } from '../../../lib/clock.ts';
import { hashWords } from '../../../lib/hash.ts';
import { type IpAddress, ipAddressBytes } from '../../../lib/ip-address.ts';
import type { NetlinkMessage } from './message.ts';
import { type NeighbourEntry, NeighbourTable } from './neighbours.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import { dumpRoutes, RouteTable } from './routes.ts';
import {
  parseLink,
  parseNeighbour,
  type Route,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_LINK,
  RTNLGRP_NEIGH,
} from './rtnetlink.ts';

const destinationsMax = 65_536;
const neighboursMax = 65_536;
/** Reading the routes may take at most this share of the time, however fast they change. */
const dumpShareMax = 0.1;

const noMacAddress = new Uint8Array(6);

/**
 * Next hops as the kernel would choose them, followed by rtnetlink on sockets of its own. For one thread; it never
 * waits for anything but the kernel's answers. Follows the tables local, main and default; no policy rules.
 */
export class RtnetlinkNextHopResolver implements NextHopResolver {
  /** Readable when `update` has something to read: for poll(2). */
  readonly fd: number;
  readonly #clock: Clock;
  readonly #requests: NetlinkSocket;
  readonly #monitor: NetlinkSocket;
  readonly #neighbours: NeighbourTable;
  readonly #destinations = new Map<IpAddress, CachedNextHop>();
  readonly #ports = new Map<number, PacketPort>();
  /** Links that were reported without a carrier last. */
  readonly #linksDown = new Set<number>();
  #routes: RouteTable;
  #generation = 0;
  #routesStale = false;
  #nextDumpMs = 0;

  constructor(ports: Iterable<PacketPort>, clock: Clock) {
    this.#clock = clock;
    this.#requests = new NetlinkSocket();
    // Before the first dump, so that no change falls in between.
    this.#monitor = new NetlinkSocket([
      RTNLGRP_LINK,
      RTNLGRP_NEIGH,
      RTNLGRP_IPV4_IFADDR,
      RTNLGRP_IPV4_ROUTE,
      RTNLGRP_IPV6_IFADDR,
      RTNLGRP_IPV6_ROUTE,
    ]);
    this.fd = this.#monitor.fd;
    this.#neighbours = new NeighbourTable(this.#requests, this.#monitor, clock, neighboursMax);
    this.#routes = new RouteTable(dumpRoutes(this.#requests));
    this.setPorts(ports);
  }

  /** Grows by one with each change of routes or ports: earlier look-ups are then out of date. */
  get generation(): number {
    return this.#generation;
  }

  /** Replaces the ports that next hops may leave through. Next hops that are held follow. */
  setPorts(ports: Iterable<PacketPort>): void {
    this.#ports.clear();
    for (const port of ports) this.#ports.set(port.interfaceIndex, port);
    this.#neighbours.clear();
    this.#generation += 1;
  }

  resolve(destination: IpAddress): NextHop {
    const known = this.#destinations.get(destination);
    if (known !== undefined) {
      // Moves it to the end: the first in order is the least recently resolved.
      this.#destinations.delete(destination);
      this.#destinations.set(destination, known);
      return known;
    }
    if (this.#destinations.size >= destinationsMax) {
      // A connection may still hold it: a next hop that is no longer cached still looks up its route when it is read.
      this.#destinations.delete(this.#destinations.keys().next().value!);
    }
    const nextHop = new CachedNextHop(this, destination);
    this.#destinations.set(destination, nextHop);
    return nextHop;
  }

  update(): boolean {
    let changed = false;
    const outcome = this.#monitor.receive((message) => {
      changed = this.#apply(message) || changed;
    });
    if (outcome === 'overrun') {
      this.#routesStale = true;
      changed = this.#neighbours.refreshAll() || changed;
    }
    if (this.#routesStale && this.#clock.nowMs() >= this.#nextDumpMs) changed = this.#readRoutes() || changed;
    this.#neighbours.retry();
    return changed;
  }

  /** When `update` should be called even if nothing was reported; Infinity when it need not. Monotonic milliseconds. */
  nextUpdateMs(): number {
    return Math.min(this.#routesStale ? this.#nextDumpMs : Number.POSITIVE_INFINITY, this.#neighbours.nextRetryMs());
  }

  close(): void {
    this.#requests.close();
    this.#monitor.close();
  }

  /** The neighbour that a destination is reached through at present; undefined when there is none. */
  neighbourFor(destination: IpAddress): NeighbourEntry | undefined {
    const hop = this.#hopOf(this.#routes.lookup(destination), destination);
    return hop && this.#neighbours.find(hop.port, hop.gateway ?? destination);
  }

  use(neighbour: NeighbourEntry): void {
    this.#neighbours.use(neighbour);
  }

  #hopOf(
    route: Route | undefined,
    destination: IpAddress,
  ): { port: PacketPort; gateway?: IpAddress | undefined } | undefined {
    if (route === undefined || !route.unicast) return undefined;
    const hops = route.hops.flatMap(({ interfaceIndex, gateway }) => {
      const port = this.#ports.get(interfaceIndex);
      return port === undefined ? [] : [{ port, gateway }];
    });
    // Several hops: each destination keeps to one, as the kernel's multipath does per flow.
    return hops.length <= 1 ? hops[0] : hops[hashWords(ipAddressBytes(destination)) % hops.length];
  }

  #apply({ type, payload }: NetlinkMessage): boolean {
    if (type === RTM_NEWNEIGH || type === RTM_DELNEIGH) {
      const neighbour = parseNeighbour(payload);
      return neighbour.ok && this.#neighbours.apply(neighbour.value, type === RTM_DELNEIGH);
    }
    if (type === RTM_NEWLINK || type === RTM_DELLINK) this.#followLink(payload, type === RTM_DELLINK);
    // Routes, and links and addresses too: when these go, IPv4 routes go with them without a notification
    // (net/ipv4/fib_frontend.c: fib_disable_ip).
    this.#routesStale = true;
    return false;
  }

  #followLink(payload: Uint8Array, gone: boolean): void {
    const link = parseLink(payload);
    if (!link.ok) return;
    const { index, up, running } = link.value;
    if (gone) this.#linksDown.delete(index);
    else if (!up || !running) this.#linksDown.add(index);
    else if (this.#linksDown.delete(index)) this.#neighbours.linkCameUp(index);
  }

  #readRoutes(): boolean {
    const startMs = this.#clock.nowMs();
    this.#routesStale = false;
    const routes = new RouteTable(dumpRoutes(this.#requests));
    const endMs = this.#clock.nowMs();
    this.#nextDumpMs = endMs + (endMs - startMs) * (1 / dumpShareMax - 1);
    if (routes.signature === this.#routes.signature) return false;
    this.#routes = routes;
    this.#generation += 1;
    return true;
  }
}

/** Looks up its route again when it is read after a change, so that the resolver need not know who holds it. */
class CachedNextHop implements NextHop {
  readonly #resolver: RtnetlinkNextHopResolver;
  readonly #destination: IpAddress;
  #generation = -1;
  #neighbour: NeighbourEntry | undefined;

  constructor(resolver: RtnetlinkNextHopResolver, destination: IpAddress) {
    this.#resolver = resolver;
    this.#destination = destination;
  }

  get state(): NextHop['state'] {
    const neighbour = this.#current();
    if (neighbour === undefined) return 'unreachable';
    if (neighbour.wantsUse) this.#resolver.use(neighbour);
    return neighbour.resolved ? 'resolved' : 'resolving';
  }

  get port(): PacketPort | undefined {
    return this.#current()?.port;
  }

  get macAddress(): Uint8Array {
    return this.#current()?.macAddress ?? noMacAddress;
  }

  #current(): NeighbourEntry | undefined {
    if (this.#generation !== this.#resolver.generation || this.#neighbour?.evicted === true) {
      this.#generation = this.#resolver.generation;
      this.#neighbour = this.#resolver.neighbourFor(this.#destination);
    }
    return this.#neighbour;
  }
}

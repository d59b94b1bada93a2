// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../../lib/clock.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import type { Prefix } from '../../lib/prefix.ts';
import { covers, PrefixIndex } from '../../lib/prefix-index.ts';
import type { KernelEvent, KernelHop, KernelLink, KernelRoute } from './kernel-routes.ts';
import {
  type AskKernel,
  type NeighbourLimits,
  NeighbourTracker,
  neighbourLimits,
  sameBytes,
  type TrackedNeighbour,
} from './next-hop-neighbours.ts';

/** The route to one prefix as the data path needs it. */
export interface Route {
  /** `unreachable` stands in the table too: it hides the shorter prefixes that cover it. */
  readonly kind: 'unreachable' | 'onLink' | 'gateway';
  /** 0 when unreachable. */
  readonly interfaceIndex: number;
  /** The largest packet without its Ethernet header; 0 when unreachable. */
  readonly mtu: number;
  /** The MAC address of the egress interface: 6 bytes, zero when unreachable. */
  readonly ownMacAddress: Uint8Array;
  /** The gateway's MAC address is known. Always false unless `gateway`. */
  readonly resolved: boolean;
  /** The gateway's MAC address: 6 bytes, zero unless `resolved`. */
  readonly macAddress: Uint8Array;
}

/** Where next hops are kept for the data path. Called only for what differs from before. */
export interface NextHopSink {
  /** `prefix` has no host bits. Adds or replaces. */
  setRoute(prefix: Prefix, route: Route): void;
  removeRoute(prefix: Prefix): void;
  setNeighbour(interfaceIndex: number, address: IpAddress, macAddress: Uint8Array): void;
  removeNeighbour(interfaceIndex: number, address: IpAddress): void;
}

/** The way to one real server. The object stays the same and is kept up to date until `release`. */
export interface Hop {
  /** `resolving`: the kernel is being asked for the neighbour. `unreachable`: no route, or none through a port. */
  readonly state: 'resolved' | 'resolving' | 'unreachable';
  /** 0 when unreachable. */
  readonly interfaceIndex: number;
  /** The largest packet without its Ethernet header; 0 when unreachable. */
  readonly mtu: number;
  /** The MAC address of the egress interface: 6 bytes, zero when unreachable. */
  readonly ownMacAddress: Uint8Array;
  /** The neighbour's MAC address: 6 bytes, zero unless resolved. */
  readonly macAddress: Uint8Array;
}

export interface NextHopSettings {
  readonly sink: NextHopSink;
  readonly clock: Clock;
  readonly ask: AskKernel;
  /** A hop that `hopFor` gave is not what it was. Never called from within `hopFor`. */
  readonly onHopChanged?: (address: IpAddress, hop: Hop) => void;
  readonly limits?: NeighbourLimits;
}

interface PrefixEntry {
  readonly kind: 'prefix';
  readonly prefix: Prefix;
  routes: readonly KernelRoute[];
  gateway: TrackedNeighbour<Dependent> | undefined;
  /** The route that was last written to the sink. */
  written: Route | undefined;
}

interface ServerEntry {
  readonly kind: 'server';
  readonly address: IpAddress;
  readonly hop: { -readonly [Key in keyof Hop]: Hop[Key] };
  neighbour: TrackedNeighbour<Dependent> | undefined;
}

/** An entry that is computed from a neighbour. */
type Dependent = PrefixEntry | ServerEntry;

interface Way {
  readonly link: KernelLink;
  readonly gateway: IpAddress | undefined;
  readonly mtu: number;
}

const noMacAddress = new Uint8Array(6);
const macLength = 6;
const unreachableRoute: Route = {
  kind: 'unreachable',
  interfaceIndex: 0,
  mtu: 0,
  ownMacAddress: noMacAddress,
  resolved: false,
  macAddress: noMacAddress,
};
const unreachableHop: Hop = {
  state: 'unreachable',
  interfaceIndex: 0,
  mtu: 0,
  ownMacAddress: noMacAddress,
  macAddress: noMacAddress,
};
/** When more prefixes than this change at once, all servers are looked up again rather than compared with each. */
const comparedPrefixesMax = 64;

/**
 * Keeps the data path's routes and neighbours equal to what the kernel reports, and gateways and real servers resolved.
 *
 * The route to a prefix is the first one that has a hop whose link is up; its hop is the first one whose link is up and
 * is a port. Packets are not spread over a multipath route: its further hops are spares. An unreachable route ends the
 * search. Prefixes whose routes lead nowhere stay in the table as unreachable, because the kernel would not take a
 * shorter prefix either.
 */
export class NextHops {
  readonly #sink: NextHopSink;
  readonly #onHopChanged: ((address: IpAddress, hop: Hop) => void) | undefined;
  readonly #neighbours: NeighbourTracker<Dependent>;
  readonly #prefixes = new PrefixIndex<PrefixEntry>();
  readonly #servers = new Map<IpAddress, ServerEntry>();
  readonly #links = new Map<number, KernelLink>();
  #ports: ReadonlySet<number> = new Set();
  readonly #dirtyPrefixes = new Set<PrefixEntry>();
  readonly #dirtyServers = new Set<ServerEntry>();
  readonly #dirtyNeighbours = new Set<TrackedNeighbour<Dependent>>();
  /** The neighbours that are in the sink. */
  readonly #written = new Map<TrackedNeighbour<Dependent>, Uint8Array>();

  constructor({ sink, clock, ask, onHopChanged, limits }: NextHopSettings) {
    this.#sink = sink;
    this.#onHopChanged = onHopChanged;
    const onChange = (neighbour: TrackedNeighbour<Dependent>): void => {
      this.#dirtyNeighbours.add(neighbour);
      for (const dependent of neighbour.dependents) this.#markDirty(dependent);
    };
    this.#neighbours = new NeighbourTracker(clock, ask, onChange, limits ?? neighbourLimits);
  }

  /** Takes the kernel's reports, in its order. The sink is up to date when it returns. */
  apply(events: Iterable<KernelEvent>): void {
    const prefixes: Prefix[] = [];
    for (const event of events) {
      if (event.kind === 'routes') {
        this.#setRoutes(event.prefix, event.routes);
        prefixes.push(event.prefix);
      } else if (event.kind === 'neighbour') this.#neighbours.apply(event.neighbour);
      else if (event.kind === 'neighbourGone') this.#neighbours.remove(event.interfaceIndex, event.address);
      else if (event.kind === 'neighbours') this.#neighbours.replaceAll(event.neighbours);
      else if (event.kind === 'link') this.#setLink(event.link);
      else if (event.kind === 'linkGone') this.#removeLink(event.interfaceIndex);
      else this.#replaceLinks(event.links);
    }
    for (const server of this.#servers.values()) {
      const affected =
        prefixes.length > comparedPrefixesMax || prefixes.some((prefix) => covers(prefix, server.address));
      if (affected) this.#dirtyServers.add(server);
    }
    this.#flush();
  }

  /**
   * The interfaces that packets may leave through: those that the engine is attached to. To be called whenever one was
   * added, removed or recreated under another index; MAC addresses and MTUs follow the kernel by themselves.
   */
  setPorts(interfaceIndexes: Iterable<number>): void {
    this.#ports = new Set(interfaceIndexes);
    this.#markAllDirty();
    this.#flush();
  }

  /** The way to a real server, which is kept resolved until `release`. Same address, same object. */
  hopFor(address: IpAddress): Hop {
    const known = this.#servers.get(address);
    if (known !== undefined) return known.hop;
    const server: ServerEntry = { kind: 'server', address, hop: { ...unreachableHop }, neighbour: undefined };
    this.#servers.set(address, server);
    this.#evaluateServer(server);
    return server.hop;
  }

  /** The real server is no longer of interest; its hop stays as it was. */
  release(address: IpAddress): void {
    const server = this.#servers.get(address);
    if (server === undefined) return;
    this.#servers.delete(address);
    this.#dirtyServers.delete(server);
    if (server.neighbour !== undefined) this.#neighbours.unwatch(server.neighbour, server);
  }

  /**
   * The data path had a packet for an address on the link and no neighbour: starts its resolution, bounded in number and
   * rate. Once resolved it is kept confirmed for ten minutes from the last call, so calling it for a neighbour that is
   * resolved prolongs that. False: refused, to be reported again by the next packet.
   */
  missing(interfaceIndex: number, address: IpAddress): boolean {
    return this.#portAt(interfaceIndex) !== undefined && this.#neighbours.missed(interfaceIndex, address);
  }

  /** Stops asking. What stands in the sink stays there. */
  close(): void {
    this.#neighbours.close();
  }

  #setRoutes(prefix: Prefix, routes: readonly KernelRoute[]): void {
    let entry = this.#prefixes.get(prefix);
    if (entry === undefined) {
      if (routes.length === 0) return;
      entry = { kind: 'prefix', prefix, routes, gateway: undefined, written: undefined };
      this.#prefixes.set(prefix, entry);
    }
    entry.routes = routes;
    this.#dirtyPrefixes.add(entry);
  }

  #setLink(link: KernelLink): void {
    const known = this.#links.get(link.interfaceIndex);
    this.#links.set(link.interfaceIndex, link);
    const same =
      known !== undefined &&
      known.up === link.up &&
      known.mtu === link.mtu &&
      sameBytes(known.macAddress, link.macAddress);
    if (!same) this.#markAllDirty();
  }

  #removeLink(interfaceIndex: number): void {
    if (!this.#links.delete(interfaceIndex)) return;
    this.#neighbours.removeInterface(interfaceIndex);
    this.#markAllDirty();
  }

  #replaceLinks(links: readonly KernelLink[]): void {
    const found = new Set(links.map(({ interfaceIndex }) => interfaceIndex));
    for (const interfaceIndex of this.#links.keys()) if (!found.has(interfaceIndex)) this.#removeLink(interfaceIndex);
    for (const link of links) this.#setLink(link);
  }

  #markDirty(dependent: Dependent): void {
    if (dependent.kind === 'prefix') this.#dirtyPrefixes.add(dependent);
    else this.#dirtyServers.add(dependent);
  }

  #markAllDirty(): void {
    for (const entry of this.#prefixes.values()) this.#dirtyPrefixes.add(entry);
    for (const server of this.#servers.values()) this.#dirtyServers.add(server);
    for (const neighbour of this.#neighbours.values()) this.#dirtyNeighbours.add(neighbour);
  }

  #flush(): void {
    for (const neighbour of this.#dirtyNeighbours) this.#writeNeighbour(neighbour);
    this.#dirtyNeighbours.clear();
    for (const entry of this.#dirtyPrefixes) this.#evaluatePrefix(entry);
    this.#dirtyPrefixes.clear();
    const changed = [...this.#dirtyServers].filter((server) => this.#evaluateServer(server));
    this.#dirtyServers.clear();
    // Last, because the listener may ask for further hops.
    for (const { address, hop } of changed) this.#onHopChanged?.(address, hop);
  }

  #writeNeighbour(neighbour: TrackedNeighbour<Dependent>): void {
    const { interfaceIndex, address, macAddress, state } = neighbour;
    const written = this.#written.get(neighbour);
    if (state !== 'unresolved' && this.#portAt(interfaceIndex) !== undefined) {
      if (written !== undefined && sameBytes(written, macAddress)) return;
      this.#written.set(neighbour, macAddress);
      this.#sink.setNeighbour(interfaceIndex, address, macAddress);
    } else if (written !== undefined) {
      this.#written.delete(neighbour);
      this.#sink.removeNeighbour(interfaceIndex, address);
    }
  }

  #evaluatePrefix(entry: PrefixEntry): void {
    const way = this.#wayOf(entry.routes);
    entry.gateway = this.#rewatch(entry, entry.gateway, way?.link.interfaceIndex, way?.gateway);
    if (entry.routes.length === 0) {
      this.#prefixes.delete(entry.prefix);
      if (entry.written !== undefined) this.#sink.removeRoute(entry.prefix);
      entry.written = undefined;
      return;
    }
    const route = routeOf(way, entry.gateway);
    if (entry.written !== undefined && sameRoute(entry.written, route)) return;
    entry.written = route;
    this.#sink.setRoute(entry.prefix, route);
  }

  /** True when the hop is not what it was. */
  #evaluateServer(server: ServerEntry): boolean {
    const way = this.#wayOf(this.#prefixes.longest(server.address)?.routes ?? []);
    const next = way && (way.gateway ?? server.address);
    server.neighbour = this.#rewatch(server, server.neighbour, way?.link.interfaceIndex, next);
    const hop = hopOf(way, server.neighbour);
    if (sameHop(server.hop, hop)) return false;
    Object.assign(server.hop, hop);
    return true;
  }

  /** Moves a dependent's interest from one neighbour to another. */
  #rewatch(
    dependent: Dependent,
    current: TrackedNeighbour<Dependent> | undefined,
    interfaceIndex: number | undefined,
    address: IpAddress | undefined,
  ): TrackedNeighbour<Dependent> | undefined {
    const wanted = interfaceIndex !== undefined && address !== undefined;
    if (wanted && current?.interfaceIndex === interfaceIndex && current.address === address) return current;
    if (current !== undefined) this.#neighbours.unwatch(current, dependent);
    return wanted ? this.#neighbours.watch(interfaceIndex, address, dependent) : undefined;
  }

  #wayOf(routes: readonly KernelRoute[]): Way | undefined {
    for (const route of routes) {
      if (route.kind === 'unreachable') return undefined;
      const alive = route.hops.filter(({ interfaceIndex }) => this.#links.get(interfaceIndex)?.up === true);
      if (alive.length > 0) return this.#firstThroughPort(alive, route.mtu);
    }
    return undefined;
  }

  #firstThroughPort(hops: readonly KernelHop[], routeMtu: number): Way | undefined {
    for (const { interfaceIndex, gateway } of hops) {
      const link = this.#portAt(interfaceIndex);
      if (link !== undefined) return { link, gateway, mtu: routeMtu > 0 ? Math.min(routeMtu, link.mtu) : link.mtu };
    }
    return undefined;
  }

  /** The link of a port that can carry packets. */
  #portAt(interfaceIndex: number): KernelLink | undefined {
    const link = this.#ports.has(interfaceIndex) ? this.#links.get(interfaceIndex) : undefined;
    return link?.up === true && link.macAddress.length === macLength ? link : undefined;
  }
}

function routeOf(way: Way | undefined, gateway: TrackedNeighbour<Dependent> | undefined): Route {
  if (way === undefined) return unreachableRoute;
  const resolved = gateway !== undefined && gateway.state !== 'unresolved';
  return {
    kind: gateway === undefined ? 'onLink' : 'gateway',
    interfaceIndex: way.link.interfaceIndex,
    mtu: way.mtu,
    ownMacAddress: way.link.macAddress,
    resolved,
    macAddress: resolved ? gateway.macAddress : noMacAddress,
  };
}

function hopOf(way: Way | undefined, neighbour: TrackedNeighbour<Dependent> | undefined): Hop {
  if (way === undefined || neighbour === undefined) return unreachableHop;
  const resolved = neighbour.state !== 'unresolved';
  return {
    state: resolved ? 'resolved' : 'resolving',
    interfaceIndex: way.link.interfaceIndex,
    mtu: way.mtu,
    ownMacAddress: way.link.macAddress,
    macAddress: resolved ? neighbour.macAddress : noMacAddress,
  };
}

function sameRoute(a: Route, b: Route): boolean {
  return (
    a.kind === b.kind &&
    a.interfaceIndex === b.interfaceIndex &&
    a.mtu === b.mtu &&
    a.resolved === b.resolved &&
    sameBytes(a.ownMacAddress, b.ownMacAddress) &&
    sameBytes(a.macAddress, b.macAddress)
  );
}

function sameHop(a: Hop, b: Hop): boolean {
  return (
    a.state === b.state &&
    a.interfaceIndex === b.interfaceIndex &&
    a.mtu === b.mtu &&
    sameBytes(a.ownMacAddress, b.ownMacAddress) &&
    sameBytes(a.macAddress, b.macAddress)
  );
}

// SPDX-License-Identifier: Apache-2.0
import type { KernelEvent, KernelRoute } from '../../../engine/xdp/kernel-routes.ts';
import { type Family, familyOf, ipAddressFromBytes } from '../../../lib/ip-address.ts';
import type { Prefix } from '../../../lib/prefix.ts';
import { covers, PrefixIndex } from '../../../lib/prefix-index.ts';
import { NLM_F_APPEND, NLM_F_REPLACE } from './message.ts';
import { type RouteDetail, RT_TABLE_DEFAULT, RT_TABLE_LOCAL, RT_TABLE_MAIN, RTN_UNICAST } from './rtnetlink.ts';

interface BookedRoute {
  readonly route: KernelRoute;
  /** Two routes to a prefix with the same text are the same route. */
  readonly text: string;
}

interface BookedPrefix {
  readonly prefix: Prefix;
  /** By metric; among equals in the kernel's order. */
  readonly routes: readonly BookedRoute[];
}

type Table = PrefixIndex<BookedPrefix>;

/** In the order of the kernel's default rules (net/ipv4/fib_rules.c). */
const tables = [RT_TABLE_LOCAL, RT_TABLE_MAIN, RT_TABLE_DEFAULT];

/**
 * The routes of the tables local, main and default, kept from dumps and notifications. The tables become one: when
 * an earlier table has a shorter prefix that covers one in a later table, the later one does not count, because the
 * kernel's look-up ends in the earlier table. Routes for one type of service or one source prefix only are left out,
 * since the data path asks by destination alone.
 */
export class RouteBook {
  readonly #tables: readonly Table[] = tables.map(() => new PrefixIndex<BookedPrefix>());
  readonly #changed = new Map<string, Prefix>();

  /**
   * Takes a notification. `unclear`: it does not determine the routes to its prefix, and only a dump does. The kernel
   * merges IPv6 routes of one metric, and reports of a replaced route only that it was one of several.
   */
  apply(detail: RouteDetail, gone: boolean, flags: number): 'done' | 'unclear' {
    const tableIndex = tables.indexOf(detail.table);
    if (tableIndex < 0 || !isPlain(detail)) return 'done';
    const prefix = prefixOf(detail);
    const booked = bookedRoute(detail);
    const routes = this.#tables[tableIndex]!.get(prefix)?.routes ?? [];
    const rivals = routes.filter(({ route }) => route.metric === detail.metric);
    const same = rivals.find(({ text }) => text === booked.text);
    if (gone) {
      if (same === undefined) return rivals.length === 0 ? 'done' : 'unclear';
      this.#set(tableIndex, prefix, without(routes, same));
      return 'done';
    }
    if (rivals.length === 1 && same !== undefined) return 'done';
    if ((flags & NLM_F_REPLACE) !== 0 && rivals.length > 0) {
      if (rivals.length > 1) return 'unclear';
      this.#set(tableIndex, prefix, inserted(without(routes, rivals[0]!), booked, false));
      return 'done';
    }
    if (same !== undefined) return 'unclear';
    const mergeable = detail.family === 'ipv6' && booked.route.hops.some(({ gateway }) => gateway !== undefined);
    if (rivals.length > 0 && mergeable) return 'unclear';
    this.#set(tableIndex, prefix, inserted(routes, booked, detail.family === 'ipv4' && (flags & NLM_F_APPEND) === 0));
    return 'done';
  }

  /** Takes the outcome of a dump: the family has these routes and no others. In the kernel's order. */
  replaceFamily(family: Family, details: readonly RouteDetail[]): void {
    const dumped = tables.map(() => new PrefixIndex<{ prefix: Prefix; routes: BookedRoute[] }>());
    for (const detail of details) {
      const table = dumped[tables.indexOf(detail.table)];
      if (table === undefined || !isPlain(detail)) continue;
      const prefix = prefixOf(detail);
      const entry = table.get(prefix);
      if (entry === undefined) table.set(prefix, { prefix, routes: [bookedRoute(detail)] });
      else entry.routes.push(bookedRoute(detail));
    }
    for (const [tableIndex, table] of dumped.entries()) {
      const known = this.#tables[tableIndex]!;
      for (const { prefix } of [...known.values([family])]) {
        if (table.get(prefix) === undefined) this.#set(tableIndex, prefix, []);
      }
      for (const { prefix, routes } of table.values()) {
        routes.sort((a, b) => a.route.metric - b.route.metric);
        if (textOf(known.get(prefix)?.routes) !== textOf(routes)) this.#set(tableIndex, prefix, routes);
      }
    }
  }

  /** The changes since the last call. */
  takeChanges(): KernelEvent[] {
    const events = [...this.#changed.values()].map((prefix): KernelEvent => {
      return { kind: 'routes', prefix, routes: this.#candidates(prefix) };
    });
    this.#changed.clear();
    return events;
  }

  #candidates(prefix: Prefix): KernelRoute[] {
    const candidates: KernelRoute[] = [];
    for (const table of this.#tables) {
      for (const { route } of table.get(prefix)?.routes ?? []) candidates.push(route);
      if (table.longest(prefix.address, prefix.length) !== undefined) break;
    }
    return candidates;
  }

  #set(tableIndex: number, prefix: Prefix, routes: readonly BookedRoute[]): void {
    const table = this.#tables[tableIndex]!;
    const appears = table.get(prefix) === undefined;
    if (routes.length === 0) table.delete(prefix);
    else table.set(prefix, { prefix, routes });
    this.#markChanged(prefix);
    if (!appears && routes.length > 0) return;
    if (prefix.length === (familyOf(prefix.address) === 'ipv4' ? 32 : 128)) return;
    for (const later of this.#tables.slice(tableIndex + 1)) {
      for (const { prefix: other } of later.values([familyOf(prefix.address)])) {
        if (other.length > prefix.length && covers(prefix, other.address)) this.#markChanged(other);
      }
    }
  }

  #markChanged(prefix: Prefix): void {
    this.#changed.set(`${prefix.address}/${prefix.length}`, prefix);
  }
}

function isPlain(detail: RouteDetail): boolean {
  return detail.typeOfService === 0 && detail.sourcePrefixLength === 0 && !detail.cloned;
}

function prefixOf({ destination, prefixLength }: RouteDetail): Prefix {
  return { address: ipAddressFromBytes(destination), length: prefixLength };
}

function bookedRoute({ type, metric, mtu, allHops }: RouteDetail): BookedRoute {
  const kind = type === RTN_UNICAST ? 'unicast' : 'unreachable';
  const hops = kind === 'unicast' ? allHops : [];
  // An unreachable route may name a device, which only distinguishes it from another unreachable route.
  const ways = allHops.map(({ interfaceIndex, gateway }) => `${gateway ?? ''}%${interfaceIndex}`);
  return { route: { kind, metric, hops, mtu }, text: [type, metric, mtu, ...ways].join(' ') };
}

/** `first`: puts the route before those of its metric, otherwise after them. */
function inserted(routes: readonly BookedRoute[], booked: BookedRoute, first: boolean): BookedRoute[] {
  const { metric } = booked.route;
  const behind = routes.findIndex(({ route }) => (first ? route.metric >= metric : route.metric > metric));
  const at = behind < 0 ? routes.length : behind;
  return [...routes.slice(0, at), booked, ...routes.slice(at)];
}

function without(routes: readonly BookedRoute[], one: BookedRoute): BookedRoute[] {
  return routes.filter((each) => each !== one);
}

function textOf(routes: readonly BookedRoute[] | undefined): string {
  return routes?.map(({ text }) => text).join('\n') ?? '';
}

// SPDX-License-Identifier: Apache-2.0
import type { Family, IpAddress } from '../../../lib/ip-address.ts';
import { familyOf, ipAddressBytes } from '../../../lib/ip-address.ts';
import type { NetlinkSocket } from './netlink-socket.ts';
import {
  familyNumber,
  parseRoute,
  type Route,
  RT_TABLE_DEFAULT,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
  RTM_GETROUTE,
  RTM_NEWROUTE,
  rtmsgLength,
} from './rtnetlink.ts';

/** In the order of the kernel's default rules (net/ipv4/fib_rules.c). Other tables, and rules, are not followed. */
const tables = [RT_TABLE_LOCAL, RT_TABLE_MAIN, RT_TABLE_DEFAULT];

/** By prefix length, the longest first; then by masked destination. */
type PrefixTable = ReadonlyArray<{ readonly length: number; readonly routes: ReadonlyMap<string, Route> }>;

/** A snapshot of the kernel's routes that answers look-ups by the longest prefix. */
export class RouteTable {
  readonly #prefixes = new Map<string, PrefixTable>();
  /** Two tables with the same signature give the same answers. */
  readonly signature: string;

  constructor(routes: readonly Route[]) {
    for (const table of tables) {
      for (const family of ['ipv4', 'ipv6'] as const) {
        const members = routes.filter((route) => route.table === table && route.family === family);
        this.#prefixes.set(`${table} ${family}`, byPrefix(members));
      }
    }
    this.signature = routes
      .filter(({ table }) => tables.includes(table))
      .map(describe)
      .join('\n');
  }

  /** The best route; undefined when there is none. A route that is not unicast leads nowhere on purpose. */
  lookup(destination: IpAddress): Route | undefined {
    const family = familyOf(destination);
    const bytes = ipAddressBytes(destination);
    for (const table of tables) {
      for (const { length, routes } of this.#prefixes.get(`${table} ${family}`)!) {
        const route = routes.get(keyOf(bytes, length));
        if (route !== undefined) return route;
      }
    }
    return undefined;
  }
}

/** Reads all routes of both families. Blocks while the kernel answers. */
export function dumpRoutes(netlink: NetlinkSocket): Route[] {
  return (['ipv4', 'ipv6'] as const).flatMap((family) => dumpFamily(netlink, family));
}

function dumpFamily(netlink: NetlinkSocket, family: Family): Route[] {
  const routes: Route[] = [];
  const request = new Uint8Array(rtmsgLength);
  request[0] = familyNumber(family);
  const restart = (): void => {
    routes.length = 0;
  };
  netlink.dump(RTM_GETROUTE, request, restart, (message) => {
    const parsed = message.type === RTM_NEWROUTE ? parseRoute(message.payload) : undefined;
    if (parsed?.ok && tables.includes(parsed.value.table)) routes.push(parsed.value);
  });
  return routes;
}

function byPrefix(routes: readonly Route[]): PrefixTable {
  const lengths = [...new Set(routes.map(({ prefixLength }) => prefixLength))].sort((a, b) => b - a);
  return lengths.map((length) => {
    const best = new Map<string, Route>();
    for (const route of routes) {
      if (route.prefixLength !== length) continue;
      const key = keyOf(route.destination, length);
      const rival = best.get(key);
      if (rival === undefined || isBetter(route, rival)) best.set(key, route);
    }
    return { length, routes: best };
  });
}

/** A unicast route whose hops are all dead loses against any other route to its prefix. */
function isBetter(route: Route, rival: Route): boolean {
  const alive = leadsAnywhere(route);
  return alive === leadsAnywhere(rival) ? route.metric < rival.metric : alive;
}

function leadsAnywhere(route: Route): boolean {
  return !route.unicast || route.hops.length > 0;
}

function keyOf(bytes: Uint8Array, prefixLength: number): string {
  let key = '';
  for (let i = 0; i * 8 < prefixLength; i += 1) {
    const bits = prefixLength - i * 8;
    key += String.fromCharCode(bits >= 8 ? bytes[i]! : bytes[i]! & (0xff << (8 - bits)));
  }
  return key;
}

function describe(route: Route): string {
  const hops = route.hops.map(({ interfaceIndex, gateway }) => `${gateway ?? ''}%${interfaceIndex}`);
  return [route.table, route.destination, route.prefixLength, route.metric, route.unicast, ...hops].join(' ');
}

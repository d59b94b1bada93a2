// SPDX-License-Identifier: Apache-2.0
import type { KernelEvent, KernelLink, KernelNeighbour, NeighbourState } from '../../../engine/xdp/kernel-routes.ts';
import { type Family, familyOf, type IpAddress } from '../../../lib/ip-address.ts';
import { type NetlinkMessage, parseAttributes, viewOf } from './message.ts';
import type { NetlinkSocket } from './netlink-socket.ts';
import {
  FRA_PRIORITY,
  familyNumber,
  fibRuleHeaderLength,
  ifinfomsgLength,
  NUD_STALE,
  NUD_VALID,
  ndmsgLength,
  parseLink,
  parseNeighbour,
  parseRoute,
  type RouteDetail,
  RTM_DELNEIGH,
  RTM_GETLINK,
  RTM_GETNEIGH,
  RTM_GETROUTE,
  RTM_GETRULE,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
  RTM_NEWRULE,
  rtmsgLength,
} from './rtnetlink.ts';

/** A change during a dump makes it be repeated; after this many attempts the last dump is taken as it is. */
const dumpAttemptsMax = 5;
/** The priorities of the rules that every network namespace begins with (net/ipv4/fib_rules.c, net/ipv6/fib6_rules.c). */
const defaultRulePriorities = [0, 32_766, 32_767];
const macLength = 6;

export function readLinks(netlink: NetlinkSocket): KernelLink[] {
  return readTable(netlink, RTM_GETLINK, new Uint8Array(ifinfomsgLength), ({ type, payload }) =>
    type === RTM_NEWLINK ? linkOf(payload) : undefined,
  );
}

export function readNeighbours(netlink: NetlinkSocket, family: Family): KernelNeighbour[] {
  return readTable(netlink, RTM_GETNEIGH, requestFor(family, ndmsgLength), (message) => {
    const event = message.type === RTM_NEWNEIGH ? neighbourEventOf(message) : undefined;
    return event?.kind === 'neighbour' ? event.neighbour : undefined;
  });
}

export function readRoutes(netlink: NetlinkSocket, family: Family): RouteDetail[] {
  return readTable(netlink, RTM_GETROUTE, requestFor(family, rtmsgLength), routeOf);
}

/**
 * The same piece by piece, so that a long table does not hold up the event loop. `onStart` is called whenever the dump
 * begins, because it may have to be repeated. Undefined when `isClosed` became true: the socket is then left alone.
 */
export async function readRoutesInTurns(
  netlink: NetlinkSocket,
  family: Family,
  onStart: () => void,
  isClosed: () => boolean,
): Promise<RouteDetail[] | undefined> {
  const routes: RouteDetail[] = [];
  const each = (message: NetlinkMessage): void => {
    const route = routeOf(message);
    if (route !== undefined) routes.push(route);
  };
  for (let attempt = 1; attempt <= dumpAttemptsMax; attempt += 1) {
    routes.length = 0;
    onStart();
    const sequence = netlink.beginDump(RTM_GETROUTE, requestFor(family, rtmsgLength));
    let interrupted = false;
    for (;;) {
      const piece = netlink.continueDump(sequence, each);
      interrupted ||= piece.interrupted;
      if (piece.done) break;
      await new Promise(setImmediate);
      if (isClosed()) return undefined;
    }
    if (!interrupted) break;
  }
  return routes;
}

/** The priorities of all rules but those that every network namespace begins with. */
export function readPolicyRules(netlink: NetlinkSocket, family: Family): number[] {
  return readTable(netlink, RTM_GETRULE, requestFor(family, fibRuleHeaderLength), ({ type, payload }) =>
    type === RTM_NEWRULE ? policyRuleOf(payload) : undefined,
  );
}

/** The priority of a rule that somebody added; undefined for the default rules. From the payload of RTM_NEWRULE. */
export function policyRuleOf(payload: Uint8Array): number | undefined {
  if (payload[0] !== familyNumber('ipv4') && payload[0] !== familyNumber('ipv6')) return undefined;
  const attributes = parseAttributes(payload, fibRuleHeaderLength);
  const bytes = attributes.ok ? attributes.value.get(FRA_PRIORITY) : undefined;
  // The rule of priority 0 has no such attribute.
  const priority = bytes?.length === 4 ? viewOf(bytes).getUint32(0, true) : 0;
  return defaultRulePriorities.includes(priority) ? undefined : priority;
}

/** From the payload of RTM_NEWLINK and RTM_DELLINK. */
export function linkOf(payload: Uint8Array): KernelLink | undefined {
  // A bridge reports its ports under the family of bridges (net/bridge/br_netlink.c), also when a port leaves it:
  // the interface still exists then.
  const link = payload[0] === 0 ? parseLink(payload) : undefined;
  if (!link?.ok) return undefined;
  const { index, name, macAddress, mtu, up, running } = link.value;
  return { interfaceIndex: index, name, macAddress, mtu, up: up && running };
}

/** From RTM_NEWNEIGH and RTM_DELNEIGH. */
export function neighbourEventOf({ type, payload }: NetlinkMessage): KernelEvent | undefined {
  const parsed = parseNeighbour(payload);
  if (!parsed.ok || isGroup(parsed.value.address)) return undefined;
  const { interfaceIndex, address, state, macAddress } = parsed.value;
  if (type === RTM_DELNEIGH) return { kind: 'neighbourGone', interfaceIndex, address };
  const neighbour = { interfaceIndex, address, state: neighbourState(state, macAddress), macAddress };
  return { kind: 'neighbour', neighbour };
}

function neighbourState(state: number, macAddress: Uint8Array): NeighbourState {
  if ((state & NUD_VALID) === 0 || macAddress.length !== macLength) return 'unresolved';
  return (state & NUD_STALE) !== 0 ? 'stale' : 'usable';
}

/** The kernel lists the groups that it has sent to (RFC 1112, RFC 2464 section 7): a group is not a neighbour. */
function isGroup(address: IpAddress): boolean {
  return familyOf(address) === 'ipv6' ? /^ff[0-9a-f]{2}:/.test(address) : Number.parseInt(address, 10) >= 224;
}

function routeOf({ type, payload }: NetlinkMessage): RouteDetail | undefined {
  const route = type === RTM_NEWROUTE ? parseRoute(payload) : undefined;
  return route?.ok ? route.value : undefined;
}

function readTable<Entry>(
  netlink: NetlinkSocket,
  type: number,
  request: Uint8Array,
  entryOf: (message: NetlinkMessage) => Entry | undefined,
): Entry[] {
  const entries: Entry[] = [];
  const restart = (): void => {
    entries.length = 0;
  };
  netlink.dump(type, request, restart, (message) => {
    const entry = entryOf(message);
    if (entry !== undefined) entries.push(entry);
  });
  return entries;
}

/** All structures of requests begin with the family. */
function requestFor(family: Family, length: number): Uint8Array {
  const request = new Uint8Array(length);
  request[0] = familyNumber(family);
  return request;
}

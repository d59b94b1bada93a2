// SPDX-License-Identifier: Apache-2.0
import type { Family, IpAddress } from '../../../lib/ip-address.ts';
import { ipAddressFromBytes } from '../../../lib/ip-address.ts';
import { accept, type Result, reject } from '../../../lib/result.ts';
import { AF_INET, AF_INET6 } from '../libc.ts';
import { type Attributes, align, type NetlinkParseReason, parseAttributes, viewOf } from './message.ts';

export interface Link {
  readonly index: number;
  readonly name: string;
  /** 6 bytes on Ethernet; empty where the interface has none. */
  readonly macAddress: Uint8Array;
  readonly mtu: number;
  /** IFF_UP: switched on by the administrator. */
  readonly up: boolean;
  /** IFF_RUNNING: the carrier is there too. */
  readonly running: boolean;
  /** IFLA_INFO_KIND, as in `ip -d link`: `veth`, `bridge`, …; absent for a physical interface. */
  readonly kind?: string;
}

export interface InterfaceAddress {
  readonly interfaceIndex: number;
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** There is an earlier address in the same subnet. The kernel never chooses this one as a source by itself. */
  readonly secondary: boolean;
  /** RT_SCOPE_LINK or narrower. */
  readonly linkLocal: boolean;
  /** IPv6: duplicate address detection is not done, or failed (RFC 4862 section 5.4). Nothing may be sent from it. */
  readonly tentative: boolean;
  /** Its lifetime does not end. */
  readonly permanent: boolean;
}

export interface RouteHop {
  readonly interfaceIndex: number;
  /** Undefined: the destination is on the link. */
  readonly gateway: IpAddress | undefined;
}

export interface Route {
  readonly table: number;
  readonly family: Family;
  /** 4 or 16 bytes; the unspecified address for a default route. */
  readonly destination: Uint8Array;
  readonly prefixLength: number;
  readonly metric: number;
  /** Only unicast routes lead anywhere: the others are local, broadcast, blackhole, unreachable, prohibit... */
  readonly unicast: boolean;
  /** The hops that are alive. */
  readonly hops: readonly RouteHop[];
}

/** A route with everything that its message contains. */
export interface RouteDetail extends Route {
  /** RTN_*. */
  readonly type: number;
  /** A route with a type of service holds only for packets with that type of service; 0 holds for all. */
  readonly typeOfService: number;
  /** IPv6: the route holds for packets from a prefix of this length only; 0 for an ordinary one. */
  readonly sourcePrefixLength: number;
  /** A cached exception (RTM_F_CLONED), such as a path MTU; it is not a route of the table. */
  readonly cloned: boolean;
  /** RTAX_MTU; 0 when the route has none. */
  readonly mtu: number;
  /** The hops, including those whose links are down. */
  readonly allHops: readonly RouteHop[];
}

export interface Neighbour {
  readonly interfaceIndex: number;
  readonly address: IpAddress;
  /** NUD_*. */
  readonly state: number;
  /** Empty while unknown. */
  readonly macAddress: Uint8Array;
}

export type RtnetlinkParseReason = NetlinkParseReason | 'structureTruncated' | 'otherFamily' | 'attributeMissing';

// linux/rtnetlink.h
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;
export const RTM_NEWRULE = 32;
export const RTM_GETRULE = 34;
export const RTM_NEWNETCONF = 80;
export const RTM_DELNETCONF = 81;
export const RTM_NEWNEXTHOP = 104;
export const RTM_DELNEXTHOP = 105;

export const RTNLGRP_LINK = 1;
export const RTNLGRP_NEIGH = 3;
export const RTNLGRP_IPV4_IFADDR = 5;
export const RTNLGRP_IPV4_ROUTE = 7;
export const RTNLGRP_IPV4_RULE = 8;
export const RTNLGRP_IPV6_IFADDR = 9;
export const RTNLGRP_IPV6_ROUTE = 11;
export const RTNLGRP_IPV6_RULE = 19;
export const RTNLGRP_IPV4_NETCONF = 24;
export const RTNLGRP_IPV6_NETCONF = 25;
export const RTNLGRP_NEXTHOP = 32;

/** The type of a route that leads somewhere. */
export const RTN_UNICAST = 1;
export const RT_TABLE_DEFAULT = 253;
export const RT_TABLE_MAIN = 254;
export const RT_TABLE_LOCAL = 255;

// linux/neighbour.h
export const NUD_NONE = 0;
export const NUD_REACHABLE = 0x02;
export const NUD_STALE = 0x04;
/** NUD_REACHABLE, STALE, DELAY, PROBE, NOARP and PERMANENT: the address can be used. */
export const NUD_VALID = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;
export const NTF_USE = 1;
export const NDA_DST = 1;

// linux/if_link.h
const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
// linux/if_link.h
const IFLA_INFO_KIND = 1;

// linux/if_addr.h
export const IFA_ADDRESS = 1;
export const IFA_LOCAL = 2;
export const IFA_LABEL = 3;
export const IFA_BROADCAST = 4;
export const IFA_CACHEINFO = 6;
export const IFA_F_NODAD = 2;

// linux/fib_rules.h
export const FRA_PRIORITY = 6;

const NDA_LLADDR = 2;
const IFF_UP = 0x1;
const IFF_RUNNING = 0x40;
const IFA_F_SECONDARY = 1;
const IFA_F_DADFAILED = 8;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_PERMANENT = 0x80;
const RT_SCOPE_LINK = 253;
export const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTAX_MTU = 2;
const RTM_F_CLONED = 0x200;
/** Answer with the route itself, and the state of each of its links, instead of what was made of it for one packet. */
export const RTM_F_FIB_MATCH = 0x2000;
const RTNH_F_DEAD = 1;
const RTNH_F_LINKDOWN = 16;

// struct ifinfomsg, ifaddrmsg, rtmsg, ndmsg, fib_rule_hdr, rtnexthop
export const ifinfomsgLength = 16;
export const ifaddrmsgLength = 8;
export const rtmsgLength = 12;
export const ndmsgLength = 12;
export const fibRuleHeaderLength = 12;
const rtnexthopLength = 8;

/** The payload of RTM_NEWLINK and RTM_DELLINK. */
export function parseLink(payload: Uint8Array): Result<Link, RtnetlinkParseReason> {
  if (payload.length < ifinfomsgLength) return reject('structureTruncated');
  const attributes = parseAttributes(payload, ifinfomsgLength);
  if (!attributes.ok) return attributes;
  const view = viewOf(payload);
  const flags = view.getUint32(8, true);
  const name = attributes.value.get(IFLA_IFNAME);
  if (name === undefined) return reject('attributeMissing');
  const info = attributes.value.get(IFLA_LINKINFO);
  const details = info === undefined ? undefined : parseAttributes(info, 0);
  const kind = details?.ok === true ? details.value.get(IFLA_INFO_KIND) : undefined;
  return accept({
    index: view.getInt32(4, true),
    name: textOf(name),
    macAddress: attributes.value.get(IFLA_ADDRESS)?.slice() ?? new Uint8Array(0),
    mtu: u32Of(attributes.value, IFLA_MTU) ?? 0,
    up: (flags & IFF_UP) !== 0,
    running: (flags & IFF_RUNNING) !== 0,
    ...(kind === undefined ? {} : { kind: textOf(kind) }),
  });
}

/** The payload of RTM_NEWADDR and RTM_DELADDR. */
export function parseInterfaceAddress(payload: Uint8Array): Result<InterfaceAddress, RtnetlinkParseReason> {
  if (payload.length < ifaddrmsgLength) return reject('structureTruncated');
  const length = addressLength(payload[0]!);
  if (length === undefined) return reject('otherFamily');
  const attributes = parseAttributes(payload, ifaddrmsgLength);
  if (!attributes.ok) return attributes;
  // On a point-to-point link IFA_ADDRESS is the peer's; the own address is IFA_LOCAL, which IPv6 leaves out elsewhere.
  const bytes = attributes.value.get(IFA_LOCAL) ?? attributes.value.get(IFA_ADDRESS);
  if (bytes?.length !== length) return reject('attributeMissing');
  return accept({
    interfaceIndex: viewOf(payload).getUint32(4, true),
    address: ipAddressFromBytes(bytes),
    prefixLength: payload[1]!,
    secondary: (payload[2]! & IFA_F_SECONDARY) !== 0,
    linkLocal: payload[3]! >= RT_SCOPE_LINK,
    tentative: (payload[2]! & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) !== 0,
    permanent: (payload[2]! & IFA_F_PERMANENT) !== 0,
  });
}

/** The payload of RTM_NEWROUTE and RTM_DELROUTE. */
export function parseRoute(payload: Uint8Array): Result<RouteDetail, RtnetlinkParseReason> {
  if (payload.length < rtmsgLength) return reject('structureTruncated');
  const length = addressLength(payload[0]!);
  if (length === undefined) return reject('otherFamily');
  const parsed = parseAttributes(payload, rtmsgLength);
  if (!parsed.ok) return parsed;
  const attributes = parsed.value;
  const destination = attributes.get(RTA_DST)?.slice() ?? new Uint8Array(length);
  const prefixLength = payload[1]!;
  if (destination.length !== length || prefixLength > length * 8) return reject('attributeMissing');
  const flags = viewOf(payload).getUint32(8, true);
  const hops = hopsOf(attributes, flags);
  return accept({
    table: u32Of(attributes, RTA_TABLE) ?? payload[4]!,
    family: length === 4 ? 'ipv4' : 'ipv6',
    destination,
    prefixLength,
    metric: u32Of(attributes, RTA_PRIORITY) ?? 0,
    unicast: payload[7] === RTN_UNICAST,
    hops: hops.filter(({ alive }) => alive).map(({ hop }) => hop),
    type: payload[7]!,
    typeOfService: payload[3]!,
    sourcePrefixLength: payload[2]!,
    cloned: (flags & RTM_F_CLONED) !== 0,
    mtu: mtuOf(attributes),
    allHops: hops.map(({ hop }) => hop),
  });
}

/** The payload of RTM_NEWNEIGH and RTM_DELNEIGH. */
export function parseNeighbour(payload: Uint8Array): Result<Neighbour, RtnetlinkParseReason> {
  if (payload.length < ndmsgLength) return reject('structureTruncated');
  const length = addressLength(payload[0]!);
  if (length === undefined) return reject('otherFamily');
  const attributes = parseAttributes(payload, ndmsgLength);
  if (!attributes.ok) return attributes;
  const address = attributes.value.get(NDA_DST);
  if (address?.length !== length) return reject('attributeMissing');
  const view = viewOf(payload);
  return accept({
    interfaceIndex: view.getInt32(4, true),
    address: ipAddressFromBytes(address),
    state: view.getUint16(8, true),
    macAddress: attributes.value.get(NDA_LLADDR)?.slice() ?? new Uint8Array(0),
  });
}

export function familyNumber(family: Family): number {
  return family === 'ipv6' ? AF_INET6 : AF_INET;
}

interface FoundHop {
  readonly hop: RouteHop;
  readonly alive: boolean;
}

function hopsOf(attributes: Attributes, flags: number): FoundHop[] {
  const multipath = attributes.get(RTA_MULTIPATH);
  if (multipath !== undefined) return multipathHops(multipath);
  const interfaceIndex = u32Of(attributes, RTA_OIF);
  if (interfaceIndex === undefined) return [];
  return [{ hop: { interfaceIndex, gateway: gatewayOf(attributes) }, alive: isAlive(flags) }];
}

function multipathHops(bytes: Uint8Array): FoundHop[] {
  const view = viewOf(bytes);
  const hops: FoundHop[] = [];
  for (let at = 0; bytes.length - at >= rtnexthopLength; ) {
    const length = view.getUint16(at, true);
    if (length < rtnexthopLength || length > bytes.length - at) break;
    const attributes = parseAttributes(bytes.subarray(at, at + length), rtnexthopLength);
    if (attributes.ok) {
      const hop = { interfaceIndex: view.getInt32(at + 4, true), gateway: gatewayOf(attributes.value) };
      hops.push({ hop, alive: isAlive(bytes[at + 2]!) });
    }
    at += align(length);
  }
  return hops;
}

function mtuOf(attributes: Attributes): number {
  const metrics = attributes.get(RTA_METRICS);
  const parsed = metrics && parseAttributes(metrics, 0);
  return parsed?.ok ? (u32Of(parsed.value, RTAX_MTU) ?? 0) : 0;
}

function gatewayOf(attributes: Attributes): IpAddress | undefined {
  // RTA_VIA carries its own family (a u16) before the address: an IPv4 route through an IPv6 neighbour.
  const bytes = attributes.get(RTA_GATEWAY) ?? attributes.get(RTA_VIA)?.subarray(2);
  return bytes?.length === 4 || bytes?.length === 16 ? ipAddressFromBytes(bytes) : undefined;
}

function isAlive(flags: number): boolean {
  return (flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) === 0;
}

function addressLength(family: number): 4 | 16 | undefined {
  if (family === AF_INET) return 4;
  return family === AF_INET6 ? 16 : undefined;
}

function u32Of(attributes: Attributes, type: number): number | undefined {
  const bytes = attributes.get(type);
  return bytes?.length === 4 ? viewOf(bytes).getUint32(0, true) : undefined;
}

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(bytes.subarray(0, end < 0 ? bytes.length : end)).toString('utf8');
}

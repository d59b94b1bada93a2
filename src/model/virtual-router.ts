// SPDX-License-Identifier: Apache-2.0
import type { Family, IpAddress } from '../lib/ip-address.ts';

export interface VirtualAddress {
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** The interface that carries it. */
  readonly interface: string;
  /** `brd`: IFA_BROADCAST. */
  readonly broadcast?: IpAddress;
  /** `scope`: the number of rt_scopes, 0 for global. */
  readonly scope?: number;
  /** `label`: IFA_LABEL, at most 15 characters. */
  readonly label?: string;
}

/** When and how often a takeover is announced by gratuitous ARP. keepalived's defaults: 5 at once, 5 more after 5 s. */
export interface AnnouncementPolicy {
  /** garp_master_repeat: how many at once. */
  readonly repeat: number;
  /** garp_master_delay: after how long the second set goes out; 0 for none. */
  readonly delayMs: number;
  /** garp_master_refresh: the period of repeated announcements while active; 0 for none. */
  readonly refreshMs: number;
  /** garp_master_refresh_repeat. */
  readonly refreshRepeat: number;
  /** garp_interval: the gap between two announcements on one interface; 0 sends a set in one go. */
  readonly intervalMs: number;
}

/**
 * The bytes that a version 3 checksum over IPv4 covers. Deployed routers disagree: keepalived and FRR include a
 * pseudo-header, as they read RFC 5798; Cisco and Juniper sum the message alone, as RFC 9568 section 5.2.8 says.
 */
export type ChecksumForm = 'pseudo-header' | 'message-only';

/** The priority of the router that owns the addresses (RFC 9568 section 5.2.4). */
export const ownerPriority = 255;

/** The groups that advertisements go to when no unicast peer is named (RFC 9568 sections 5.1.1.2 and 5.1.2.2). */
export const vrrpGroups = {
  ipv4: '224.0.0.18' as IpAddress,
  ipv6: 'ff02::12' as IpAddress,
} as const satisfies Record<Family, IpAddress>;

/** One `vrrp_instance`: a director's configuration of one virtual router. */
export interface VirtualRouter {
  readonly name: string;
  readonly interface: string;
  readonly family: Family;
  /** 1..255. */
  readonly vrid: number;
  readonly version: 2 | 3;
  /** As configured: 1..255, where 255 is the address owner. */
  readonly priority: number;
  /** Milliseconds; a multiple of 10 in version 3 (centiseconds on the wire), of 1000 in version 2. */
  readonly advertIntervalMs: number;
  /** `max_adopted_interval`: see vrrp/adoption.ts. Absent: ten times `advertIntervalMs`. */
  readonly maxAdoptedIntervalMs?: number;
  readonly startAs: 'active' | 'backup';
  readonly preempt: boolean;
  readonly preemptDelayMs: number;
  readonly addresses: readonly VirtualAddress[];
  readonly announcement: AnnouncementPolicy;
  /** `unicast_src_ip` (or mcast_src_ip): the source of its advertisements, instead of the interface's primary address. */
  readonly sourceAddress?: IpAddress;
  /** `unicast_peer`: advertisements go to each of these, and only theirs are taken. Absent: the multicast group. */
  readonly unicastPeers?: readonly UnicastPeer[];
  /**
   * The real servers behind its addresses: while no route leads to any of them it cannot take part. Absent: none, or their
   * routes are not tracked.
   */
  readonly realServers?: readonly IpAddress[];
  /** `message-only` is `v3_checksum_as_v2`. Absent: `pseudo-header`. */
  readonly checksumForm?: ChecksumForm;
}

export interface UnicastPeer {
  readonly address: IpAddress;
  /** Least and greatest TTL or hop limit accepted from it, 0..255. */
  readonly minTtl: number;
  readonly maxTtl: number;
}

/**
 * Names a virtual router on this host: a VRID means nothing beyond its interface, and IPv4 and IPv6 have each their own
 * (RFC 9568 section 5.2.3). Two configurations with the same key speak of the same virtual router.
 */
export function routerKey({
  interface: name,
  family,
  vrid,
}: Pick<VirtualRouter, 'interface' | 'family' | 'vrid'>): string {
  return `${name} ${family} ${vrid}`;
}

/** Its virtual addresses alone, in the order of the configuration. */
export function addressesOf({ addresses }: Pick<VirtualRouter, 'addresses'>): IpAddress[] {
  return addresses.map(({ address }) => address);
}

/**
 * The virtual addresses that this host has only while it is active, so that it never speaks from them: a peer would have
 * the same source after a takeover. Those of an address owner are its own.
 */
export function borrowedAddresses(routers: readonly VirtualRouter[]): ReadonlySet<IpAddress> {
  return new Set(routers.filter(({ priority }) => priority !== ownerPriority).flatMap(addressesOf));
}

/** RFC 9568 section 6.4 and keepalived's FAULT. */
export type VirtualRouterState = 'initialize' | 'backup' | 'active' | 'fault';

/** The words of the `state` column, for people who know keepalived. */
export const keepalivedStateNames = {
  initialize: 'INIT',
  backup: 'BACKUP',
  active: 'MASTER',
  fault: 'FAULT',
} as const satisfies Record<VirtualRouterState, string>;

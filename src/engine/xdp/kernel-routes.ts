// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../../lib/ip-address.ts';
import type { Prefix } from '../../lib/prefix.ts';

// The kernel's links, routes and neighbours, from which next hops are computed. The follower of the kernel
// (src/platform/linux/netlink/route-follower.ts) reports in these terms.

export interface KernelLink {
  readonly interfaceIndex: number;
  readonly name: string;
  /** 6 bytes on Ethernet; anything else cannot carry a next hop. */
  readonly macAddress: Uint8Array;
  readonly mtu: number;
  /** The link is up and has a carrier. */
  readonly up: boolean;
}

export interface KernelHop {
  readonly interfaceIndex: number;
  /** Undefined: the destination is on the link. Of either family: IPv4 may go through an IPv6 neighbour (RFC 5549). */
  readonly gateway: IpAddress | undefined;
}

export interface KernelRoute {
  /** `unreachable`: blackhole, prohibit, local, broadcast and all other types that lead to no neighbour. */
  readonly kind: 'unicast' | 'unreachable';
  readonly metric: number;
  /** More than one: multipath. Whether their links are up is not considered here. */
  readonly hops: readonly KernelHop[];
  /** The route's own MTU; 0 when it has none. */
  readonly mtu: number;
}

/**
 * `usable`: REACHABLE, DELAY, PROBE, NOARP, PERMANENT. `stale`: usable, but unconfirmed, and the kernel may forget it.
 * `unresolved`: NONE, INCOMPLETE, FAILED.
 */
export type NeighbourState = 'usable' | 'stale' | 'unresolved';

export interface KernelNeighbour {
  readonly interfaceIndex: number;
  readonly address: IpAddress;
  readonly state: NeighbourState;
  /** 6 bytes unless `unresolved`. */
  readonly macAddress: Uint8Array;
}

export type KernelEvent =
  | { readonly kind: 'link'; readonly link: KernelLink }
  | { readonly kind: 'linkGone'; readonly interfaceIndex: number }
  /** All links that there are: any other is gone. */
  | { readonly kind: 'links'; readonly links: readonly KernelLink[] }
  /**
   * All routes to one prefix (host bits zero), the one that the kernel prefers first. They replace those that were known.
   * Empty: there is none any more.
   */
  | { readonly kind: 'routes'; readonly prefix: Prefix; readonly routes: readonly KernelRoute[] }
  | { readonly kind: 'neighbour'; readonly neighbour: KernelNeighbour }
  | { readonly kind: 'neighbourGone'; readonly interfaceIndex: number; readonly address: IpAddress }
  /** All neighbours that there are: any other is gone. */
  | { readonly kind: 'neighbours'; readonly neighbours: readonly KernelNeighbour[] };

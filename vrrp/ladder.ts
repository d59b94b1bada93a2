// SPDX-License-Identifier: Apache-2.0
import { type Family, familyOf, type IpAddress } from '../src/lib/ip-address.ts';
import { accept, type Result, reject } from '../src/lib/result.ts';
import { addressesOf, ownerPriority, type VirtualRouter, vrrpGroups } from '../src/model/virtual-router.ts';
import {
  type Advertisement,
  type Endpoints,
  type PacketRejection,
  packetRejections,
  parseAdvertisement,
} from './packet.ts';
import type { LocalRouter } from './state.ts';

/** A VRRP message with what its IP header said. */
export interface Datagram extends Endpoints {
  /** TTL or hop limit. Negative when it is unknown, but known not to be one that may be accepted from the sender. */
  readonly ttl: number;
  readonly message: Uint8Array;
}

export interface Admitted {
  readonly router: LocalRouter;
  readonly advertisement: Advertisement;
  /** The sender has other addresses configured than this router, which should be logged: RFC 9568 section 7.1. */
  readonly addressListDiffers: boolean;
}

/**
 * The checks in their order. A datagram is discarded at the first one that it fails, and counted there.
 *
 *  1 family-mixed         source and destination of different families
 *  2 ttl                  to the group, other than 255                      RFC 9568 5.1.1.3, 5.1.2.3, 7.1; RFC 3768 7.1
 *  3 too-short            less than the fixed fields                        RFC 9568 7.1
 *  4 version-unsupported  neither 2 nor 3                                   RFC 9568 7.1
 *  5 type-unknown         other than advertisement                          RFC 9568 5.2.2, 7.1
 *  6 incomplete           fewer addresses than it says                      RFC 9568 7.1
 *  7 trailing-bytes       more than it says
 *  8 checksum             in neither form                                   RFC 9568 5.2.8, 7.1
 *  9 vrid-unknown         not configured on this interface and family       RFC 9568 7.1 (with erratum 8298)
 * 10 not-a-peer           unicast from an address that is no peer, or to the group where peers are configured
 *    ttl                  unicast, outside the range configured for the peer
 * 11 version-mismatch     the virtual router speaks the other version       RFC 9568 7.1
 * 12 looped-back          from this router's own primary address
 * 13 address-count        no addresses                                      RFC 9568 5.2.5 (with erratum 8299)
 * 14 authentication       version 2 with any type but none                  RFC 3768 5.3.6, 7.1
 * 15 interval-zero        version 3                                         RFC 9568 7.1 (with erratum 8301)
 * 16 interval-mismatch    version 2                                         RFC 3768 7.1
 * 17 address-list         version 2, differs and not from the owner         RFC 3768 7.1
 *
 * The TTL of a unicast datagram is checked only after its VRID, because the range belongs to a peer of the virtual
 * router. RFC 9568 has no unicast: the TTL range, and the unicast destination in the checksum's pseudo-header, are
 * keepalived's (vrrp.c: vrrp_check_packet).
 *
 * In version 3 a different address list is admitted and only reported (RFC 9568 section 7.1 says MAY verify, SHOULD
 * log): two directors of which one has reloaded its configuration already must go on hearing each other.
 */
export const rejectionReasons = [
  'family-mixed',
  'ttl',
  ...packetRejections,
  'vrid-unknown',
  'not-a-peer',
  'version-mismatch',
  'looped-back',
  'address-count',
  'authentication',
  'interval-zero',
  'interval-mismatch',
  'address-list',
] as const;
export type RejectionReason = (typeof rejectionReasons)[number];
export type RejectionCounters = Record<RejectionReason, number>;

const requiredTtl = 255;

/** Makes every check. `find` gives the virtual router with a VRID on the receiving interface, if there is one. */
export function climbLadder(
  datagram: Datagram,
  find: (vrid: number, family: Family) => LocalRouter | undefined,
): Result<Admitted, RejectionReason> {
  const family = familyOf(datagram.source);
  if (familyOf(datagram.destination) !== family) return reject('family-mixed');
  const toGroup = datagram.destination === vrrpGroups[family];
  if (toGroup ? datagram.ttl !== requiredTtl : datagram.ttl < 0) return reject('ttl');
  const parsed: Result<Advertisement, PacketRejection> = parseAdvertisement(datagram.message, datagram);
  if (!parsed.ok) return parsed;
  const local = find(parsed.value.vrid, family);
  if (local === undefined) return reject('vrid-unknown');
  const stray = toGroup ? checkGroup(local.router) : checkPeer(datagram, local.router);
  if (stray !== undefined) return reject(stray);
  return admit(parsed.value, datagram.source, local);
}

export function zeroRejections(): RejectionCounters {
  return Object.fromEntries(rejectionReasons.map((reason) => [reason, 0])) as RejectionCounters;
}

function checkGroup({ unicastPeers }: VirtualRouter): 'not-a-peer' | undefined {
  return unicastPeers === undefined || unicastPeers.length === 0 ? undefined : 'not-a-peer';
}

function checkPeer({ source, ttl }: Datagram, { unicastPeers }: VirtualRouter): 'not-a-peer' | 'ttl' | undefined {
  const peer = unicastPeers?.find(({ address }) => address === source);
  if (peer === undefined) return 'not-a-peer';
  return ttl < peer.minTtl || ttl > peer.maxTtl ? 'ttl' : undefined;
}

function admit(advertisement: Advertisement, source: IpAddress, local: LocalRouter): Result<Admitted, RejectionReason> {
  const { version, intervalMs, priority } = advertisement;
  const { router, primaryAddress } = local;
  if (version !== router.version) return reject('version-mismatch');
  if (source === primaryAddress) return reject('looped-back');
  if (advertisement.addresses.length === 0) return reject('address-count');
  if (version === 2 && advertisement.authenticationType !== 0) return reject('authentication');
  if (version === 3 && intervalMs === 0) return reject('interval-zero');
  if (version === 2 && intervalMs !== router.advertIntervalMs) return reject('interval-mismatch');
  const addressListDiffers = !sameAddresses(advertisement.addresses, addressesOf(router));
  if (version === 2 && addressListDiffers && priority !== ownerPriority) return reject('address-list');
  return accept({ router: local, advertisement, addressListDiffers });
}

/** In any order; in the same one, as peers mostly have them, at the cost of one comparison for each. */
function sameAddresses(left: readonly IpAddress[], right: readonly IpAddress[]): boolean {
  if (left.length !== right.length) return false;
  if (left.every((address, i) => address === right[i])) return true;
  const known = new Set(right);
  return left.every((address) => known.has(address));
}

// SPDX-License-Identifier: Apache-2.0
import type { AddressAttributes, AddressKeeper } from '../../../director/ports.ts';
import { familyOf, type IpAddress, ipAddressBytes } from '../../../lib/ip-address.ts';
import { errnos, SystemError } from '../system-error.ts';
import { findInterfaceIndex } from './interface-facts.ts';
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, viewOf } from './message.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import {
  familyNumber,
  IFA_ADDRESS,
  IFA_BROADCAST,
  IFA_CACHEINFO,
  IFA_F_NODAD,
  IFA_LABEL,
  IFA_LOCAL,
  ifaddrmsgLength,
  RTM_DELADDR,
  RTM_NEWADDR,
} from './rtnetlink.ts';

/**
 * The kernel removes an address by itself after this many seconds unless it is renewed, as a lease ends for a packet
 * engine. A director whose processes were killed cannot remove its addresses, and its kernel would go on answering for
 * them beside the next active director.
 */
const lifetimeSeconds = 3;
/** Renewing goes on for at most this long before the event loop turns to something else, and rests after that. */
const sliceMs = 3;
const restMs = 5;
/** How often `renew` must be called. */
export const renewalPeriodMs = 1000;

interface Place {
  readonly address: IpAddress;
  readonly prefixLength: number;
  readonly interface: string;
  readonly attributes: AddressAttributes;
}

/** Puts virtual addresses on interfaces by rtnetlink. The kernel has answered each call when it returns. */
export class RtnetlinkAddressKeeper implements AddressKeeper {
  readonly #netlink = new NetlinkSocket();
  readonly #held = new Map<string, Place>();
  #renewedAtMs = performance.now();
  /** What is left of the present round. */
  #due: Place[] = [];
  #resting: NodeJS.Timeout | undefined;

  add(address: IpAddress, prefixLength: number, interfaceName: string, attributes: AddressAttributes = {}): void {
    const place: Place = { address, prefixLength, interface: interfaceName, attributes };
    const error = this.#change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, place);
    if (error !== 0 && error !== errnos.EEXIST) {
      throw new SystemError('RTM_NEWADDR', error, `add ${address}/${prefixLength} to ${interfaceName}`);
    }
    this.#held.set(keyOf(place), place);
  }

  /**
   * Gives every address that it keeps its full lifetime again; many of them in slices, so that advertisements go on
   * meanwhile. An address that fails is tried at the next call. A process that stood still for longer than the lifetime
   * puts nothing back: a peer has taken over.
   */
  renew(): void {
    if (this.#due.length === 0) this.#due = [...this.#held.values()];
    this.#renewSome();
  }

  #renewSome(): void {
    clearTimeout(this.#resting);
    const standstillMs = performance.now() - this.#renewedAtMs;
    this.#renewedAtMs += standstillMs;
    if (standstillMs >= lifetimeSeconds * 1000) this.#due = [];
    const untilMs = this.#renewedAtMs + sliceMs;
    for (let place = this.#due.pop(); place !== undefined; place = this.#due.pop()) {
      if (this.#held.get(keyOf(place)) === place) this.#change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, place);
      if (performance.now() >= untilMs) break;
    }
    if (this.#due.length > 0) this.#resting = setTimeout(() => this.#renewSome(), restMs);
  }

  remove(address: IpAddress, prefixLength: number, interfaceName: string): void {
    const place: Place = { address, prefixLength, interface: interfaceName, attributes: {} };
    this.#held.delete(keyOf(place));
    const error = this.#change(RTM_DELADDR, 0, place);
    // ENODEV: its addresses went with the interface.
    if (error === 0 || error === errnos.EADDRNOTAVAIL || error === errnos.ENODEV) return;
    throw new SystemError('RTM_DELADDR', error, `remove ${address}/${prefixLength} from ${interfaceName}`);
  }

  close(): void {
    clearTimeout(this.#resting);
    this.#netlink.close();
  }

  /** Returns the errno with which the kernel refused, or 0. */
  #change(type: number, flags: number, place: Place): number {
    const { address, prefixLength, attributes } = place;
    const index = findInterfaceIndex(this.#netlink, place.interface);
    if (index === undefined) return errnos.ENODEV;
    const family = familyOf(address);
    const fixed = new Uint8Array(ifaddrmsgLength);
    fixed[0] = familyNumber(family);
    fixed[1] = prefixLength;
    // Duplicate address detection would keep the address unusable for a second, and the peer may still be leaving.
    fixed[2] = family === 'ipv6' ? IFA_F_NODAD : 0;
    fixed[3] = attributes.scope ?? 0;
    viewOf(fixed).setUint32(4, index, true);
    const bytes = ipAddressBytes(address);
    // A host address that is not preferred is no source for what this host sends by itself (RFC 6724 section 5 rule 3):
    // health checks would otherwise come from an address that moves. keepalived does the same (vrrp_ipaddress.c).
    // struct ifa_cacheinfo { u32 preferred, valid, created, updated; }
    const preferred = family === 'ipv6' && prefixLength === 128 ? 0 : lifetimeSeconds;
    const lifetime = new Uint8Array(Uint32Array.of(preferred, lifetimeSeconds, 0, 0).buffer);
    const { broadcast, label } = attributes;
    return this.#netlink.request(type, flags, fixed, [
      [IFA_LOCAL, bytes],
      [IFA_ADDRESS, bytes],
      [IFA_CACHEINFO, lifetime],
      ...(broadcast === undefined ? [] : [[IFA_BROADCAST, ipAddressBytes(broadcast)] as const]),
      ...(label === undefined ? [] : [[IFA_LABEL, Buffer.from(`${label}\0`)] as const]),
    ]);
  }
}

function keyOf({ address, prefixLength, interface: name }: Place): string {
  return `${address}/${prefixLength} ${name}`;
}

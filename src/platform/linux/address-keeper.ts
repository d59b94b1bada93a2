// SPDX-License-Identifier: Apache-2.0
import type { AddressKeeper } from '../../director/ports.ts';
import { familyOf, type IpAddress, ipAddressBytes } from '../../lib/ip-address.ts';
import { findInterfaceIndex } from './interface-facts.ts';
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, viewOf } from './netlink-message.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import {
  familyNumber,
  IFA_ADDRESS,
  IFA_CACHEINFO,
  IFA_F_NODAD,
  IFA_LOCAL,
  ifaddrmsgLength,
  RTM_DELADDR,
  RTM_NEWADDR,
} from './rtnetlink.ts';
import { errnos, SystemError } from './system-error.ts';

/**
 * The kernel takes an address away by itself after this many seconds unless it is renewed: what is to a packet engine
 * its lease. A director whose processes were killed at once cannot take its addresses off, and its kernel would go on
 * answering for them beside the next active director.
 */
const lifetimeSeconds = 3;
/** How often `renew` wants to be called. */
export const renewalPeriodMs = 1000;

/** Virtual addresses on interfaces, by rtnetlink. Each call is done when it returns. */
export class RtnetlinkAddressKeeper implements AddressKeeper {
  readonly #netlink = new NetlinkSocket();
  readonly #held = new Map<string, readonly [IpAddress, number, string]>();
  #renewedAtMs = performance.now();

  add(address: IpAddress, prefixLength: number, interfaceName: string): void {
    const purpose = `add ${address}/${prefixLength} to ${interfaceName}`;
    const index = findInterfaceIndex(this.#netlink, interfaceName);
    if (index === undefined) throw new SystemError('RTM_NEWADDR', errnos.ENODEV, purpose);
    const error = this.#change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, address, prefixLength, index);
    if (error !== 0 && error !== errnos.EEXIST) throw new SystemError('RTM_NEWADDR', error, purpose);
    this.#held.set(`${address}/${prefixLength} ${interfaceName}`, [address, prefixLength, interfaceName]);
  }

  /**
   * Gives every address that was added and not removed its full lifetime again. What fails is tried at the next call.
   * A process that stood still for longer than that puts nothing back: a peer has taken over.
   */
  renew(): void {
    const standstillMs = performance.now() - this.#renewedAtMs;
    this.#renewedAtMs += standstillMs;
    if (standstillMs >= lifetimeSeconds * 1000) return;
    for (const [address, prefixLength, interfaceName] of this.#held.values()) {
      const index = findInterfaceIndex(this.#netlink, interfaceName);
      if (index !== undefined) this.#change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, address, prefixLength, index);
    }
  }

  remove(address: IpAddress, prefixLength: number, interfaceName: string): void {
    this.#held.delete(`${address}/${prefixLength} ${interfaceName}`);
    const index = findInterfaceIndex(this.#netlink, interfaceName);
    // Its addresses went with the interface.
    if (index === undefined) return;
    const error = this.#change(RTM_DELADDR, 0, address, prefixLength, index);
    if (error === 0 || error === errnos.EADDRNOTAVAIL || error === errnos.ENODEV) return;
    throw new SystemError('RTM_DELADDR', error, `remove ${address}/${prefixLength} from ${interfaceName}`);
  }

  close(): void {
    this.#netlink.close();
  }

  #change(type: number, flags: number, address: IpAddress, prefixLength: number, index: number): number {
    const family = familyOf(address);
    const fixed = new Uint8Array(ifaddrmsgLength);
    fixed[0] = familyNumber(family);
    fixed[1] = prefixLength;
    // Duplicate address detection would keep the address unusable for a second, and the peer may still be leaving.
    fixed[2] = family === 'ipv6' ? IFA_F_NODAD : 0;
    viewOf(fixed).setUint32(4, index, true);
    const bytes = ipAddressBytes(address);
    // struct ifa_cacheinfo { u32 preferred, valid, created, updated; }
    const lifetime = new Uint8Array(Uint32Array.of(lifetimeSeconds, lifetimeSeconds, 0, 0).buffer);
    return this.#netlink.request(type, flags, fixed, [
      [IFA_LOCAL, bytes],
      [IFA_ADDRESS, bytes],
      [IFA_CACHEINFO, lifetime],
    ]);
  }
}

// SPDX-License-Identifier: Apache-2.0
import type { AddressKeeper } from '../../director/ports.ts';
import { familyOf, type IpAddress, ipAddressBytes } from '../../lib/ip-address.ts';
import { findInterfaceIndex } from './interface-facts.ts';
import { NLM_F_CREATE, NLM_F_EXCL, viewOf } from './netlink-message.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import {
  familyNumber,
  IFA_ADDRESS,
  IFA_F_NODAD,
  IFA_LOCAL,
  ifaddrmsgLength,
  RTM_DELADDR,
  RTM_NEWADDR,
} from './rtnetlink.ts';
import { errnos, SystemError } from './system-error.ts';

/** Virtual addresses on interfaces, by rtnetlink. Each call is done when it returns. */
export class RtnetlinkAddressKeeper implements AddressKeeper {
  readonly #netlink = new NetlinkSocket();

  add(address: IpAddress, prefixLength: number, interfaceName: string): void {
    const purpose = `add ${address}/${prefixLength} to ${interfaceName}`;
    const index = findInterfaceIndex(this.#netlink, interfaceName);
    if (index === undefined) throw new SystemError('RTM_NEWADDR', errnos.ENODEV, purpose);
    const error = this.#change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, address, prefixLength, index);
    if (error !== 0 && error !== errnos.EEXIST) throw new SystemError('RTM_NEWADDR', error, purpose);
  }

  remove(address: IpAddress, prefixLength: number, interfaceName: string): void {
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
    return this.#netlink.request(type, flags, fixed, [
      [IFA_LOCAL, bytes],
      [IFA_ADDRESS, bytes],
    ]);
  }
}

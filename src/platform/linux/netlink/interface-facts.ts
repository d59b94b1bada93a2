// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { type Family, familyOf, type IpAddress } from '../../../lib/ip-address.ts';
import { errnos, SystemError } from '../system-error.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import {
  familyNumber,
  IFLA_IFNAME,
  type InterfaceAddress,
  ifaddrmsgLength,
  ifinfomsgLength,
  type Link,
  parseInterfaceAddress,
  parseLink,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_NEWADDR,
} from './rtnetlink.ts';

export interface InterfaceFacts extends Link {
  /** In the kernel's order: the primary address of a subnet before its secondaries. */
  readonly addresses: readonly InterfaceAddress[];
  /** net.ipv4.conf.NAME.forwarding: the kernel forwards IPv4 packets that arrive here. */
  readonly forwarding: boolean;
  /** net.ipv6.conf.NAME.forwarding: the same for IPv6; it is then a router to its neighbours. */
  readonly forwardingIpv6: boolean;
}

// linux/if.h: IFNAMSIZ, which includes the closing zero.
const nameLengthMax = 15;

/** Reads an interface's facts from the kernel. Throws one sentence when there is none of that name. */
export function interfaceFacts(name: string): InterfaceFacts {
  const netlink = new NetlinkSocket();
  try {
    const link = linkByName(netlink, name);
    return {
      ...link,
      addresses: addressesOf(netlink, link.index),
      forwarding: forwardingOf(name, 'ipv4'),
      forwardingIpv6: forwardingOf(name, 'ipv6'),
    };
  } finally {
    netlink.close();
  }
}

/** The index of an interface now; undefined when there is none of that name. */
export function findInterfaceIndex(netlink: NetlinkSocket, name: string): number | undefined {
  return queryLink(netlink, name)?.index;
}

/**
 * The address that the interface's own packets come from: the first primary one. In IPv6 it is a link-local one that is
 * not tentative; a permanent one is preferred, because virtual addresses are put on interfaces with a lifetime. Never
 * one of the `virtualAddresses`; an own address that came after one of them in its subnet is secondary to it.
 */
export function primaryAddress(
  facts: InterfaceFacts,
  family: Family,
  virtualAddresses: ReadonlySet<IpAddress> = new Set(),
): InterfaceAddress | undefined {
  const candidates = facts.addresses.filter(
    ({ address }) => familyOf(address) === family && !virtualAddresses.has(address),
  );
  if (family === 'ipv4') return candidates.find(({ secondary }) => !secondary) ?? candidates[0];
  const usable = candidates.filter(({ linkLocal, tentative }) => linkLocal && !tentative);
  return usable.find(({ permanent }) => permanent) ?? usable[0];
}

function linkByName(netlink: NetlinkSocket, name: string): Link {
  const link = queryLink(netlink, name);
  if (link === undefined) {
    throw new Error(`there is no interface ${name}; create it, or correct the name in the configuration`);
  }
  return link;
}

function queryLink(netlink: NetlinkSocket, name: string): Link | undefined {
  if (name.length === 0 || Buffer.byteLength(name) > nameLengthMax) return undefined;
  const answer = netlink.query(RTM_GETLINK, new Uint8Array(ifinfomsgLength), [[IFLA_IFNAME, Buffer.from(`${name}\0`)]]);
  if (answer === errnos.ENODEV) return undefined;
  if (typeof answer === 'number') throw new SystemError('sendto', answer, `look up interface ${name}`);
  const link = parseLink(answer.payload);
  if (!link.ok) throw new Error(`the kernel's description of interface ${name} cannot be read (${link.reason})`);
  return link.value;
}

function addressesOf(netlink: NetlinkSocket, interfaceIndex: number): InterfaceAddress[] {
  const addresses: InterfaceAddress[] = [];
  for (const family of ['ipv4', 'ipv6'] as const) {
    const before = addresses.length;
    const request = new Uint8Array(ifaddrmsgLength);
    request[0] = familyNumber(family);
    const restart = (): void => {
      addresses.length = before;
    };
    netlink.dump(RTM_GETADDR, request, restart, (message) => {
      const parsed = message.type === RTM_NEWADDR ? parseInterfaceAddress(message.payload) : undefined;
      if (parsed?.ok && parsed.value.interfaceIndex === interfaceIndex) addresses.push(parsed.value);
    });
  }
  return addresses;
}

function forwardingOf(name: string, family: Family): boolean {
  try {
    // A dot in the name is written as it is: the path is a directory name, not a sysctl key.
    return readFileSync(`/proc/sys/net/${family}/conf/${name}/forwarding`, 'latin1').trim() !== '0';
  } catch {
    return false;
  }
}

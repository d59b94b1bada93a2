// SPDX-License-Identifier: Apache-2.0
import type { Family, IpAddress } from '../../../lib/ip-address.ts';
import { ipAddressBytes } from '../../../lib/ip-address.ts';
import { int32 } from '../libc.ts';

/** One socket option. Its name is used in error messages. */
export interface SocketOption {
  readonly name: string;
  readonly level: number;
  readonly option: number;
  readonly value: Uint8Array;
}

// linux/in.h
const IPPROTO_IP = 0;
const IP_MULTICAST_IF = 32;
const IP_MULTICAST_TTL = 33;
const IP_MULTICAST_LOOP = 34;
const IP_ADD_MEMBERSHIP = 35;
const IP_MULTICAST_ALL = 49;

// linux/in6.h
export const IPPROTO_IPV6 = 41;
const IPV6_MULTICAST_IF = 17;
const IPV6_MULTICAST_HOPS = 18;
const IPV6_MULTICAST_LOOP = 19;
export const IPV6_ADD_MEMBERSHIP = 20;
export const IPV6_DROP_MEMBERSHIP = 21;
const IPV6_MULTICAST_ALL = 29;

/**
 * The options with which a socket sends to a multicast group through one interface and receives it there: membership,
 * outgoing interface (and, in IPv4, source), TTL, no loop, and no groups that other processes joined.
 */
export function multicastOptions(
  family: Family,
  membership: { group: IpAddress; interfaceIndex: number; source: IpAddress; ttl: number },
): SocketOption[] {
  const { group, interfaceIndex, source, ttl } = membership;
  if (family === 'ipv6') {
    const level = IPPROTO_IPV6;
    // struct ipv6_mreq { struct in6_addr multiaddr; int ifindex; }
    const request = new Uint8Array([...ipAddressBytes(group), ...int32(interfaceIndex)]);
    return [
      { name: 'IPV6_MULTICAST_ALL', level, option: IPV6_MULTICAST_ALL, value: int32(0) },
      { name: 'IPV6_MULTICAST_IF', level, option: IPV6_MULTICAST_IF, value: int32(interfaceIndex) },
      { name: 'IPV6_MULTICAST_HOPS', level, option: IPV6_MULTICAST_HOPS, value: int32(ttl) },
      { name: 'IPV6_MULTICAST_LOOP', level, option: IPV6_MULTICAST_LOOP, value: int32(0) },
      { name: 'IPV6_ADD_MEMBERSHIP', level, option: IPV6_ADD_MEMBERSHIP, value: request },
    ];
  }
  const level = IPPROTO_IP;
  // struct ip_mreqn { struct in_addr multiaddr, address; int ifindex; }
  const request = new Uint8Array([...ipAddressBytes(group), ...ipAddressBytes(source), ...int32(interfaceIndex)]);
  return [
    { name: 'IP_MULTICAST_ALL', level, option: IP_MULTICAST_ALL, value: int32(0) },
    { name: 'IP_MULTICAST_IF', level, option: IP_MULTICAST_IF, value: request },
    { name: 'IP_MULTICAST_TTL', level, option: IP_MULTICAST_TTL, value: int32(ttl) },
    { name: 'IP_MULTICAST_LOOP', level, option: IP_MULTICAST_LOOP, value: int32(0) },
    { name: 'IP_ADD_MEMBERSHIP', level, option: IP_ADD_MEMBERSHIP, value: request },
  ];
}

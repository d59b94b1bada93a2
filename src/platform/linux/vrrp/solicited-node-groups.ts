// SPDX-License-Identifier: Apache-2.0
import { familyOf, type IpAddress, ipAddressBytes, ipAddressFromBytes } from '../../../lib/ip-address.ts';
import { IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, IPV6_DROP_MEMBERSHIP } from '../datagram/multicast-options.ts';
import { AF_INET6, checked, close, int32, SOCK_CLOEXEC, SOCK_DGRAM, setsockopt, socket } from '../libc.ts';
import { PACKET_ADD_MEMBERSHIP, PACKET_DROP_MEMBERSHIP, SOL_PACKET } from '../packet/packet-socket.ts';

// linux/if_packet.h
const PACKET_MR_MULTICAST = 0;
/** ff02::1:ff00:0/104 (RFC 4291 section 2.7.1): the last three bytes are the address's. */
const groupPrefix = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff);

/**
 * The groups in which neighbours ask for IPv6 addresses that are on no interface. Each is joined twice: by the packet
 * socket, so that the device lets the frames in, and by an ordinary one, so that the kernel reports the membership (MLD)
 * and snooping switches deliver them. The second fails where IPv6 is off on the interface; no switch is known to snoop
 * for hosts that never speak IPv6, so the first one suffices there.
 *
 * The groups are joined whether or not the addresses are held: a backup that takes over is asked at once.
 */
export class SolicitedNodeGroups {
  readonly #packetFd: number;
  readonly #interfaceIndex: number;
  readonly #membershipFd: number;
  #joined = new Set<IpAddress>();

  constructor(packetFd: number, interfaceIndex: number) {
    this.#packetFd = packetFd;
    this.#interfaceIndex = interfaceIndex;
    this.#membershipFd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  }

  /** Joins the groups of these addresses and leaves all others. Throws when the packet socket cannot join one. */
  follow(addresses: Iterable<IpAddress>): void {
    const wanted = new Set([...addresses].filter((address) => familyOf(address) === 'ipv6').map(solicitedNodeGroup));
    for (const group of this.#joined) {
      if (!wanted.has(group)) this.#change(group, PACKET_DROP_MEMBERSHIP, IPV6_DROP_MEMBERSHIP);
    }
    for (const group of wanted) {
      if (this.#joined.has(group)) continue;
      checked('setsockopt', this.#change(group, PACKET_ADD_MEMBERSHIP, IPV6_ADD_MEMBERSHIP), `join ${group}`);
    }
    this.#joined = wanted;
  }

  /** The packet socket's memberships end with the packet socket. */
  close(): void {
    if (this.#membershipFd !== -1) close(this.#membershipFd);
  }

  #change(group: IpAddress, packetOption: number, ipv6Option: number): number {
    const bytes = ipAddressBytes(group);
    // struct ipv6_mreq { struct in6_addr multiaddr; int ifindex; }
    const request = new Uint8Array([...bytes, ...int32(this.#interfaceIndex)]);
    if (this.#membershipFd !== -1) setsockopt(this.#membershipFd, IPPROTO_IPV6, ipv6Option, request);
    return setsockopt(this.#packetFd, SOL_PACKET, packetOption, packetMembership(this.#interfaceIndex, bytes));
  }
}

function solicitedNodeGroup(address: IpAddress): IpAddress {
  return ipAddressFromBytes(Uint8Array.of(...groupPrefix, ...ipAddressBytes(address).subarray(13)));
}

/** struct packet_mreq { int ifindex; u16 type; u16 alen; u8 address[8]; } with the group's MAC address (RFC 2464 section 7). */
function packetMembership(interfaceIndex: number, group: Uint8Array): Uint8Array {
  const request = new Uint8Array(16);
  const view = new DataView(request.buffer);
  view.setInt32(0, interfaceIndex, true);
  view.setUint16(4, PACKET_MR_MULTICAST, true);
  view.setUint16(6, 6, true);
  request.set([0x33, 0x33, ...group.subarray(12)], 8);
  return request;
}

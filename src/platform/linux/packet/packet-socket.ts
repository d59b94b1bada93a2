// SPDX-License-Identifier: Apache-2.0
import {
  AF_PACKET,
  bindSocket,
  close,
  errno,
  getsockname,
  int32,
  pinnedMemory,
  SO_ATTACH_FILTER,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  setsockopt,
  socket,
} from '../libc.ts';
import { errnos, SystemError } from '../system-error.ts';
import {
  attachFilter,
  BPF_JEQ_K,
  BPF_JGT_K,
  BPF_LD_B_ABS,
  BPF_LD_H_ABS,
  BPF_LD_W_ABS,
  BPF_RET_K,
  type Instruction,
  SKF_AD_PKTTYPE,
} from './socket-filter.ts';

// linux/socket.h, linux/if_packet.h
export const SOL_PACKET = 263;
export const PACKET_ADD_MEMBERSHIP = 1;
export const PACKET_DROP_MEMBERSHIP = 2;
export const PACKET_RX_RING = 5;
export const PACKET_STATISTICS = 6;
export const PACKET_COPY_THRESH = 7;
export const PACKET_VERSION = 10;
export const PACKET_VNET_HDR = 15;
export const PACKET_QDISC_BYPASS = 20;
export const PACKET_IGNORE_OUTGOING = 23;

// linux/if_ether.h
export const ETH_P_ALL = 0x0003;
const ETH_P_IP = 0x0800;
const ETH_P_ARP = 0x0806;
const ETH_P_IPV6 = 0x86dd;

// struct sockaddr_ll { u16 family; be16 protocol; int ifindex; u16 hatype; u8 pkttype; u8 halen; u8 addr[8]; }
const sockaddrLength = 20;

/** PACKET_HOST is 0; frames for other hosts, outgoing and looped-back frames have higher numbers. */
const PACKET_BROADCAST = 1;
const PACKET_MULTICAST = 2;
const IPPROTO_ICMPV6 = 58;
const IPPROTO_VRRP = 112;
const etherTypeOffset = 12;
const ipv4ProtocolOffset = 14 + 9;
const ipv6NextHeaderOffset = 14 + 6;
const icmpv6TypeOffset = 14 + 40;
/** RFC 4861 section 4.3. */
const neighbourSolicitation = 135;
const wholeFrame = 0x4_0000;

/**
 * Passes ARP, IPv4 and IPv6 frames to this host or to the broadcast address, but no VRRP, which the election reads by a
 * socket of its own. The only multicast is neighbour solicitations to solicited-node groups (33:33:ff, RFC 2464 section
 * 7 and RFC 4291 section 2.7.1), by which neighbours ask for IPv6 addresses that are on no interface.
 */
const hostTrafficFilter: readonly Instruction[] = [
  [BPF_LD_W_ABS, 0, 0, SKF_AD_PKTTYPE],
  [BPF_JGT_K, 8, 0, PACKET_BROADCAST],
  // For this host.
  [BPF_LD_H_ABS, 0, 0, etherTypeOffset],
  [BPF_JEQ_K, 17, 0, ETH_P_ARP],
  [BPF_JEQ_K, 3, 0, ETH_P_IPV6],
  [BPF_JEQ_K, 0, 16, ETH_P_IP],
  [BPF_LD_B_ABS, 0, 0, ipv4ProtocolOffset],
  [BPF_JEQ_K, 14, 13, IPPROTO_VRRP],
  [BPF_LD_B_ABS, 0, 0, ipv6NextHeaderOffset],
  [BPF_JEQ_K, 12, 11, IPPROTO_VRRP],
  // Multicast.
  [BPF_JGT_K, 11, 0, PACKET_MULTICAST],
  [BPF_LD_H_ABS, 0, 0, 0],
  [BPF_JEQ_K, 0, 9, 0x3333],
  [BPF_LD_B_ABS, 0, 0, 2],
  [BPF_JEQ_K, 0, 7, 0xff],
  [BPF_LD_H_ABS, 0, 0, etherTypeOffset],
  [BPF_JEQ_K, 0, 5, ETH_P_IPV6],
  [BPF_LD_B_ABS, 0, 0, ipv6NextHeaderOffset],
  [BPF_JEQ_K, 0, 3, IPPROTO_ICMPV6],
  [BPF_LD_B_ABS, 0, 0, icmpv6TypeOffset],
  [BPF_JEQ_K, 0, 1, neighbourSolicitation],
  [BPF_RET_K, 0, 0, wholeFrame],
  [BPF_RET_K, 0, 0, 0],
];

/** A packet socket that is not bound and receives nothing yet. Throws a sentence about the privilege it needs. */
export function openPacketSocket(): number {
  const fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd !== -1) return fd;
  const error = errno();
  if (error === errnos.EPERM || error === errnos.EACCES) throw new Error(missingPrivilege('open a packet socket'));
  throw new SystemError('socket', error, 'open a packet socket');
}

/** `protocol`: an Ethernet type, ETH_P_ALL, or 0 to receive nothing. */
export function bindPacketSocket(fd: number, interfaceIndex: number, protocol: number, interfaceName: string): void {
  bindSocket(fd, packetSocketAddress(interfaceIndex, protocol), `bind a packet socket to ${interfaceName}`);
}

/** A struct sockaddr_ll. */
export function packetSocketAddress(interfaceIndex: number, protocol: number): Uint8Array {
  const address = new Uint8Array(sockaddrLength);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol, false);
  view.setInt32(4, interfaceIndex, true);
  return address;
}

/** The interface that a packet socket is bound to; -1 when that interface has gone, and undefined without a socket. */
export function boundInterface(fd: number): number | undefined {
  const address = pinnedMemory(sockaddrLength);
  if (getsockname(fd, address) === -1) return undefined;
  return new DataView(address.bytes.buffer).getInt32(4, true);
}

export function attachHostTrafficFilter(fd: number): void {
  attachFilter(hostTrafficFilter, (fprog) => {
    setPacketOption(fd, 'SO_ATTACH_FILTER', SO_ATTACH_FILTER, fprog, SOL_SOCKET);
  });
}

/** Throws a SystemError that names the option. */
export function setPacketOption(
  fd: number,
  name: string,
  option: number,
  value: Uint8Array | number,
  level = SOL_PACKET,
): void {
  const bytes = typeof value === 'number' ? int32(value) : value;
  if (setsockopt(fd, level, option, bytes) === -1) throw new SystemError('setsockopt', errno(), `set ${name}`);
}

/** Closes `fds` and passes `error` on: for constructors that fail half-way. */
export function closeAndThrow(fds: readonly number[], error: unknown): never {
  for (const fd of fds) close(fd);
  throw error;
}

/** `action` completes "cannot ...". */
export function missingPrivilege(action: string): string {
  return (
    `cannot ${action}: CAP_NET_RAW is missing; run as root, or grant it with ` +
    '`setcap cap_net_raw,cap_net_admin+ep` on the node executable or AmbientCapabilities= in the systemd unit'
  );
}

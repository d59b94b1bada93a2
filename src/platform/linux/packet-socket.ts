// SPDX-License-Identifier: Apache-2.0
import {
  AF_PACKET,
  addressOf,
  bindSocket,
  close,
  errno,
  int32,
  SO_ATTACH_FILTER,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  setsockopt,
  socket,
} from './libc.ts';
import { errnos, SystemError } from './system-error.ts';

// linux/socket.h, linux/if_packet.h
export const SOL_PACKET = 263;
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

// struct sock_filter { u16 code; u8 jt; u8 jf; u32 k; } and linux/filter.h
const instructionLength = 8;
const BPF_LD_W_ABS = 0x20;
const BPF_LD_H_ABS = 0x28;
const BPF_LD_B_ABS = 0x30;
const BPF_JEQ_K = 0x15;
const BPF_JGT_K = 0x25;
const BPF_RET_K = 0x06;
const SKF_AD_PKTTYPE = 0xffff_f000 + 4;
/** PACKET_HOST is 0; above come multicast, other hosts', outgoing and looped back frames. */
const PACKET_BROADCAST = 1;
const IPPROTO_VRRP = 112;
const etherTypeOffset = 12;
const ipv4ProtocolOffset = 14 + 9;
const wholeFrame = 0x4_0000;

/**
 * ARP, IPv4 and IPv6 frames that are for this host or for everybody; no multicast, and no VRRP, which the election
 * reads by a socket of its own.
 */
const hostTrafficFilter: ReadonlyArray<readonly [code: number, jumpTrue: number, jumpFalse: number, k: number]> = [
  [BPF_LD_W_ABS, 0, 0, SKF_AD_PKTTYPE],
  [BPF_JGT_K, 7, 0, PACKET_BROADCAST],
  [BPF_LD_H_ABS, 0, 0, etherTypeOffset],
  [BPF_JEQ_K, 4, 0, ETH_P_ARP],
  [BPF_JEQ_K, 3, 0, ETH_P_IPV6],
  [BPF_JEQ_K, 0, 3, ETH_P_IP],
  [BPF_LD_B_ABS, 0, 0, ipv4ProtocolOffset],
  [BPF_JEQ_K, 1, 0, IPPROTO_VRRP],
  [BPF_RET_K, 0, 0, wholeFrame],
  [BPF_RET_K, 0, 0, 0],
];

/** A packet socket that is bound to nothing and receives nothing yet. Throws a sentence about the privilege it needs. */
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

export function attachHostTrafficFilter(fd: number): void {
  const program = new Uint8Array(new ArrayBuffer(hostTrafficFilter.length * instructionLength));
  const view = new DataView(program.buffer);
  for (const [i, [code, jumpTrue, jumpFalse, k]] of hostTrafficFilter.entries()) {
    view.setUint16(i * instructionLength, code, true);
    view.setUint8(i * instructionLength + 2, jumpTrue);
    view.setUint8(i * instructionLength + 3, jumpFalse);
    view.setUint32(i * instructionLength + 4, k, true);
  }
  // struct sock_fprog { u16 len; struct sock_filter *filter; }
  const fprog = new Uint8Array(16);
  const fprogView = new DataView(fprog.buffer);
  fprogView.setUint16(0, hostTrafficFilter.length, true);
  fprogView.setBigUint64(8, BigInt(addressOf(program)), true);
  setPacketOption(fd, 'SO_ATTACH_FILTER', SO_ATTACH_FILTER, fprog, SOL_SOCKET);
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

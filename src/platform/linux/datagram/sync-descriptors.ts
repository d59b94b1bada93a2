// SPDX-License-Identifier: Apache-2.0
import { type Family, familyOf, type IpAddress, ipAddressBytes } from '../../../lib/ip-address.ts';
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  checked,
  errno,
  SO_ATTACH_FILTER,
  SO_BINDTODEVICE,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  setsockopt,
  socket,
} from '../libc.ts';
import type { InterfaceFacts } from '../netlink/interface-facts.ts';
import { closeAndThrow } from '../packet/packet-socket.ts';
import { attachFilter, BPF_RET_K } from '../packet/socket-filter.ts';
import { errnos, SystemError } from '../system-error.ts';
import { IPV6_ADD_MEMBERSHIP, multicastOptions, type SocketOption } from './multicast-options.ts';
import type { SyncPath } from './sync-source.ts';

export interface SyncSocketOptions extends SyncPath {
  readonly port: number;
  readonly ttl: number;
}

/** Sockets that are bound. Their owner closes them. */
export interface SyncDescriptors {
  readonly receive: number;
  /** The same one, unless the source of what it sends could not be told. */
  readonly send: number;
}

/** A bulk snapshot comes in bursts. The kernel grants double. */
const receiveBufferBytes = 8 << 20;
const sendBufferBytes = 4 << 20;

/** Where the sockets send from. */
interface SyncPlace {
  readonly options: SyncSocketOptions;
  readonly facts: InterfaceFacts;
  readonly family: Family;
  readonly source: IpAddress;
}

/**
 * Opens what connection synchronisation sends and receives with, from `source` on the interface of `facts`. A socket that
 * is bound to an IPv6 group leaves its source to the kernel, which may choose a virtual address: there another one, bound
 * to the source, sends. Throws one sentence when the port is taken or the group cannot be joined.
 */
export function openSyncDescriptors(
  options: SyncSocketOptions,
  facts: InterfaceFacts,
  source: IpAddress,
): SyncDescriptors {
  const { group, unicastPeers = [] } = options;
  const place = { options, facts, family: familyOf(source), source };
  if (unicastPeers.length > 0) {
    const receive = openBound(place, source, []);
    return { receive, send: receive };
  }
  const membership = { group, interfaceIndex: facts.index, source, ttl: options.ttl };
  const multicast = multicastOptions(place.family, membership);
  // Bound to the group rather than to any address, so that datagrams of other groups on this port stay away.
  const receive = openBound(place, group, multicast);
  if (place.family === 'ipv4') return { receive, send: receive };
  try {
    const sending = multicast.filter(({ option }) => option !== IPV6_ADD_MEMBERSHIP);
    const send = openBound(place, source, sending);
    dropEverything(send);
    return { receive, send };
  } catch (error) {
    return closeAndThrow([receive], error);
  }
}

function openBound(place: SyncPlace, local: IpAddress, options: readonly SocketOption[]): number {
  const { family, facts } = place;
  const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const domain = family === 'ipv6' ? AF_INET6 : AF_INET;
  const fd = checked('socket', socket(domain, type, 0), 'open a socket for sync');
  try {
    setBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, receiveBufferBytes);
    setBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, sendBufferBytes);
    // Needs CAP_NET_RAW when another device was bound before. A failure is ignored: it only lets other interfaces in.
    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${facts.name}\0`));
    for (const { name, level, option, value } of options) {
      if (setsockopt(fd, level, option, value) === -1) {
        throw new SystemError('setsockopt', errno(), `set ${name} for sync on ${facts.name}`);
      }
    }
    bind(fd, local, place);
  } catch (error) {
    closeAndThrow([fd], error);
  }
  return fd;
}

function bind(fd: number, local: IpAddress, { options, facts, family }: SyncPlace): void {
  const { port } = options;
  try {
    bindSocket(fd, socketAddress(local, family, port, facts.index));
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== errnos.EADDRINUSE) throw error;
    throw new Error(
      `UDP port ${port} of ${local} on ${facts.name} is in use; stop the other director or sync daemon, or ` +
        'set another port in lvs_sync_daemon',
    );
  }
}

/** For a socket that only sends: a stranger's datagrams to it cost this process nothing. */
function dropEverything(fd: number): void {
  attachFilter([[BPF_RET_K, 0, 0, 0]], (fprog) => {
    checked('setsockopt', setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, fprog), 'let a socket for sync only send');
  });
}

function setBuffer(fd: number, force: number, ask: number, length: number): void {
  if (setsockopt(fd, SOL_SOCKET, force, length) === -1) setsockopt(fd, SOL_SOCKET, ask, length);
}

/** struct sockaddr_in { u16 family; be16 port; addr; } and sockaddr_in6 { u16 family; be16 port; u32 flow; addr; u32 scope; } */
export function socketAddress(local: IpAddress, family: Family, port: number, interfaceIndex: number): Uint8Array {
  const address = new Uint8Array(family === 'ipv6' ? 28 : 16);
  const view = new DataView(address.buffer);
  view.setUint16(0, family === 'ipv6' ? AF_INET6 : AF_INET, true);
  view.setUint16(2, port, false);
  address.set(ipAddressBytes(local), family === 'ipv6' ? 8 : 4);
  if (family === 'ipv6') view.setUint32(24, interfaceIndex, true);
  return address;
}

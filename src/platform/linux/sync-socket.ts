// SPDX-License-Identifier: Apache-2.0
import { createSocket, type Socket } from 'node:dgram';
import type { SyncTransport } from '../../director/ports.ts';
import { type Family, familyOf, type IpAddress, ipAddressBytes, parseIpAddress } from '../../lib/ip-address.ts';
import { type InterfaceFacts, interfaceFacts, primaryAddress } from './interface-facts.ts';
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  checked,
  errno,
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
} from './libc.ts';
import { multicastOptions } from './multicast-options.ts';
import { closeAndThrow } from './packet-socket.ts';
import { errnos, SystemError } from './system-error.ts';

export interface SyncSocketOptions {
  readonly interface: string;
  readonly group: IpAddress;
  readonly port: number;
  readonly ttl: number;
}

/** A bulk snapshot comes in bursts. The kernel grants double. */
const receiveBufferBytes = 8 << 20;
const sendBufferBytes = 4 << 20;

/**
 * Datagrams to and from a multicast group through one interface. The socket is made by system calls, since it takes
 * options that node:dgram does not have, and then served by node:dgram on the event loop of the calling thread.
 */
export class MulticastSyncSocket implements SyncTransport {
  /** `unsent`: the kernel refused, or the socket was still busy; `errors`: failures while receiving. */
  readonly counters = { sent: 0, unsent: 0, received: 0, errors: 0 };
  readonly #socket: Socket;
  readonly #options: SyncSocketOptions;
  #closed = false;

  /** Throws one sentence when the interface is missing, the port is taken or the group cannot be joined. */
  constructor(options: SyncSocketOptions) {
    this.#options = options;
    const family = familyOf(options.group);
    const fd = openMulticastSocket(options, family);
    this.#socket = createSocket({
      type: family === 'ipv6' ? 'udp6' : 'udp4',
      // The group is a literal; the default would take a turn of the event loop to find that out for each datagram.
      lookup: ((host: string, _options: unknown, done: (error: null, address: string, family: number) => void) =>
        done(null, host, family === 'ipv6' ? 6 : 4)) as never,
    });
    this.#socket.on('error', () => {
      this.counters.errors += 1;
    });
    this.#socket.bind({ fd });
  }

  send(datagram: Uint8Array): void {
    // A datagram that cannot go at once is dropped: resending is the protocol's business, and a queue has no end.
    if (this.#closed || this.#socket.getSendQueueCount() > 0) {
      this.counters.unsent += 1;
      return;
    }
    this.#socket.send(datagram, this.#options.port, this.#options.group, (error) => {
      if (error === null) this.counters.sent += 1;
      else this.counters.unsent += 1;
    });
  }

  onReceive(listener: (datagram: Uint8Array, source: IpAddress) => void): void {
    this.#socket.on('message', (datagram, { address }) => {
      const source = parseIpAddress(address.split('%')[0]!);
      if (source === undefined) return;
      this.counters.received += 1;
      listener(datagram, source);
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }
}

function openMulticastSocket(options: SyncSocketOptions, family: Family): number {
  const facts = interfaceFacts(options.interface);
  const source = primaryAddress(facts, family)?.address;
  if (source === undefined) {
    throw new Error(`interface ${options.interface} has no address of the family of ${options.group}; sync needs one`);
  }
  const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const domain = family === 'ipv6' ? AF_INET6 : AF_INET;
  const fd = checked('socket', socket(domain, type, 0), 'open a socket for sync');
  try {
    prepare(fd, options, family, facts, source);
  } catch (error) {
    closeAndThrow([fd], error);
  }
  return fd;
}

function prepare(
  fd: number,
  options: SyncSocketOptions,
  family: Family,
  facts: InterfaceFacts,
  source: IpAddress,
): void {
  const { group, port, ttl } = options;
  setBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, receiveBufferBytes);
  setBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, sendBufferBytes);
  // Needs CAP_NET_RAW where another device was bound before; what arrives elsewhere is not ours in any case.
  setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${facts.name}\0`));
  for (const { name, level, option, value } of multicastOptions(family, {
    group,
    interfaceIndex: facts.index,
    source,
    ttl,
  })) {
    if (setsockopt(fd, level, option, value) === -1) {
      throw new SystemError('setsockopt', errno(), `set ${name} for sync on ${options.interface}`);
    }
  }
  try {
    // To the group rather than to any address: datagrams of other groups on this port stay away.
    bindSocket(fd, socketAddress(group, family, port, facts.index));
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== errnos.EADDRINUSE) throw error;
    throw new Error(
      `UDP port ${port} of ${group} on ${options.interface} is in use; stop the other director or sync daemon, or ` +
        'set another port in lvs_sync_daemon',
    );
  }
}

function setBuffer(fd: number, force: number, ask: number, length: number): void {
  if (setsockopt(fd, SOL_SOCKET, force, length) === -1) setsockopt(fd, SOL_SOCKET, ask, length);
}

/** struct sockaddr_in { u16 family; be16 port; addr; } and sockaddr_in6 { u16 family; be16 port; u32 flow; addr; u32 scope; } */
function socketAddress(group: IpAddress, family: Family, port: number, interfaceIndex: number): Uint8Array {
  const address = new Uint8Array(family === 'ipv6' ? 28 : 16);
  const view = new DataView(address.buffer);
  view.setUint16(0, family === 'ipv6' ? AF_INET6 : AF_INET, true);
  view.setUint16(2, port, false);
  address.set(ipAddressBytes(group), family === 'ipv6' ? 8 : 4);
  if (family === 'ipv6') view.setUint32(24, interfaceIndex, true);
  return address;
}

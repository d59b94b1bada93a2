// SPDX-License-Identifier: Apache-2.0
import { createSocket, type Socket } from 'node:dgram';
import type { SyncTransport } from '../../../director/ports.ts';
import { type Family, familyOf, type IpAddress, ipAddressBytes, parseIpAddress } from '../../../lib/ip-address.ts';
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
} from '../libc.ts';
import { type InterfaceFacts, interfaceFacts, primaryAddress } from '../netlink/interface-facts.ts';
import { closeAndThrow } from '../packet/packet-socket.ts';
import { errnos, SystemError } from '../system-error.ts';
import { multicastOptions } from './multicast-options.ts';

export interface SyncSocketOptions {
  readonly interface: string;
  readonly group: IpAddress;
  readonly port: number;
  readonly ttl: number;
  /** Used instead of the group: datagrams go to each of these peers, and only theirs are taken. */
  readonly unicastPeers?: readonly IpAddress[];
  /** With peers: the address to send from and to receive at, instead of the interface's primary one. */
  readonly unicastSource?: IpAddress;
}

/** A bulk snapshot comes in bursts. The kernel grants double. */
const receiveBufferBytes = 8 << 20;
const sendBufferBytes = 4 << 20;

/**
 * Datagrams to and from a multicast group, or unicast peers, through one interface. The socket is made by system calls,
 * since it needs options that node:dgram does not have, and is then served by node:dgram on the event loop of the
 * calling thread.
 */
export class UdpSyncSocket implements SyncTransport {
  /**
   * `unsent`: the kernel refused, or the socket was still busy; `strangers`: datagrams from senders that are not peers;
   * `errors`: failures while receiving. Each copy for a peer counts.
   */
  readonly counters = { sent: 0, unsent: 0, received: 0, strangers: 0, errors: 0 };
  readonly #socket: Socket;
  readonly #interface: string;
  readonly #port: number;
  readonly #destinations: readonly IpAddress[];
  /** Undefined: every sender of the group is heard. */
  readonly #peers: ReadonlySet<IpAddress> | undefined;
  #closed = false;
  /** The last sender that is not a peer, since a peer was heard. */
  #stranger: IpAddress | undefined;

  /** Throws one sentence when the interface is missing, the port is taken or the group cannot be joined. */
  constructor(options: SyncSocketOptions) {
    const { interface: name, group, port, unicastPeers = [] } = options;
    this.#interface = name;
    this.#port = port;
    this.#destinations = unicastPeers.length > 0 ? unicastPeers : [group];
    this.#peers = unicastPeers.length > 0 ? new Set(unicastPeers) : undefined;
    const family = familyOf(this.#destinations[0]!);
    const fd = openSyncSocket(options, family);
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
    // A datagram that cannot go at once is dropped: the protocol resends, and a queue here would have no bound.
    if (this.#closed || this.#socket.getSendQueueCount() > 0) {
      this.counters.unsent += this.#destinations.length;
      return;
    }
    for (const destination of this.#destinations) {
      this.#socket.send(datagram, this.#port, destination, (error) => {
        if (error === null) this.counters.sent += 1;
        else this.counters.unsent += 1;
      });
    }
  }

  onReceive(listener: (datagram: Uint8Array, source: IpAddress) => void): void {
    this.#socket.on('message', (datagram, { address }) => {
      const source = parseIpAddress(address.split('%')[0]!);
      if (source === undefined) return;
      if (this.#peers !== undefined && !this.#peers.has(source)) {
        this.counters.strangers += 1;
        this.#stranger = source;
        return;
      }
      this.counters.received += 1;
      this.#stranger = undefined;
      listener(datagram, source);
    });
  }

  trouble(): string | undefined {
    const name = this.#interface;
    try {
      const { up, running } = interfaceFacts(name);
      if (!up) return `interface ${name} is down: set it up`;
      if (!running) return `interface ${name} has no carrier: look at its cable and switch port`;
    } catch {
      return `there is no interface ${name} any more`;
    }
    if (this.#stranger === undefined) return undefined;
    return `datagrams come from ${this.#stranger}, which is not among the unicast_peer addresses: write it there`;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }
}

/** The address of this host that sync sends from. Throws a sentence when the interface does not have it. */
export function syncSource(options: SyncSocketOptions, facts: InterfaceFacts): IpAddress {
  const { unicastPeers = [], unicastSource, group, interface: name } = options;
  const unicast = unicastPeers.length > 0;
  if (unicast && unicastSource !== undefined) {
    if (facts.addresses.some(({ address, tentative }) => address === unicastSource && !tentative)) return unicastSource;
    throw new Error(`interface ${name} does not have the address ${unicastSource} that sync is to send from; add it`);
  }
  const partner = unicastPeers[0] ?? group;
  const source = unicast ? sourceTowards(partner, facts) : primaryAddress(facts, familyOf(partner))?.address;
  if (source !== undefined) return source;
  throw new Error(`interface ${name} has no address of the family of ${partner}; sync needs one`);
}

/** A peer with a global IPv6 address needs a global source: RFC 6724 section 5 rule 2, applied to one interface. */
function sourceTowards(peer: IpAddress, facts: InterfaceFacts): IpAddress | undefined {
  const family = familyOf(peer);
  if (family === 'ipv4' || peer.startsWith('fe80:')) return primaryAddress(facts, family)?.address;
  const candidates = facts.addresses.filter(({ address, tentative }) => familyOf(address) === family && !tentative);
  return candidates.find(({ linkLocal, permanent }) => !linkLocal && permanent)?.address ?? candidates[0]?.address;
}

function openSyncSocket(options: SyncSocketOptions, family: Family): number {
  const facts = interfaceFacts(options.interface);
  const source = syncSource(options, facts);
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
  const { group, port, ttl, unicastPeers = [] } = options;
  const unicast = unicastPeers.length > 0;
  setBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, receiveBufferBytes);
  setBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, sendBufferBytes);
  // Needs CAP_NET_RAW when another device was bound before. A failure is ignored: it only lets other interfaces in.
  setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${facts.name}\0`));
  const membership = { group, interfaceIndex: facts.index, source, ttl };
  for (const { name, level, option, value } of unicast ? [] : multicastOptions(family, membership)) {
    if (setsockopt(fd, level, option, value) === -1) {
      throw new SystemError('setsockopt', errno(), `set ${name} for sync on ${options.interface}`);
    }
  }
  // Bound to the group rather than to any address, so that datagrams of other groups on this port stay away.
  const local = unicast ? source : group;
  try {
    bindSocket(fd, socketAddress(local, family, port, facts.index));
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== errnos.EADDRINUSE) throw error;
    throw new Error(
      `UDP port ${port} of ${local} on ${options.interface} is in use; stop the other director or sync daemon, or ` +
        'set another port in lvs_sync_daemon',
    );
  }
}

function setBuffer(fd: number, force: number, ask: number, length: number): void {
  if (setsockopt(fd, SOL_SOCKET, force, length) === -1) setsockopt(fd, SOL_SOCKET, ask, length);
}

/** struct sockaddr_in { u16 family; be16 port; addr; } and sockaddr_in6 { u16 family; be16 port; u32 flow; addr; u32 scope; } */
function socketAddress(local: IpAddress, family: Family, port: number, interfaceIndex: number): Uint8Array {
  const address = new Uint8Array(family === 'ipv6' ? 28 : 16);
  const view = new DataView(address.buffer);
  view.setUint16(0, family === 'ipv6' ? AF_INET6 : AF_INET, true);
  view.setUint16(2, port, false);
  address.set(ipAddressBytes(local), family === 'ipv6' ? 8 : 4);
  if (family === 'ipv6') view.setUint32(24, interfaceIndex, true);
  return address;
}

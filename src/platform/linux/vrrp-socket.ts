// SPDX-License-Identifier: Apache-2.0
import raw, { type RawSocket } from 'raw-socket';
import type { ReceivedAdvertisement, VrrpTransport } from '../../director/ports.ts';
import { readU16 } from '../../lib/bytes.ts';
import { type Family, type IpAddress, ipAddressFromBytes, parseIpAddress } from '../../lib/ip-address.ts';
import { checkIpv4, Ipv4Offset, readIpv4HeaderLength } from '../../wire/ipv4.ts';
import { findInterfaceIndex, type InterfaceFacts, interfaceFacts, primaryAddress } from './interface-facts.ts';
import { int32, SO_BINDTODEVICE, SOL_SOCKET } from './libc.ts';
import { IPPROTO_IPV6, multicastOptions, type SocketOption } from './multicast-options.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import { missingPrivilege } from './packet-socket.ts';

const IPPROTO_VRRP = 112;
/** RFC 9568 sections 5.1.1.2 and 5.1.2.2. */
const groups = { ipv4: '224.0.0.18' as IpAddress, ipv6: 'ff02::12' as IpAddress };
/** RFC 9568 section 5.1.1.3: a packet that was routed here has less. */
const ttl = 255;

// linux/in.h, linux/in6.h, asm-generic/socket.h
const IPPROTO_IP = 0;
const IP_TOS = 1;
const IPV6_CHECKSUM = 7;
const IPV6_TCLASS = 67;
const IPV6_MINHOPCOUNT = 73;
/** Internetwork control (RFC 791; CS6 in RFC 2474), as keepalived sends. */
const controlTrafficClass = 0xc0;
/** Of the checksum in a VRRP message (RFC 9568 section 5.2). */
const checksumOffset = 6;
/** An interface that fails every send is looked at again at most this often. */
const reopenIntervalMs = 1000;

interface Membership {
  readonly facts: InterfaceFacts;
  readonly source: IpAddress;
  readonly socket: RawSocket;
  closed: boolean;
}

/**
 * VRRP by raw sockets, one for each interface and family. Runs on the main thread of its process only: `raw-socket` is
 * no context-aware module. When an interface is created anew, sending to it fails once and then opens it again.
 */
export class RawVrrpTransport implements VrrpTransport {
  readonly #memberships = new Map<string, Membership>();
  readonly #listeners: ((advertisement: ReceivedAdvertisement) => void)[] = [];
  readonly #reopenAt = new Map<string, number>();
  /** Packets whose IP header could not be read. */
  malformed = 0;

  open(interfaceName: string, family: Family): IpAddress {
    const key = keyOf(interfaceName, family);
    const known = this.#memberships.get(key);
    if (known !== undefined && !known.closed) return known.source;
    const membership = this.#join(interfaceName, family);
    this.#memberships.set(key, membership);
    return membership.source;
  }

  send(interfaceName: string, family: Family, message: Uint8Array, onSent: (error?: Error) => void): void {
    const membership = this.#memberships.get(keyOf(interfaceName, family));
    if (membership === undefined || membership.closed) {
      this.#reopen(interfaceName, family);
      process.nextTick(onSent, new Error(`cannot send VRRP on ${interfaceName}: it is not open`));
      return;
    }
    // A copy: the socket sends from the event loop, when the caller may have gone on writing.
    const bytes = Buffer.from(message);
    membership.socket.send(bytes, 0, bytes.length, groups[family], (error) => {
      if (error === null) return onSent();
      this.#reopenIfReplaced(membership, interfaceName, family);
      return onSent(new Error(`cannot send VRRP on ${interfaceName}: ${error.message}`));
    });
  }

  onReceive(listener: (advertisement: ReceivedAdvertisement) => void): void {
    this.#listeners.push(listener);
  }

  close(): void {
    for (const membership of this.#memberships.values()) closeMembership(membership);
    this.#memberships.clear();
  }

  #join(interfaceName: string, family: Family): Membership {
    const facts = interfaceFacts(interfaceName);
    const source = primaryAddress(facts, family)?.address;
    if (source === undefined) {
      const kind = family === 'ipv6' ? 'link-local IPv6 address' : 'IPv4 address';
      throw new Error(`interface ${interfaceName} has no ${kind}; VRRP needs one to send from`);
    }
    const socket = openRawSocket(family);
    try {
      for (const option of optionsFor(facts, source, family)) setOption(socket, option, interfaceName);
    } catch (error) {
      socket.close();
      throw error;
    }
    const membership: Membership = { facts, source, socket, closed: false };
    socket.on('message', (packet, sender) => this.#receive(membership, family, packet, sender));
    // A failed receive is the interface's trouble, which sending reports; without a listener it would be thrown.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      membership.closed = true;
    });
    return membership;
  }

  #receive({ facts }: Membership, family: Family, packet: Buffer, sender: string): void {
    const advertisement = family === 'ipv6' ? fromIpv6(packet, sender, facts.name) : fromIpv4(packet, facts.name);
    if (advertisement === undefined) {
      this.malformed += 1;
      return;
    }
    for (const listener of this.#listeners) listener(advertisement);
  }

  /** A socket stays bound to the index of an interface that is gone, even when another takes its name. */
  #reopenIfReplaced(membership: Membership, interfaceName: string, family: Family): void {
    const netlink = new NetlinkSocket();
    const index = findInterfaceIndex(netlink, interfaceName);
    netlink.close();
    if (index === undefined || index === membership.facts.index) return;
    closeMembership(membership);
    this.#reopen(interfaceName, family);
  }

  #reopen(interfaceName: string, family: Family): void {
    const key = keyOf(interfaceName, family);
    const nowMs = performance.now();
    if (!this.#memberships.has(key) || nowMs < (this.#reopenAt.get(key) ?? 0)) return;
    this.#reopenAt.set(key, nowMs + reopenIntervalMs);
    try {
      this.open(interfaceName, family);
    } catch {
      // Still gone, or still without an address: the next send tries again.
    }
  }
}

function openRawSocket(family: Family): RawSocket {
  try {
    return raw.createSocket({
      addressFamily: family === 'ipv6' ? raw.AddressFamily.IPv6 : raw.AddressFamily.IPv4,
      protocol: IPPROTO_VRRP,
    });
  } catch (error) {
    if (process.getuid?.() !== 0 || /permitted|denied/i.test((error as Error).message)) {
      throw new Error(missingPrivilege('open a raw socket for VRRP'));
    }
    throw new Error(`cannot open a raw socket for VRRP: ${(error as Error).message}`);
  }
}

function optionsFor(facts: InterfaceFacts, source: IpAddress, family: Family): SocketOption[] {
  const device = Buffer.from(`${facts.name}\0`);
  const bindToDevice = { name: 'SO_BINDTODEVICE', level: SOL_SOCKET, option: SO_BINDTODEVICE, value: device };
  const membership = { group: groups[family], interfaceIndex: facts.index, source, ttl };
  const tos = int32(controlTrafficClass);
  // IPv6 packets come without their header: the kernel checks what it says.
  const headerOptions =
    family === 'ipv6'
      ? [
          { name: 'IPV6_TCLASS', level: IPPROTO_IPV6, option: IPV6_TCLASS, value: tos },
          { name: 'IPV6_MINHOPCOUNT', level: IPPROTO_IPV6, option: IPV6_MINHOPCOUNT, value: int32(ttl) },
          { name: 'IPV6_CHECKSUM', level: IPPROTO_IPV6, option: IPV6_CHECKSUM, value: int32(checksumOffset) },
        ]
      : [{ name: 'IP_TOS', level: IPPROTO_IP, option: IP_TOS, value: tos }];
  return [bindToDevice, ...headerOptions, ...multicastOptions(family, membership)];
}

function setOption(socket: RawSocket, { name, level, option, value }: SocketOption, interfaceName: string): void {
  try {
    socket.setOption(level, option, Buffer.from(value), value.length);
  } catch (error) {
    throw new Error(`cannot set ${name} for VRRP on ${interfaceName}: ${(error as Error).message}`);
  }
}

function fromIpv4(packet: Buffer, interfaceName: string): ReceivedAdvertisement | undefined {
  if (checkIpv4(packet, 0, packet.length) !== undefined) return undefined;
  const totalLength = readU16(packet, Ipv4Offset.totalLength);
  return {
    interface: interfaceName,
    source: ipAddressFromBytes(packet, Ipv4Offset.source, 4),
    destination: ipAddressFromBytes(packet, Ipv4Offset.destination, 4),
    ttl: packet[Ipv4Offset.ttl]!,
    message: packet.subarray(readIpv4HeaderLength(packet, 0), totalLength),
  };
}

/** The destination is not told; the socket hears unicast too, and the kernel has checked the hop limit. */
function fromIpv6(packet: Buffer, sender: string, interfaceName: string): ReceivedAdvertisement | undefined {
  const source = parseIpAddress(sender.split('%')[0]!);
  if (source === undefined) return undefined;
  return { interface: interfaceName, source, destination: groups.ipv6, ttl, message: packet };
}

function closeMembership(membership: Membership): void {
  if (membership.closed) return;
  membership.closed = true;
  membership.socket.close();
}

function keyOf(interfaceName: string, family: Family): string {
  return `${interfaceName} ${family}`;
}

// SPDX-License-Identifier: Apache-2.0
import raw, { type RawSocket } from 'raw-socket';
import type { ReceivedAdvertisement, VrrpEndpoints } from '../../../director/ports.ts';
import { readU16 } from '../../../lib/bytes.ts';
import { type Family, type IpAddress, ipAddressFromBytes, parseIpAddress } from '../../../lib/ip-address.ts';
import { vrrpGroups } from '../../../model/virtual-router.ts';
import { checkIpv4, emitIpv4, Ipv4Offset, ipv4HeaderLengthMin, readIpv4HeaderLength } from '../../../wire/ipv4.ts';
import { emitIpv6, ipv6HeaderLength } from '../../../wire/ipv6.ts';
import { IPPROTO_IPV6, multicastOptions, type SocketOption } from '../datagram/multicast-options.ts';
import { int32, SO_ATTACH_FILTER, SO_BINDTODEVICE, SOL_SOCKET } from '../libc.ts';
import type { InterfaceFacts } from '../netlink/interface-facts.ts';
import { missingPrivilege } from '../packet/packet-socket.ts';
import { attachFilter } from '../packet/socket-filter.ts';
import { type HopLimitRange, markedLength, vrrpIpv6Filter } from './advertisement-filter.ts';

const IPPROTO_VRRP = 112;
/** RFC 9568 section 5.1.1.3: a packet that was routed here has less. */
const ttl = 255;
/** The range for a sender without a range of its own. By unicast such a sender is no peer, whatever its hop limit. */
const groupRange: HopLimitRange = { min: ttl, max: ttl };
const anyRange: HopLimitRange = { min: 0, max: 255 };
/** Less than every TTL: the filter in the kernel has found the hop limit out of range. */
const outOfRange = -1;

// linux/in.h, linux/in6.h
const IPPROTO_IP = 0;
const IP_HDRINCL = 3;
const IPV6_HDRINCL = 36;
/** Internetwork control (RFC 791; CS6 in RFC 2474), as keepalived sends. */
const controlTrafficClass = 0xc0;

/** The interface, the addresses and the family of a channel. */
export interface ChannelPlace {
  readonly facts: InterfaceFacts;
  readonly family: Family;
  /** The primary address. */
  readonly source: IpAddress;
  /** The destination that it hears: the group, or in IPv6 an own address. In IPv4 it hears unicast too. */
  readonly destination: IpAddress;
}

/** Called for each packet that came. */
type Listener = (advertisement: ReceivedAdvertisement | 'malformed') => void;

/**
 * One raw socket on one interface. It builds the IP header itself, so that the source is the address that elections are
 * decided by, whichever the kernel would choose.
 */
export class VrrpChannel {
  readonly place: ChannelPlace;
  readonly #socket: RawSocket;
  readonly #ranges = new Map<IpAddress, HopLimitRange>();
  #closed = false;

  /** Throws one sentence when an option is refused or the privilege is missing. */
  constructor(place: ChannelPlace, onReceive: Listener) {
    this.place = place;
    this.#socket = openRawSocket(place.family);
    try {
      for (const option of optionsFor(place)) this.#setOption(option);
      this.#setFilter();
    } catch (error) {
      this.#socket.close();
      throw error;
    }
    this.#socket.on('message', (packet, sender) => onReceive(this.#read(packet, sender) ?? 'malformed'));
    // A failed receive means that the interface is down, which sending reports; without a listener it would be thrown.
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => {
      this.#closed = true;
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** IPv6: the hop limits that peers may send with. A peer of several virtual routers gets the widest of its ranges. */
  setRanges(ranges: Iterable<readonly [IpAddress, HopLimitRange]>): void {
    for (const [peer, range] of ranges) {
      const known = this.#ranges.get(peer) ?? range;
      this.#ranges.set(peer, { min: Math.min(known.min, range.min), max: Math.max(known.max, range.max) });
    }
    this.#setFilter();
  }

  send(message: Uint8Array, endpoints: VrrpEndpoints, onSent: (error: Error | null) => void): void {
    // A copy: the socket sends from the event loop, when the caller may have overwritten its buffer.
    const packet = this.place.family === 'ipv6' ? ipv6Packet(message, endpoints) : ipv4Packet(message, endpoints);
    this.#socket.send(packet, 0, packet.length, endpoints.destination, onSent);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }

  #read(packet: Buffer, sender: string): ReceivedAdvertisement | undefined {
    const { facts, family } = this.place;
    return family === 'ipv6' ? this.#readIpv6(packet, sender) : readIpv4(packet, facts.name);
  }

  /** The packet comes without its header; the filter passes one destination, and marks a hop limit out of range. */
  #readIpv6(packet: Buffer, sender: string): ReceivedAdvertisement | undefined {
    const source = parseIpAddress(sender.split('%')[0]!);
    if (source === undefined) return undefined;
    const { facts, destination } = this.place;
    const inRange = this.#ranges.get(source)?.max ?? ttl;
    const heardTtl = packet.length === markedLength ? outOfRange : inRange;
    return { interface: facts.name, source, destination, ttl: heardTtl, message: packet };
  }

  #setFilter(): void {
    const { family, destination } = this.place;
    if (family === 'ipv4') return;
    const others = destination === vrrpGroups.ipv6 ? groupRange : anyRange;
    attachFilter(vrrpIpv6Filter(destination, this.#ranges, others), (value) => {
      this.#setOption({ name: 'SO_ATTACH_FILTER', level: SOL_SOCKET, option: SO_ATTACH_FILTER, value });
    });
  }

  #setOption({ name, level, option, value }: SocketOption): void {
    try {
      this.#socket.setOption(level, option, Buffer.from(value), value.length);
    } catch (error) {
      throw new Error(`cannot set ${name} for VRRP on ${this.place.facts.name}: ${(error as Error).message}`);
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

/** A channel for unicast hears no group: the options for membership and loops are left out. */
function optionsFor({ facts, family, source, destination }: ChannelPlace): SocketOption[] {
  const device = Buffer.from(`${facts.name}\0`);
  const ownHeader =
    family === 'ipv6'
      ? { name: 'IPV6_HDRINCL', level: IPPROTO_IPV6, option: IPV6_HDRINCL, value: int32(1) }
      : { name: 'IP_HDRINCL', level: IPPROTO_IP, option: IP_HDRINCL, value: int32(1) };
  const group = vrrpGroups[family];
  return [
    { name: 'SO_BINDTODEVICE', level: SOL_SOCKET, option: SO_BINDTODEVICE, value: device },
    ownHeader,
    ...(destination === group ? multicastOptions(family, { group, interfaceIndex: facts.index, source, ttl }) : []),
  ];
}

function ipv4Packet(message: Uint8Array, { source, destination }: VrrpEndpoints): Buffer {
  const packet = Buffer.alloc(ipv4HeaderLengthMin + message.length);
  const header = {
    trafficClass: controlTrafficClass,
    totalLength: packet.length,
    // 0: the kernel chooses one (net/ipv4/raw.c: raw_send_hdrinc).
    identification: 0,
    dontFragment: false,
    moreFragments: false,
    fragmentOffset: 0,
    ttl,
    protocol: IPPROTO_VRRP,
    source,
    destination,
    options: new Uint8Array(0),
  };
  packet.set(message, emitIpv4(header, packet, 0));
  return packet;
}

function ipv6Packet(message: Uint8Array, { source, destination }: VrrpEndpoints): Buffer {
  const packet = Buffer.alloc(ipv6HeaderLength + message.length);
  const header = {
    trafficClass: controlTrafficClass,
    flowLabel: 0,
    payloadLength: message.length,
    nextHeader: IPPROTO_VRRP,
    hopLimit: ttl,
    source,
    destination,
  };
  packet.set(message, emitIpv6(header, packet, 0));
  return packet;
}

function readIpv4(packet: Buffer, interfaceName: string): ReceivedAdvertisement | undefined {
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

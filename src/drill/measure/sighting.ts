// SPDX-License-Identifier: Apache-2.0
import { readU16, readU32 } from '../../lib/bytes.ts';
import type { Family } from '../../lib/ip-address.ts';

// Classifies a frame that left a director by its use of the virtual addresses.

/**
 * `forwarded`: a client's packet towards a real server. `returned`: a packet from a virtual address. `advertisement`,
 * `resignation`: VRRP, the latter with priority 0. `announcement`: gratuitous ARP, unsolicited neighbour advertisement.
 * `answer`: any other ARP or neighbour advertisement in the name of a virtual address.
 */
export type Sighting = 'forwarded' | 'returned' | 'advertisement' | 'resignation' | 'announcement' | 'answer';

export interface Seen {
  readonly kind: Sighting;
  readonly family: Family;
  /** The client's TCP port of a forwarded packet, else 0. */
  readonly port: number;
}

export interface Addresses {
  /** Networks of the clients, as bytes and the count of leading bytes that matter. */
  readonly clients: readonly { readonly address: Uint8Array; readonly byteCount: number }[];
  readonly virtual: readonly Uint8Array[];
}

const etherType = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
const protocols = { tcp: 6, icmpv6: 58, vrrp: 112 } as const;
const networkOffset = 14;
const ipv6HeaderLength = 40;
const neighbourAdvertisement = 136;
/** RFC 4861 section 4.4: the S flag of a neighbour advertisement. */
const solicitedFlag = 0x40;

/** Undefined for a frame that has nothing to do with the virtual addresses. */
export function classify(frame: Uint8Array, addresses: Addresses): Seen | undefined {
  if (frame.length < networkOffset + 20) return undefined;
  const type = readU16(frame, 12);
  if (type === etherType.arp) return classifyArp(frame, addresses);
  if (type === etherType.ipv4) return classifyIpv4(frame, addresses);
  if (type === etherType.ipv6) return classifyIpv6(frame, addresses);
  return undefined;
}

/** RFC 826: sender's protocol address at 14, target's at 24, operation at 6. */
function classifyArp(frame: Uint8Array, { virtual }: Addresses): Seen | undefined {
  const sender = frame.subarray(networkOffset + 14, networkOffset + 18);
  if (!virtual.some((address) => equal(address, sender))) return undefined;
  const isAnnouncement = readU32(frame, networkOffset + 14) === readU32(frame, networkOffset + 24);
  return { kind: isAnnouncement ? 'announcement' : 'answer', family: 'ipv4', port: 0 };
}

function classifyIpv4(frame: Uint8Array, addresses: Addresses): Seen | undefined {
  const payload = networkOffset + (frame[networkOffset]! & 0x0f) * 4;
  const protocol = frame[networkOffset + 9]!;
  const source = frame.subarray(networkOffset + 12, networkOffset + 16);
  return classifyPacket(frame, { family: 'ipv4', protocol, source, payload }, addresses);
}

function classifyIpv6(frame: Uint8Array, addresses: Addresses): Seen | undefined {
  const payload = networkOffset + ipv6HeaderLength;
  const protocol = frame[networkOffset + 6]!;
  const isNeighbour = protocol === protocols.icmpv6 && frame[payload] === neighbourAdvertisement;
  if (isNeighbour) {
    const target = frame.subarray(payload + 8, payload + 24);
    if (!addresses.virtual.some((address) => equal(address, target))) return undefined;
    const isAnnouncement = (frame[payload + 4]! & solicitedFlag) === 0;
    return { kind: isAnnouncement ? 'announcement' : 'answer', family: 'ipv6', port: 0 };
  }
  const source = frame.subarray(networkOffset + 8, networkOffset + 24);
  return classifyPacket(frame, { family: 'ipv6', protocol, source, payload }, addresses);
}

interface Packet {
  readonly family: Family;
  readonly protocol: number;
  readonly source: Uint8Array;
  /** Offset of the transport header in the frame. */
  readonly payload: number;
}

function classifyPacket(frame: Uint8Array, packet: Packet, { clients, virtual }: Addresses): Seen | undefined {
  const { family, protocol, source, payload } = packet;
  // RFC 9568 section 5.1: version and type, virtual router, priority.
  if (protocol === protocols.vrrp) {
    return { kind: frame[payload + 2] === 0 ? 'resignation' : 'advertisement', family, port: 0 };
  }
  if (clients.some(({ address, byteCount }) => address.length === source.length && equal(address, source, byteCount))) {
    return { kind: 'forwarded', family, port: protocol === protocols.tcp ? readU16(frame, payload) : 0 };
  }
  if (virtual.some((address) => equal(address, source))) return { kind: 'returned', family, port: 0 };
  return undefined;
}

function equal(left: Uint8Array, right: Uint8Array, byteCount: number = left.length): boolean {
  if (byteCount === left.length && left.length !== right.length) return false;
  for (let i = 0; i < byteCount; i += 1) if (left[i] !== right[i]) return false;
  return true;
}

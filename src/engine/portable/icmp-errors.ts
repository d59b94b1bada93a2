// SPDX-License-Identifier: Apache-2.0
import { checkIcmp, IcmpOffset, IcmpType, isIcmpError } from '../../wire/icmp.ts';
import { checkIcmpv6, Icmpv6Type, isIcmpv6Error } from '../../wire/icmpv6.ts';
import { IpProtocol } from '../../wire/ipv4.ts';
import type { ClientHops } from './client-hops.ts';
import type { Connections } from './connections.ts';
import type { Destinations } from './destinations.ts';
import type { Egress } from './egress.ts';
import { absent, EntryWord, KeyWord, keyWords } from './entry-layout.ts';
import type { Leases } from './leases.ts';
import { Packet } from './packet.ts';
import { prepareErrorIn, prepareErrorOut } from './prepare.ts';
import { Drop, type Tally } from './tally.ts';

/** Whether a packet, not a fragment, holds an ICMP message of its own family. */
export function isIcmp(packet: Packet): boolean {
  return packet.protocol === (packet.ipv6 ? IpProtocol.icmpv6 : IpProtocol.icmp);
}

/** The checksum of the message covers the pseudo-header in IPv6. */
export function checkIcmpOf(packet: Packet): 'truncated' | 'badChecksum' | undefined {
  const { memory, ip, transport, end } = packet;
  if (packet.ipv6) return checkIcmpv6(memory, ip, transport, end - transport);
  return checkIcmp(memory, transport, end - transport);
}

/** Whether a message quotes a packet that met a problem. */
export function isError(packet: Packet): boolean {
  const type = packet.memory[packet.transport + IcmpOffset.type]!;
  return packet.ipv6 ? isIcmpv6Error(type) : isIcmpError(type);
}

export interface IcmpErrorsParts {
  readonly connections: Connections;
  readonly destinations: Destinations;
  readonly leases: Leases;
  readonly clientHops: ClientHops;
  readonly egress: Egress;
  readonly tally: Tally;
}

/**
 * ICMP errors about connections. An error quotes the beginning of a packet as it was on its side of the director. It is
 * forwarded to the other side with the quotation, and in masquerade the addresses, as that side knows them
 * (ip_vs_nat_icmp in ip_vs_core.c). It does not keep the connection alive.
 */
export class IcmpErrors {
  readonly #connections: Connections;
  readonly #destinations: Destinations;
  readonly #leases: Leases;
  readonly #clientHops: ClientHops;
  readonly #egress: Egress;
  readonly #tally: Tally;
  readonly #quoted = new Packet();
  /** The flow key of the quoted packet's answers: its source and destination changed places. */
  readonly #key = new Int32Array(keyWords);

  constructor({ connections, destinations, leases, clientHops, egress, tally }: IcmpErrorsParts) {
    this.#connections = connections;
    this.#destinations = destinations;
    this.#leases = leases;
    this.#clientHops = clientHops;
    this.#egress = egress;
    this.#tally = tally;
  }

  /** An intact error for a virtual address, about a packet that a real server has sent. Its lease is valid. */
  followIn(packet: Packet, leaseSlot: number, nowMs: number): void {
    const entry = this.#readQuoted(packet) ? this.#connections.table.find(this.#key) : absent;
    // An error that is true quotes a packet from the address that it is sent to.
    if (!this.#isAlive(entry, nowMs) || !this.#sameAddress(packet.key, KeyWord.virtualAddress)) {
      this.#tally.drops[Drop.icmpError]! += 1;
      return;
    }
    const destination = this.#connections.table.words[entry + EntryWord.destination]!;
    const hop = this.#destinations.nextHops[destination];
    if (hop === undefined) return;
    this.#destinations.countIn(destination, packet.length);
    const inFront = this.#destinations.bytesInFront[destination]!;
    if (!this.#egress.mayLeave(packet, inFront, hop, leaseSlot, packet.key, KeyWord.virtualAddress)) return;
    if (prepareErrorIn(packet, this.#quoted, this.#destinations, destination)) {
      this.#egress.transmit(packet, hop, leaseSlot);
    } else {
      this.#tally.drops[Drop.transmitFailed]! += 1;
    }
  }

  /** An error for another address, unchecked: perhaps about a masqueraded connection's packet. False: it is not. */
  followOut(packet: Packet, nowMs: number): boolean {
    if (!this.#readQuoted(packet)) return false;
    const { table } = this.#connections;
    const entry = table.findReply(this.#key);
    if (!this.#isAlive(entry, nowMs) || !this.#sameAddress(packet.key, KeyWord.virtualAddress)) return false;
    const fault = checkIcmpOf(packet);
    if (fault !== undefined) {
      this.#tally.drops[Drop[fault]]! += 1;
      return true;
    }
    const { words } = table;
    const destination = words[entry + EntryWord.destination]!;
    const leaseSlot = this.#destinations.leaseSlots[destination]!;
    if (!this.#leases.isValid(leaseSlot)) {
      this.#tally.drops[Drop.noLease]! += 1;
      return true;
    }
    const hop = this.#clientHops.find(packet.ipv6, packet.key, KeyWord.virtualAddress);
    const virtual = entry + EntryWord.virtualAddress;
    this.#destinations.countOut(destination, packet.length);
    if (!this.#egress.mayLeave(packet, 0, hop, leaseSlot, words, virtual)) return true;
    prepareErrorOut(packet, this.#quoted, words, virtual, words[entry + EntryWord.ports]! & 0xffff);
    this.#egress.transmit(packet, hop, leaseSlot);
    return true;
  }

  /** The flow that the last message quoted: see `#key`. Zeros, which no flow has, when it could not be read. */
  get quotedKey(): Int32Array {
    return this.#key;
  }

  #isAlive(entry: number, nowMs: number): boolean {
    if (entry === absent || this.#connections.hasExpired(entry, nowMs)) return false;
    const destination = this.#connections.table.words[entry + EntryWord.destination]!;
    return this.#destinations.services[destination] !== undefined;
  }

  /** Fills `#key`. False for a message whose quotation cannot be read, or that no connection has a use for. */
  #readQuoted(packet: Packet): boolean {
    const quoted = this.#quoted;
    this.#key.fill(0);
    if (packet.transport + IcmpOffset.payload > packet.end || !isFollowed(packet)) return false;
    if (!quoted.readQuoted(packet, packet.transport + IcmpOffset.payload)) return false;
    if (quoted.protocol !== IpProtocol.tcp && quoted.protocol !== IpProtocol.udp) return false;
    const key = this.#key;
    for (let i = 0; i < 4; i += 1) {
      key[KeyWord.clientAddress + i] = quoted.key[KeyWord.virtualAddress + i]!;
      key[KeyWord.virtualAddress + i] = quoted.key[KeyWord.clientAddress + i]!;
    }
    const ports = quoted.key[KeyWord.ports]!;
    key[KeyWord.ports] = (ports << 16) | (ports >>> 16);
    key[KeyWord.head] = quoted.key[KeyWord.head]!;
    return true;
  }

  /** Whether the quoted packet's source is the address in `words` from `at` on. */
  #sameAddress(words: Int32Array, at: number): boolean {
    for (let i = 0; i < 4; i += 1) if (words[at + i] !== this.#key[KeyWord.virtualAddress + i]) return false;
    return true;
  }
}

/** A redirect concerns only the link that it is sent on, and source quench is obsolete (RFC 6633). */
function isFollowed(packet: Packet): boolean {
  const type = packet.memory[packet.transport + IcmpOffset.type]!;
  if (packet.ipv6) return type >= Icmpv6Type.destinationUnreachable && type <= Icmpv6Type.parameterProblem;
  return (
    type === IcmpType.destinationUnreachable || type === IcmpType.timeExceeded || type === IcmpType.parameterProblem
  );
}

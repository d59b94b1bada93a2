// SPDX-License-Identifier: Apache-2.0
import { readU16, writeU16, writeU32 } from '../../lib/bytes.ts';
import { addToSum, internetChecksum, updateChecksum } from '../../lib/checksum.ts';
import { type Family, familyOf, ipAddressBytes, parseIpAddress } from '../../lib/ip-address.ts';
import { checked, errno, type PinnedMemory, pinnedMemory, sendto } from '../../platform/linux/libc.ts';
import { errnos } from '../../platform/linux/system-error.ts';

/** The source and destination of segments. */
export interface SegmentRoute {
  readonly source: string;
  readonly destination: string;
  readonly port: number;
  readonly sourceMac: string;
  readonly gatewayMac: string;
}

/** The first source port that nobody has reserved. */
export const sourcePortMin = 1_024;
export const sourcePortCount = 65_536 - sourcePortMin;

/** What a segment is to its receiver: one of TCP by its flags, or a UDP datagram. */
export const segmentKinds = ['syn', 'synAck', 'ack', 'fin', 'rst', 'udp'] as const;
export type SegmentKind = (typeof segmentKinds)[number];

const tcpFlags: Readonly<Record<Exclude<SegmentKind, 'udp'>, number>> = {
  syn: 0x02,
  synAck: 0x12,
  ack: 0x10,
  fin: 0x11,
  rst: 0x04,
};
const ipOffset = 14;
/** A datagram carries 12 bytes, so that it is as long as a segment without options. */
const transportLength = 20;
const tcp = { protocol: 6, checksumOffset: 16 } as const;
const udp = { protocol: 17, checksumOffset: 6 } as const;

/**
 * One segment without data as a whole frame, of which sender and sequence number may be changed between two
 * transmissions.
 */
export class SegmentFrame {
  readonly family: Family;
  readonly #frame: PinnedMemory;
  readonly #transportOffset: number;
  readonly #checksumOffset: number;

  constructor(route: SegmentRoute, kind: SegmentKind = 'syn') {
    const { protocol, checksumOffset } = kind === 'udp' ? udp : tcp;
    this.family = familyOf(parseIpAddress(route.source)!);
    this.#transportOffset = ipOffset + (this.family === 'ipv4' ? 20 : 40);
    this.#frame = pinnedMemory(this.#transportOffset + transportLength);
    const { bytes } = this.#frame;
    this.#checksumOffset = this.#transportOffset + checksumOffset;
    if (this.family === 'ipv4') writeIpv4(bytes, route, protocol);
    else writeIpv6(bytes, route, protocol);
    writeTransport(bytes, route, this.#transportOffset, kind);
    writeU16(bytes, this.#checksumOffset, transportChecksum(bytes, route, this.#transportOffset, protocol));
  }

  /** Of a TCP segment only. */
  setSequence(sequence: number): void {
    this.#change(this.#transportOffset + 4, (sequence >>> 16) & 0xffff, false);
    this.#change(this.#transportOffset + 6, sequence & 0xffff, false);
  }

  setSourcePort(port: number): void {
    this.#change(this.#transportOffset, port, false);
  }

  /** The last 32 bits of the source address, of which the first `prefixLength` stay as they are. */
  setHost(bits: number, prefixLength: number): void {
    const offset = this.family === 'ipv4' ? ipOffset + 12 : ipOffset + 8 + 12;
    const hostMask = 0xffff_ffff >>> prefixLength;
    const high = (hostMask >>> 16) & 0xffff;
    const low = hostMask & 0xffff;
    const { bytes } = this.#frame;
    const isIpv4 = this.family === 'ipv4';
    this.#change(offset, (readU16(bytes, offset) & ~high) | ((bits >>> 16) & high), isIpv4);
    this.#change(offset + 2, (readU16(bytes, offset + 2) & ~low) | (bits & low), isIpv4);
  }

  /** On a packet socket that is bound to an interface. False when a queue on its way is full. */
  send(fd: number): boolean {
    const result = sendto(fd, this.#frame.address, this.#frame.bytes.length, 0, 0, 0);
    if (result < 0 && errno() === errnos.ENOBUFS) return false;
    checked('sendto', result, 'send a segment');
    return true;
  }

  /** A field that the transport's checksum covers, by its pseudo-header at least; IPv4's header has a checksum of its own. */
  #change(offset: number, value: number, inIpv4Header: boolean): void {
    const { bytes } = this.#frame;
    const former = readU16(bytes, offset);
    const sums = inIpv4Header ? [this.#checksumOffset, ipOffset + 10] : [this.#checksumOffset];
    for (const sum of sums) writeU16(bytes, sum, updateChecksum(readU16(bytes, sum), former, value));
    writeU16(bytes, offset, value);
  }
}

function writeIpv4(frame: Uint8Array, options: SegmentRoute, protocol: number): void {
  writeU16(frame, 12, 0x0800);
  // RFC 791: version and header length, total length, don't fragment, TTL, protocol.
  frame[ipOffset] = 0x45;
  writeU16(frame, ipOffset + 2, frame.length - ipOffset);
  writeU16(frame, ipOffset + 6, 0x4000);
  frame[ipOffset + 8] = 64;
  frame[ipOffset + 9] = protocol;
  frame.set(bytesOf(options.source), ipOffset + 12);
  frame.set(bytesOf(options.destination), ipOffset + 16);
  writeU16(frame, ipOffset + 10, internetChecksum(frame, ipOffset, 20));
}

function writeIpv6(frame: Uint8Array, options: SegmentRoute, protocol: number): void {
  writeU16(frame, 12, 0x86dd);
  // RFC 8200: version, payload length, next header, hop limit.
  frame[ipOffset] = 0x60;
  writeU16(frame, ipOffset + 4, transportLength);
  frame[ipOffset + 6] = protocol;
  frame[ipOffset + 7] = 64;
  frame.set(bytesOf(options.source), ipOffset + 8);
  frame.set(bytesOf(options.destination), ipOffset + 24);
}

function writeTransport(frame: Uint8Array, options: SegmentRoute, offset: number, kind: SegmentKind): void {
  frame.set(macBytes(options.gatewayMac), 0);
  frame.set(macBytes(options.sourceMac), 6);
  writeU16(frame, offset, sourcePortMin);
  writeU16(frame, offset + 2, options.port);
  if (kind === 'udp') {
    // RFC 768: the length includes the header.
    writeU16(frame, offset + 4, transportLength);
    return;
  }
  // RFC 9293: sequence and acknowledgement number, data offset 5 and flags, window.
  writeU32(frame, offset + 4, 1);
  writeU32(frame, offset + 8, kind === 'syn' || kind === 'rst' ? 0 : 1);
  writeU16(frame, offset + 12, 0x5000 | tcpFlags[kind]);
  writeU16(frame, offset + 14, 64_240);
}

function transportChecksum(frame: Uint8Array, options: SegmentRoute, offset: number, protocol: number): number {
  // Both addresses stand right before the transport header.
  const addressesLength = 2 * bytesOf(options.source).length;
  const pseudoHeader = addToSum(protocol + transportLength, frame, offset - addressesLength, addressesLength);
  return internetChecksum(frame, offset, transportLength, pseudoHeader);
}

function bytesOf(address: string): Uint8Array {
  return ipAddressBytes(parseIpAddress(address)!);
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

// SPDX-License-Identifier: Apache-2.0
import { readU16, writeU16, writeU32 } from '../../lib/bytes.ts';
import { addToSum, internetChecksum, updateChecksum } from '../../lib/checksum.ts';
import { type Family, familyOf, ipAddressBytes, parseIpAddress } from '../../lib/ip-address.ts';
import { checked, errno, type PinnedMemory, pinnedMemory, sendto } from '../../platform/linux/libc.ts';
import { errnos } from '../../platform/linux/system-error.ts';

/** The source and destination of SYNs. */
export interface SynRoute {
  readonly source: string;
  readonly destination: string;
  readonly port: number;
  readonly sourceMac: string;
  readonly gatewayMac: string;
}

/** The first source port that nobody has reserved. */
export const sourcePortMin = 1_024;
export const sourcePortCount = 65_536 - sourcePortMin;

const ipOffset = 14;
const tcpHeaderLength = 20;

/** One TCP SYN as a whole frame, of which the sender may be changed between two transmissions. */
export class SynFrame {
  readonly family: Family;
  readonly #frame: PinnedMemory;
  readonly #tcpOffset: number;

  constructor(route: SynRoute) {
    this.family = familyOf(parseIpAddress(route.source)!);
    this.#tcpOffset = ipOffset + (this.family === 'ipv4' ? 20 : 40);
    this.#frame = pinnedMemory(this.#tcpOffset + tcpHeaderLength);
    const { bytes } = this.#frame;
    if (this.family === 'ipv4') writeIpv4(bytes, route);
    else writeIpv6(bytes, route);
    writeSyn(bytes, route, this.#tcpOffset);
  }

  setSourcePort(port: number): void {
    this.#change(this.#tcpOffset, port, false);
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
    checked('sendto', result, 'send a SYN');
    return true;
  }

  /** A field that TCP's checksum covers, by its pseudo-header at least; IPv4's header has a checksum of its own. */
  #change(offset: number, value: number, inIpv4Header: boolean): void {
    const { bytes } = this.#frame;
    const former = readU16(bytes, offset);
    const sums = inIpv4Header ? [this.#tcpOffset + 16, ipOffset + 10] : [this.#tcpOffset + 16];
    for (const sum of sums) writeU16(bytes, sum, updateChecksum(readU16(bytes, sum), former, value));
    writeU16(bytes, offset, value);
  }
}

function writeIpv4(frame: Uint8Array, options: SynRoute): void {
  writeU16(frame, 12, 0x0800);
  // RFC 791: version and header length, total length, don't fragment, TTL, protocol TCP.
  frame[ipOffset] = 0x45;
  writeU16(frame, ipOffset + 2, frame.length - ipOffset);
  writeU16(frame, ipOffset + 6, 0x4000);
  frame[ipOffset + 8] = 64;
  frame[ipOffset + 9] = 6;
  frame.set(bytesOf(options.source), ipOffset + 12);
  frame.set(bytesOf(options.destination), ipOffset + 16);
  writeU16(frame, ipOffset + 10, internetChecksum(frame, ipOffset, 20));
}

function writeIpv6(frame: Uint8Array, options: SynRoute): void {
  writeU16(frame, 12, 0x86dd);
  // RFC 8200: version, payload length, next header TCP, hop limit.
  frame[ipOffset] = 0x60;
  writeU16(frame, ipOffset + 4, tcpHeaderLength);
  frame[ipOffset + 6] = 6;
  frame[ipOffset + 7] = 64;
  frame.set(bytesOf(options.source), ipOffset + 8);
  frame.set(bytesOf(options.destination), ipOffset + 24);
}

function writeSyn(frame: Uint8Array, options: SynRoute, tcpOffset: number): void {
  frame.set(macBytes(options.gatewayMac), 0);
  frame.set(macBytes(options.sourceMac), 6);
  // RFC 9293: ports, sequence number, data offset 5 and SYN, window.
  writeU16(frame, tcpOffset, sourcePortMin);
  writeU16(frame, tcpOffset + 2, options.port);
  writeU32(frame, tcpOffset + 4, 1);
  writeU16(frame, tcpOffset + 12, 0x5002);
  writeU16(frame, tcpOffset + 14, 64_240);
  // Both addresses stand right before the TCP header.
  const addressesLength = 2 * bytesOf(options.source).length;
  const pseudoHeader = addToSum(6 + tcpHeaderLength, frame, tcpOffset - addressesLength, addressesLength);
  writeU16(frame, tcpOffset + 16, internetChecksum(frame, tcpOffset, tcpHeaderLength, pseudoHeader));
}

function bytesOf(address: string): Uint8Array {
  return ipAddressBytes(parseIpAddress(address)!);
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

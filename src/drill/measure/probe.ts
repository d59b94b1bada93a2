// SPDX-License-Identifier: Apache-2.0
import { readU16, writeU16, writeU32 } from '../../lib/bytes.ts';
import { addToSum, internetChecksum, updateChecksum } from '../../lib/checksum.ts';
import { familyOf, ipAddressBytes, parseIpAddress } from '../../lib/ip-address.ts';
import { checked, pinnedMemory, sendto } from '../../platform/linux/libc.ts';
import { serveRemote } from '../remote.ts';
import { openTransmitter } from './packet-socket.ts';

// One TCP SYN every millisecond to the virtual address, each from another port, so that the wire shows to the
// millisecond when a director forwards. Raw frames: the kernel would keep state and retransmit.

export interface ProbeOptions {
  readonly interface: string;
  readonly source: string;
  readonly destination: string;
  readonly port: number;
  readonly sourceMac: string;
  readonly gatewayMac: string;
}

const ipOffset = 14;
const tcpHeaderLength = 20;
const sourcePortMin = 1_024;
const sourcePortCount = 65_536 - sourcePortMin;
/** After a hold-up at most so many are sent at once: the rest was missed, and a burst would measure nothing. */
const burstMax = 5;

let timer: NodeJS.Timeout | undefined;

serveRemote({
  start: (options: ProbeOptions) => {
    const fd = openTransmitter(options.interface);
    const isIpv4 = familyOf(parseIpAddress(options.source)!) === 'ipv4';
    const tcpOffset = ipOffset + (isIpv4 ? 20 : 40);
    const frame = pinnedMemory(tcpOffset + tcpHeaderLength);
    if (isIpv4) writeIpv4(frame.bytes, options);
    else writeIpv6(frame.bytes, options);
    writeSyn(frame.bytes, options, tcpOffset);
    let sent = 0;
    let due = performance.now();
    timer = setInterval(() => {
      const nowMs = performance.now();
      due = Math.max(due, nowMs - burstMax);
      for (; due <= nowMs; due += 1) {
        setSourcePort(frame.bytes, tcpOffset, sourcePortMin + (sent % sourcePortCount));
        checked('sendto', sendto(fd, frame.address, frame.bytes.length, 0, 0, 0), 'send a probe');
        sent += 1;
      }
    }, 1);
  },
  stop: () => clearInterval(timer),
});

function writeIpv4(frame: Uint8Array, options: ProbeOptions): void {
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

function writeIpv6(frame: Uint8Array, options: ProbeOptions): void {
  writeU16(frame, 12, 0x86dd);
  // RFC 8200: version, payload length, next header TCP, hop limit.
  frame[ipOffset] = 0x60;
  writeU16(frame, ipOffset + 4, tcpHeaderLength);
  frame[ipOffset + 6] = 6;
  frame[ipOffset + 7] = 64;
  frame.set(bytesOf(options.source), ipOffset + 8);
  frame.set(bytesOf(options.destination), ipOffset + 24);
}

function writeSyn(frame: Uint8Array, options: ProbeOptions, tcpOffset: number): void {
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

function setSourcePort(frame: Uint8Array, tcpOffset: number, port: number): void {
  const checksum = updateChecksum(readU16(frame, tcpOffset + 16), readU16(frame, tcpOffset), port);
  writeU16(frame, tcpOffset, port);
  writeU16(frame, tcpOffset + 16, checksum);
}

function bytesOf(address: string): Uint8Array {
  return ipAddressBytes(parseIpAddress(address)!);
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

// SPDX-License-Identifier: Apache-2.0
import { readU16, writeU16, writeU32 } from '../../lib/bytes.ts';
import { addToSum, internetChecksum, updateChecksum } from '../../lib/checksum.ts';
import { ipAddressBytes, parseIpAddress } from '../../lib/ip-address.ts';
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

const frameLength = 54;
const ipOffset = 14;
const tcpOffset = 34;
const sourcePortMin = 1_024;
const sourcePortCount = 65_536 - sourcePortMin;
/** After a hold-up at most so many are sent at once: the rest was missed, and a burst would measure nothing. */
const burstMax = 5;

let timer: NodeJS.Timeout | undefined;

serveRemote({
  start: (options: ProbeOptions) => {
    const fd = openTransmitter(options.interface);
    const frame = pinnedMemory(frameLength);
    writeSyn(frame.bytes, options);
    let sent = 0;
    let due = performance.now();
    timer = setInterval(() => {
      const nowMs = performance.now();
      due = Math.max(due, nowMs - burstMax);
      for (; due <= nowMs; due += 1) {
        setSourcePort(frame.bytes, sourcePortMin + (sent % sourcePortCount));
        checked('sendto', sendto(fd, frame.address, frameLength, 0, 0, 0), 'send a probe');
        sent += 1;
      }
    }, 1);
  },
  stop: () => clearInterval(timer),
});

function writeSyn(frame: Uint8Array, options: ProbeOptions): void {
  frame.set(macBytes(options.gatewayMac), 0);
  frame.set(macBytes(options.sourceMac), 6);
  writeU16(frame, 12, 0x0800);
  // RFC 791: version and header length, total length, don't fragment, TTL, protocol TCP.
  frame[ipOffset] = 0x45;
  writeU16(frame, ipOffset + 2, frameLength - ipOffset);
  writeU16(frame, ipOffset + 6, 0x4000);
  frame[ipOffset + 8] = 64;
  frame[ipOffset + 9] = 6;
  frame.set(ipAddressBytes(parseIpAddress(options.source)!), ipOffset + 12);
  frame.set(ipAddressBytes(parseIpAddress(options.destination)!), ipOffset + 16);
  writeU16(frame, ipOffset + 10, internetChecksum(frame, ipOffset, 20));
  // RFC 9293: ports, sequence number, data offset 5 and SYN, window.
  writeU16(frame, tcpOffset, sourcePortMin);
  writeU16(frame, tcpOffset + 2, options.port);
  writeU32(frame, tcpOffset + 4, 1);
  writeU16(frame, tcpOffset + 12, 0x5002);
  writeU16(frame, tcpOffset + 14, 64_240);
  const pseudoHeader = addToSum(6 + 20, frame, ipOffset + 12, 8);
  writeU16(frame, tcpOffset + 16, internetChecksum(frame, tcpOffset, 20, pseudoHeader));
}

function setSourcePort(frame: Uint8Array, port: number): void {
  const checksum = updateChecksum(readU16(frame, tcpOffset + 16), readU16(frame, tcpOffset), port);
  writeU16(frame, tcpOffset, port);
  writeU16(frame, tcpOffset + 16, checksum);
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

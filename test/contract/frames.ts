// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { foldSum } from '../../src/lib/checksum.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { arpLength, emitArp, parseArp } from '../../src/wire/arp.ts';
import { EtherType, emitEthernet, formatMacAddress, parseEthernet } from '../../src/wire/ethernet.ts';
import { emitIcmp, icmpLength, parseIcmp } from '../../src/wire/icmp.ts';
import { emitIpv4, parseIpv4, writeIpv4Checksum } from '../../src/wire/ipv4.ts';
import { emitTcp, parseTcp, TcpFlag, TcpOffset, tcpLength } from '../../src/wire/tcp.ts';
import { writeTransportChecksum } from '../../src/wire/transport-checksum.ts';

// Frames of the contract suite, built and read with the wire codecs and checked with arithmetic of their own.

export interface TcpFields {
  readonly source?: string;
  readonly destination?: string;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly flags?: string;
  readonly sequence?: number;
  readonly acknowledgement?: number;
  readonly payload?: Uint8Array;
  readonly ttl?: number;
  readonly ipOptions?: Uint8Array;
  readonly dontFragment?: boolean;
  readonly moreFragments?: boolean;
  readonly fragmentOffset?: number;
  readonly sourceMac?: Uint8Array;
  readonly destinationMac?: Uint8Array;
  /** The checksum field holds the pseudo-header's sum alone. */
  readonly partial?: boolean;
}

const ip = (text: string): IpAddress => text as IpAddress;
const clientMac = Uint8Array.of(2, 0xc, 0, 0, 0, 1);
const directorMac = Uint8Array.of(2, 0, 0, 0, 0xd0, 1);
const none = new Uint8Array(0);
const ipHeader = 14;

const flagLetters = { F: TcpFlag.fin, S: TcpFlag.syn, R: TcpFlag.rst, P: TcpFlag.psh, A: TcpFlag.ack } as const;

export function tcpFrame(fields: TcpFields = {}): Uint8Array {
  const payload = fields.payload ?? none;
  const flags = [...(fields.flags ?? 'S')].reduce((bits, letter) => bits | flagLetters[letter as 'S'], 0);
  const tcp = {
    sourcePort: fields.sourcePort ?? 40000,
    destinationPort: fields.destinationPort ?? 80,
    // A reset counts only with the number behind the SYN.
    sequence: fields.sequence ?? ((flags & 0x06) === 0x04 ? 1001 : 1000),
    acknowledgement: fields.acknowledgement ?? 0,
    flags,
    window: 64240,
    checksum: 0,
    urgentPointer: 0,
    options: none,
  };
  const options = fields.ipOptions ?? none;
  const tcpAt = ipHeader + 20 + options.length;
  const length = tcpAt + tcpLength(tcp) + payload.length;
  const frame = new Uint8Array(length);
  emitEthernet(
    {
      destination: fields.destinationMac ?? directorMac,
      source: fields.sourceMac ?? clientMac,
      etherType: EtherType.ipv4,
    },
    frame,
    0,
  );
  emitIpv4(
    {
      trafficClass: 0,
      totalLength: length - ipHeader,
      identification: 7,
      dontFragment: fields.dontFragment ?? true,
      moreFragments: fields.moreFragments ?? false,
      fragmentOffset: fields.fragmentOffset ?? 0,
      ttl: fields.ttl ?? 64,
      protocol: 6,
      source: ip(fields.source ?? '198.51.100.7'),
      destination: ip(fields.destination ?? '192.0.2.80'),
      options,
    },
    frame,
    ipHeader,
  );
  const payloadAt = emitTcp(tcp, frame, tcpAt);
  frame.set(payload, payloadAt);
  writeTransportChecksum(frame, ipHeader, tcpAt, length - tcpAt, TcpOffset.checksum);
  if (fields.partial) {
    const sum = pseudoHeaderSum(frame, length - tcpAt);
    frame[tcpAt + TcpOffset.checksum] = sum >>> 8;
    frame[tcpAt + TcpOffset.checksum + 1] = sum;
  }
  return frame;
}

export function echoFrame(fields: { type?: number; destination?: string; payload?: Uint8Array } = {}): Uint8Array {
  const message = { type: fields.type ?? 8, code: 0, rest: 0x0a0b0001, payload: fields.payload ?? new Uint8Array(16) };
  const frame = new Uint8Array(34 + icmpLength(message));
  emitEthernet({ destination: directorMac, source: clientMac, etherType: EtherType.ipv4 }, frame, 0);
  emitIpv4(
    {
      trafficClass: 0,
      totalLength: frame.length - 14,
      identification: 1,
      dontFragment: false,
      moreFragments: false,
      fragmentOffset: 0,
      ttl: 9,
      protocol: 1,
      source: ip('198.51.100.7'),
      destination: ip(fields.destination ?? '192.0.2.80'),
      options: none,
    },
    frame,
    14,
  );
  emitIcmp(message, frame, 34);
  return frame;
}

export function arpFrame(operation: number, sender: string, target: string): Uint8Array {
  const frame = new Uint8Array(14 + arpLength());
  emitEthernet({ destination: new Uint8Array(6).fill(0xff), source: clientMac, etherType: EtherType.arp }, frame, 0);
  const message = {
    operation,
    senderMac: clientMac,
    senderAddress: ip(sender),
    targetMac: new Uint8Array(6),
    targetAddress: ip(target),
  };
  emitArp(message, frame, 14);
  return frame;
}

/** Repairs the IP checksum after a test has bent the header. */
export function repaired(frame: Uint8Array, bend: (frame: Uint8Array) => void): Uint8Array {
  bend(frame);
  writeIpv4Checksum(frame, 14);
  return frame;
}

/**
 * A frame in one line, in the manner of tcpdump, after every checksum has been verified by arithmetic that the engine
 * does not use.
 */
export function describeFrame(frame: Uint8Array, partial = false): string {
  const ethernet = parseEthernet(frame);
  assert.ok(ethernet.ok);
  const macs = `${formatMacAddress(ethernet.value.source)} > ${formatMacAddress(ethernet.value.destination)}`;
  if (ethernet.value.etherType === EtherType.arp) {
    const arp = parseArp(frame, 14);
    assert.ok(arp.ok);
    const { operation, senderMac, senderAddress, targetMac, targetAddress } = arp.value;
    const sides = `${senderAddress}/${formatMacAddress(senderMac)} > ${targetAddress}/${formatMacAddress(targetMac)}`;
    return `${macs} arp ${operation} ${sides}`;
  }
  const header = parseIpv4(frame, 14);
  assert.ok(header.ok, `IP header: ${header.ok ? '' : header.reason}`);
  assert.equal(header.value.totalLength, frame.length - 14, 'no bytes behind the packet');
  const { source, destination, ttl, protocol, options } = header.value;
  const at = 34 + options.length;
  if (protocol === 1) {
    const icmp = parseIcmp(frame, at);
    assert.ok(icmp.ok, 'ICMP checksum');
    const { type, code, rest, payload } = icmp.value;
    return `${macs} ${source} > ${destination} ttl ${ttl} icmp ${type}/${code} ${rest} +${payload.length}`;
  }
  const tcp = parseTcp(frame, at);
  assert.ok(tcp.ok);
  const sum = foldSum(pseudoHeaderSum(frame, frame.length - at) + (partial ? 0 : wordSum(frame, at)));
  if (partial) assert.equal(tcp.value.checksum, sum, 'partial TCP checksum');
  else assert.equal(sum, 0xffff, 'TCP checksum');
  const flags = Object.entries(flagLetters)
    .filter(([, bit]) => (tcp.value.flags & bit) !== 0)
    .map(([letter]) => letter)
    .join('');
  const length = frame.length - at - tcpLength(tcp.value);
  const numbers = `seq ${tcp.value.sequence} ack ${tcp.value.acknowledgement} +${length}`;
  const flow = `${source}:${tcp.value.sourcePort} > ${destination}:${tcp.value.destinationPort}`;
  return `${macs} ${flow} ttl ${ttl} ${flags} ${numbers}`;
}

function pseudoHeaderSum(frame: Uint8Array, transportLength: number): number {
  return foldSum(wordSum(frame.subarray(26, 34), 0) + 6 + transportLength);
}

function wordSum(bytes: Uint8Array, from: number): number {
  let sum = 0;
  for (let i = from; i < bytes.length; i += 2) sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
  return sum;
}

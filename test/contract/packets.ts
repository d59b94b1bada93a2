// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { foldSum } from '../../src/lib/checksum.ts';
import { type IpAddress, ipAddressBytes } from '../../src/lib/ip-address.ts';
import { EtherType, emitEthernet, formatMacAddress, parseEthernet } from '../../src/wire/ethernet.ts';
import { emitIpv4, parseIpv4 } from '../../src/wire/ipv4.ts';
import { emitIpv6, parseIpv6 } from '../../src/wire/ipv6.ts';
import { emptyIpv6Transport, locateIpv6Transport } from '../../src/wire/ipv6-extensions.ts';

// Packets of either family, laid out by hand where the codecs of src/wire would repeat the engine's own reading.

export interface PacketFields {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** The bytes after the IP header, checksums and extension headers included. */
  readonly payload: Uint8Array;
  readonly ttl?: number;
  readonly sourceMac?: Uint8Array;
  readonly destinationMac?: Uint8Array;
  /** IPv4 only: see `ipv6Fragments` for the other family. */
  readonly identification?: number;
  readonly fragmentOffset?: number;
  readonly moreFragments?: boolean;
}

const directorMac = Uint8Array.of(2, 0, 0, 0, 0xd0, 1);
const clientMac = Uint8Array.of(2, 0xc, 0, 0, 0, 1);
const ip = (text: string): IpAddress => text as IpAddress;

export function packetFrame(fields: PacketFields): Uint8Array {
  const isIpv6 = fields.source.includes(':');
  const header = 14 + (isIpv6 ? 40 : 20);
  const frame = new Uint8Array(header + fields.payload.length);
  const destination = fields.destinationMac ?? directorMac;
  const source = fields.sourceMac ?? clientMac;
  emitEthernet({ destination, source, etherType: isIpv6 ? EtherType.ipv6 : EtherType.ipv4 }, frame, 0);
  const ends = { source: ip(fields.source), destination: ip(fields.destination) };
  if (isIpv6) {
    const { length: payloadLength } = fields.payload;
    const hopLimit = fields.ttl ?? 64;
    emitIpv6(
      { ...ends, trafficClass: 0, flowLabel: 0, payloadLength, nextHeader: fields.protocol, hopLimit },
      frame,
      14,
    );
  } else {
    const { identification = 7, fragmentOffset = 0, moreFragments = false, ttl = 64, protocol } = fields;
    const rest = { trafficClass: 0, dontFragment: false, options: new Uint8Array(0) };
    const totalLength = frame.length - 14;
    emitIpv4(
      { ...ends, ...rest, totalLength, identification, fragmentOffset, moreFragments, ttl, protocol },
      frame,
      14,
    );
  }
  frame.set(fields.payload, header);
  return frame;
}

export const concat = (...parts: readonly ArrayLike<number>[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => Array.from(part)));

/** The folded ones' complement sum of a pseudo-header and the bytes after it. */
function sumOf(source: string, destination: string, protocol: number, bytes: Uint8Array): number {
  let sum = protocol + bytes.length;
  const all = concat(ipAddressBytes(ip(source)), ipAddressBytes(ip(destination)), bytes);
  for (let i = 0; i < all.length; i += 2) sum += all[i]! * 256 + (all[i + 1] ?? 0);
  return foldSum(sum);
}

/** Fills in the checksum at `field`, over the pseudo-header unless it is ICMPv4. */
export function withChecksum(source: string, destination: string, protocol: number, bytes: Uint8Array, field: number) {
  const isIcmpv4 = protocol === 1;
  const sum = isIcmpv4
    ? sumOf('0.0.0.0', '0.0.0.0', 65_535 - bytes.length, bytes)
    : sumOf(source, destination, protocol, bytes);
  bytes[field] = (sum ^ 0xffff) >>> 8;
  bytes[field + 1] = sum ^ 0xffff;
  return bytes;
}

export interface Flow {
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

/** A UDP datagram with its header. `checksum` 'none' leaves it zero. */
export function udpOf(flow: Flow, data: Uint8Array, options: { length?: number; checksum?: 'none' } = {}): Uint8Array {
  const length = options.length ?? 8 + data.length;
  const { sourcePort, destinationPort } = flow;
  const bytes = concat(
    [sourcePort >> 8, sourcePort, destinationPort >> 8, destinationPort, length >> 8, length, 0, 0],
    data,
  );
  if (options.checksum === 'none') return bytes;
  return withChecksum(flow.source, flow.destination, 17, bytes, 6);
}

export function tcpOf(
  flow: Flow,
  flags: number,
  data: Uint8Array = new Uint8Array(0),
  { sequence = 1000, acknowledgement = 0 }: { sequence?: number; acknowledgement?: number } = {},
): Uint8Array {
  const { sourcePort, destinationPort } = flow;
  const ports = [sourcePort >> 8, sourcePort, destinationPort >> 8, destinationPort];
  const numbers = [sequence, acknowledgement].flatMap((number) => [24, 16, 8, 0].map((shift) => number >>> shift));
  const bytes = concat(ports, numbers, [0x50, flags, 0xff, 0, 0, 0, 0, 0], data);
  return withChecksum(flow.source, flow.destination, 6, bytes, 16);
}

export const Flags = { syn: 2, ack: 16, synAck: 18, fin: 17, rst: 4 } as const;

export function udpFrame(
  flow: Flow,
  data: Uint8Array = new Uint8Array(4),
  more: Partial<PacketFields> = {},
): Uint8Array {
  return packetFrame({ ...flow, protocol: 17, payload: udpOf(flow, data), ...more });
}

export function segmentFrame(
  flow: Flow,
  flags: number,
  more: Partial<PacketFields> = {},
  data?: Uint8Array,
): Uint8Array {
  return packetFrame({ ...flow, protocol: 6, payload: tcpOf(flow, flags, data), ...more });
}

/** An ICMP or ICMPv6 message; `rest` is its second word. */
export function icmpFrame(
  ends: { source: string; destination: string },
  type: number,
  code: number,
  rest: readonly number[],
  body: Uint8Array,
  more: Partial<PacketFields> = {},
): Uint8Array {
  const protocol = ends.source.includes(':') ? 58 : 1;
  const message = concat([type, code, 0, 0], rest, body);
  const payload = withChecksum(ends.source, ends.destination, protocol, message, 2);
  return packetFrame({ ...ends, protocol, payload, ...more });
}

/** The IP packet in a frame, as an ICMP error quotes it. */
export const quote = (frame: Uint8Array, length = frame.length): Uint8Array => frame.slice(14, 14 + length);

/** Frames of the fragments of an IPv6 payload, cut at `cuts` (bytes of the fragmentable part). */
export function ipv6Fragments(fields: PacketFields, cuts: readonly number[]): Uint8Array[] {
  const edges = [0, ...cuts, fields.payload.length];
  return edges.slice(1).map((end, i) => {
    const from = edges[i]!;
    const field = from | (end < fields.payload.length ? 1 : 0);
    const header = [fields.protocol, 0, field >> 8, field, 0, 0, 0, fields.identification ?? 9];
    return packetFrame({ ...fields, protocol: 44, payload: concat(header, fields.payload.subarray(from, end)) });
  });
}

export function ipv4Fragments(fields: PacketFields, cuts: readonly number[]): Uint8Array[] {
  const edges = [0, ...cuts, fields.payload.length];
  return edges.slice(1).map((end, i) => {
    const fragmentOffset = edges[i]!;
    const payload = fields.payload.subarray(fragmentOffset, end);
    return packetFrame({ ...fields, payload, fragmentOffset, moreFragments: end < fields.payload.length });
  });
}

/** An IP packet in one line, its checksums computed again. The payload of a fragment is not read. */
export function describePacket(bytes: Uint8Array): string {
  const isIpv6 = bytes[0]! >>> 4 === 6;
  const header = isIpv6 ? parseIpv6(bytes) : parseIpv4(bytes);
  assert.ok(header.ok, `IP header: ${header.ok ? '' : header.reason}`);
  const { source, destination } = header.value;
  const found = emptyIpv6Transport();
  if (isIpv6) assert.equal(locateIpv6Transport(bytes, 0, bytes.length, found), undefined);
  const ttl = 'hopLimit' in header.value ? header.value.hopLimit : header.value.ttl;
  const protocol = 'protocol' in header.value ? header.value.protocol : found.protocol;
  const pieces = 'fragmentOffset' in header.value ? header.value : found;
  const isPiece =
    'fragmentOffset' in header.value ? pieces.fragmentOffset > 0 || pieces.moreFragments : found.fragmented;
  const start = isIpv6 ? (isPiece ? found.fragmentStart : found.offset) : 20;
  const body = bytes.subarray(start);
  if (isPiece) {
    const { fragmentOffset, moreFragments } = pieces;
    return `${source} > ${destination} ttl ${ttl} piece ${fragmentOffset}+${body.length}${moreFragments ? ' more' : ''}`;
  }
  const port = (at: number): number => body[at]! * 256 + body[at + 1]!;
  const sum = (): number => sumOf(source, destination, protocol, body);
  if (protocol === 1 || protocol === 58) {
    const total = protocol === 1 ? sumOf('0.0.0.0', '0.0.0.0', 65_535 - body.length, body) : sum();
    assert.equal(total, 0xffff, 'ICMP checksum');
    return `${source} > ${destination} ttl ${ttl} icmp ${body[0]}/${body[1]} +${body.length - 8}`;
  }
  const flow = `${source} ${port(0)} > ${destination} ${port(2)} ttl ${ttl}`;
  if (protocol === 17) {
    if (port(6) !== 0) assert.equal(sum(), 0xffff, 'UDP checksum');
    return `${flow} udp +${body.length - 8}${port(6) === 0 ? ' no checksum' : ''}`;
  }
  assert.equal(sum(), 0xffff, 'TCP checksum');
  return `${flow} tcp ${body[13]} +${body.length - 20}`;
}

/** Where a frame goes, and its packet: `servers 02:… > 02:… PACKET`. */
export function describeOut(out: { port: string; bytes: Uint8Array }): string {
  const ethernet = parseEthernet(out.bytes);
  assert.ok(ethernet.ok);
  return `${out.port} ${formatMacAddress(ethernet.value.destination)} ${describePacket(out.bytes.subarray(14))}`;
}

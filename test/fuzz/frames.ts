// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { ipAddressBytes } from '../../src/lib/ip-address.ts';
import { arpLength, emitArp } from '../../src/wire/arp.ts';
import { EtherType, emitEthernet } from '../../src/wire/ethernet.ts';
import { emitIpv4, writeIpv4Checksum } from '../../src/wire/ipv4.ts';
import { emitIpv6 } from '../../src/wire/ipv6.ts';
import { portMac } from '../contract/engine-under-test.ts';
import { concat, type Flow, tcpOf, udpOf, withChecksum } from '../contract/packets.ts';
import {
  familyOfAddress,
  gateway,
  rarely,
  seldom,
  serverHosts,
  serverPorts,
  servicePorts,
  virtualAddresses,
} from './configurations.ts';

/** A frame in few words: numbers index the pools below. */
export interface FramePlan {
  readonly side: 'clients' | 'servers';
  readonly body: BodyPlan;
  readonly flow: FlowPlan;
  readonly shape: ShapePlan;
}

/** Who talks to whom. `reply`: the real server to the client. */
export interface FlowPlan {
  readonly reply: boolean;
  /** Index into `virtualAddresses`: the family, too. */
  readonly address: number;
  readonly port: number;
  readonly client: number;
  readonly clientPort: number;
  readonly host: number;
  readonly serverPort: number;
}

export type BodyPlan =
  | { readonly sort: 'tcp'; readonly flags: number; readonly length: number }
  | { readonly sort: 'udp'; readonly length: number; readonly checksum: boolean; readonly lengthError: number }
  | { readonly sort: 'icmp'; readonly type: number; readonly code: number; readonly length: number }
  | { readonly sort: 'other'; readonly protocol: number; readonly length: number }
  | {
      readonly sort: 'error';
      readonly type: number;
      readonly code: number;
      readonly about: FlowPlan;
      readonly udp: boolean;
      readonly quoted: number;
      readonly router: number;
    }
  | { readonly sort: 'arp'; readonly operation: number; readonly own: boolean }
  | { readonly sort: 'solicitation'; readonly group: boolean; readonly detection: boolean; readonly option: number };

/** How a frame is not like others. */
export interface ShapePlan {
  readonly ttl: number;
  readonly dontFragment: boolean;
  /** IPv4 options, in words of 4 bytes; with IPv6, extension headers as indexes into `extensions`. */
  readonly extras: readonly number[];
  /** A piece of the datagram: in units of 8 bytes; `odd` bytes more. */
  readonly piece:
    | {
        readonly name: number;
        readonly from: number;
        readonly units: number;
        readonly odd: number;
        readonly more: boolean;
      }
    | undefined;
  /** Index into `oddSources`. */
  readonly source: number | undefined;
  /** 0: as it ought to be; else an index into `addressings`, from 1. */
  readonly mac: number;
  readonly bends: readonly { readonly at: number; readonly bit: number }[];
  /** The IPv4 header's checksum is made right after bending. */
  readonly repair: boolean;
  /** Bytes that are missing at the end, or so many too many. */
  readonly cut: number;
  readonly padding: number;
}

export const clients = {
  ipv4: ['198.51.100.7', '198.51.100.8', '203.0.113.9'],
  ipv6: ['2001:db8:c::7', '2001:db8:c::8', '2001:db8:d::9'],
} as const;
export const clientPorts = [4000, 4001, 0] as const;
const routers = { ipv4: ['203.0.113.1', gateway], ipv6: ['2001:db8:c::1', '2001:db8:a::fe'] } as const;
const oddSources = {
  ipv4: ['127.0.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255', '240.0.0.1', '192.0.2.80', '192.0.2.81', gateway],
  ipv6: ['::', '::1', 'ff02::1', 'fe80::1', '::ffff:c633:6407', '2001:db8::80', '2001:db8::81', '2001:db8:a::fe'],
} as const;
const clientMac = Uint8Array.of(2, 0xc, 0, 0, 0, 1);
const groupMac = Uint8Array.of(0x33, 0x33, 0xff, 0, 0, 0x80);
const broadcastMac = new Uint8Array(6).fill(0xff);
/** Destination MAC addresses of frames that have not their own. */
const addressings = [groupMac, broadcastMac, portMac.clients] as const;
/** IPv6 extension headers: protocol number, and what stands in it behind the number of the next. */
const extensions: readonly { protocol: number; bytes: readonly number[] }[] = [
  { protocol: 60, bytes: [0, 1, 4, 0, 0, 0, 0] },
  { protocol: 0, bytes: [0, 1, 4, 0, 0, 0, 0] },
  { protocol: 43, bytes: [0, 0, 0, 0, 0, 0, 0] },
  { protocol: 43, bytes: [0, 0, 1, 0, 0, 0, 0] },
  { protocol: 51, bytes: [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] },
  { protocol: 44, bytes: [0, 0, 0, 0, 0, 0, 1] },
  { protocol: 60, bytes: [1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] },
  { protocol: 135, bytes: [0, 0, 0, 0, 0, 0, 0] },
  { protocol: 50, bytes: [0, 0, 0, 1, 0, 0, 0] },
  { protocol: 60, bytes: [200, 1, 4, 0, 0, 0, 0] },
];

export function frameOf({ body, flow: planned, shape }: FramePlan): Uint8Array {
  const flow = body.sort === 'solicitation' ? { ...planned, address: planned.address | 2 } : planned;
  const family = familyOfAddress(flow.address);
  if (body.sort === 'arp') return finished(arpOf(body, flow), shape, false);
  const { source, destination, protocol, payload, ttl, mac } = packetOf(body, flow, family);
  const ends = { source: shape.source === undefined ? source : oddSources[family][shape.source]!, destination };
  const piece = shape.piece;
  const part =
    piece === undefined ? payload : payload.subarray(piece.from * 8, (piece.from + piece.units) * 8 + piece.odd);
  const kind = { protocol, ttl: ttl ?? shape.ttl };
  const frame = family === 'ipv4' ? ipv4Of(ends, kind, part, shape) : ipv6Of(ends, kind, part, shape);
  if (mac !== undefined) frame.set(mac);
  return finished(frame, shape, family === 'ipv4');
}

/** The frame as its plan bends it. */
function finished(frame: Uint8Array, shape: ShapePlan, isIpv4: boolean): Uint8Array {
  if (shape.mac > 0) frame.set(addressings[shape.mac - 1]!);
  for (const { at, bit } of shape.bends) if (at < frame.length) frame[at]! ^= 1 << bit;
  if (isIpv4 && shape.repair && frame[14] === 0x45) writeIpv4Checksum(frame, 14);
  // A driver hands over nothing shorter than an Ethernet header.
  const kept = frame.subarray(0, Math.max(14, frame.length - shape.cut));
  return concat(kept, new Uint8Array(shape.padding));
}

interface PlainPacket {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly payload: Uint8Array;
  readonly ttl?: number;
  readonly mac?: Uint8Array;
}

function packetOf(body: Exclude<BodyPlan, { sort: 'arp' }>, plan: FlowPlan, family: 'ipv4' | 'ipv6'): PlainPacket {
  const flow = flowOf(plan);
  const { source, destination } = flow;
  switch (body.sort) {
    case 'tcp':
      return { source, destination, protocol: 6, payload: tcpOf(flow, body.flags, filler(body.length)) };
    case 'udp': {
      const options = {
        length: 8 + body.length + body.lengthError,
        ...(body.checksum ? {} : { checksum: 'none' as const }),
      };
      return { source, destination, protocol: 17, payload: udpOf(flow, filler(body.length), options) };
    }
    case 'icmp':
    case 'error':
    case 'solicitation':
      return icmpOf(body, plan, family);
    case 'other':
      return { source, destination, protocol: body.protocol, payload: filler(body.length) };
  }
}

function icmpOf(
  body: Extract<BodyPlan, { sort: 'icmp' | 'error' | 'solicitation' }>,
  plan: FlowPlan,
  family: 'ipv4' | 'ipv6',
): PlainPacket {
  const flow = flowOf(plan);
  const protocol = family === 'ipv4' ? 1 : 58;
  const message = (source: string, destination: string, words: readonly number[], rest: Uint8Array): PlainPacket => {
    const payload = withChecksum(source, destination, protocol, concat(words, rest), 2);
    return { source, destination, protocol, payload };
  };
  if (body.sort === 'icmp') {
    return message(flow.source, flow.destination, [body.type, body.code, 0, 0, 0, 1, 0, 2], filler(body.length));
  }
  if (body.sort === 'solicitation') {
    const target = virtualAddresses[plan.address]!;
    const source = body.detection ? '::' : clients.ipv6[plan.client]!;
    const options = [
      [],
      [1, 1, ...clientMac],
      [14, 1, 0, 0, 0, 0, 0, 0],
      [1, 0, 0, 0, 0, 0, 0, 0],
      [1, 9, 0, 0, 0, 0, 0, 0],
    ];
    const rest = concat(ipAddressBytes(target as IpAddress), options[body.option]!);
    const group = `ff02::1:ff00:${target.slice(-2)}`;
    const packet = message(source, body.group ? group : target, [135, 0, 0, 0, 0, 0, 0, 0], rest);
    return { ...packet, ttl: 255, ...(body.group ? { mac: groupMac } : {}) };
  }
  const about = { ...body.about, address: plan.address };
  const quoted = quotedPacket(about, body.udp, family).subarray(0, body.quoted);
  const router = routers[family][body.router]!;
  const destination = about.reply ? virtualAddresses[plan.address]! : clients[family][about.client]!;
  return message(router, destination, [body.type, body.code, 0, 0, 0, 0, 5, 0], quoted);
}

/** What a router on the way quotes: the virtual address's packet to the client, or the client's packet to the real server. */
function quotedPacket(plan: FlowPlan, udp: boolean, family: 'ipv4' | 'ipv6'): Uint8Array {
  const client = { address: clients[family][plan.client]!, port: clientPorts[plan.clientPort]! };
  const virtual = { address: virtualAddresses[plan.address]!, port: servicePorts[plan.port]! };
  const server = { address: serverHosts[family][plan.host]!, port: serverPorts[plan.serverPort]! };
  const [from, to] = plan.reply ? [virtual, client] : [client, server];
  const flow = { source: from.address, sourcePort: from.port, destination: to.address, destinationPort: to.port };
  const payload = udp ? udpOf(flow, filler(12)) : tcpOf(flow, 16, filler(12));
  const kind = { protocol: udp ? 17 : 6, ttl: 9 };
  const frame = family === 'ipv4' ? ipv4Of(flow, kind, payload, plainShape) : ipv6Of(flow, kind, payload, plainShape);
  return frame.subarray(14);
}

function flowOf(plan: FlowPlan): Flow {
  const family = familyOfAddress(plan.address);
  const client = { address: clients[family][plan.client]!, port: clientPorts[plan.clientPort]! };
  const [from, to] = plan.reply
    ? [{ address: serverHosts[family][plan.host]!, port: serverPorts[plan.serverPort]! }, client]
    : [client, { address: virtualAddresses[plan.address]!, port: servicePorts[plan.port]! }];
  return { source: from.address, sourcePort: from.port, destination: to.address, destinationPort: to.port };
}

interface Ends {
  readonly source: string;
  readonly destination: string;
}

function ipv4Of(
  ends: Ends,
  kind: { protocol: number; ttl: number },
  payload: Uint8Array,
  shape: ShapePlan,
): Uint8Array {
  const options = Uint8Array.from({ length: 4 * shape.extras.length }, () => 1);
  const start = 34 + options.length;
  const frame = new Uint8Array(start + payload.length);
  emitEthernet({ destination: portMac.clients, source: clientMac, etherType: EtherType.ipv4 }, frame, 0);
  emitIpv4(
    {
      trafficClass: 0,
      totalLength: frame.length - 14,
      identification: shape.piece?.name ?? 7,
      dontFragment: shape.dontFragment,
      moreFragments: shape.piece?.more ?? false,
      fragmentOffset: (shape.piece?.from ?? 0) * 8,
      ttl: kind.ttl,
      protocol: kind.protocol,
      source: ends.source as IpAddress,
      destination: ends.destination as IpAddress,
      options,
    },
    frame,
    14,
  );
  frame.set(payload, start);
  return frame;
}

function ipv6Of(
  ends: Ends,
  kind: { protocol: number; ttl: number },
  payload: Uint8Array,
  shape: ShapePlan,
): Uint8Array {
  let next = kind.protocol;
  let chain: Uint8Array = payload;
  if (shape.piece !== undefined) {
    const { name, from, more } = shape.piece;
    const field = (from * 8) | (more ? 1 : 0);
    chain = concat([next, 0, field >> 8, field, 0, 0, 0, name], chain);
    next = 44;
  }
  for (const index of shape.extras.toReversed()) {
    const { protocol, bytes } = extensions[index % extensions.length]!;
    chain = concat([next], bytes, chain);
    next = protocol;
  }
  const frame = new Uint8Array(54 + chain.length);
  emitEthernet({ destination: portMac.clients, source: clientMac, etherType: EtherType.ipv6 }, frame, 0);
  const header = { trafficClass: 0, flowLabel: 5, payloadLength: chain.length, nextHeader: next, hopLimit: kind.ttl };
  emitIpv6({ ...header, source: ends.source as IpAddress, destination: ends.destination as IpAddress }, frame, 14);
  frame.set(chain, 54);
  return frame;
}

function arpOf(body: Extract<BodyPlan, { sort: 'arp' }>, plan: FlowPlan): Uint8Array {
  const frame = new Uint8Array(14 + arpLength());
  emitEthernet({ destination: broadcastMac, source: clientMac, etherType: EtherType.arp }, frame, 0);
  const target = plan.reply ? gateway : virtualAddresses[plan.address & 1]!;
  const sender = body.own ? target : clients.ipv4[plan.client]!;
  const ends = { senderMac: clientMac, targetMac: new Uint8Array(6) };
  const addresses = { senderAddress: sender as IpAddress, targetAddress: target as IpAddress };
  emitArp({ operation: body.operation, ...ends, ...addresses }, frame, 14);
  return frame;
}

function filler(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i * 7);
}

const plainShape: ShapePlan = {
  ttl: 64,
  dontFragment: true,
  extras: [],
  piece: undefined,
  source: undefined,
  mac: 0,
  bends: [],
  repair: false,
  cut: 0,
  padding: 0,
};

export const flowPlans: fc.Arbitrary<FlowPlan> = fc.record({
  reply: rarely(3),
  address: fc.constantFrom(0, 0, 1, 2, 2, 3),
  port: fc.nat(1),
  client: fc.nat(2),
  clientPort: fc.constantFrom(0, 0, 0, 0, 1, 1, 1, 2),
  host: fc.nat(2),
  serverPort: fc.nat(1),
});

/** SYN, ACK, SYN-ACK, data, FIN-ACK, RST, and some that no one sends. */
const flagPlans = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(2, 2, 2, 16, 16, 18, 24, 17, 4, 20) },
  { weight: 1, arbitrary: fc.nat(255) },
);
const lengths = fc.oneof(
  { weight: 6, arbitrary: fc.nat(40) },
  { weight: 1, arbitrary: fc.constantFrom(1200, 1440, 1460, 1500, 1900) },
);

const tcpPlans = fc.record({ sort: fc.constant('tcp' as const), flags: flagPlans, length: lengths });
const udpPlans = fc.record({
  sort: fc.constant('udp' as const),
  length: lengths,
  checksum: rarely(5).map((no) => !no),
  lengthError: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 1, -1, -9),
});
const icmpPlans = fc.record({
  sort: fc.constant('icmp' as const),
  type: fc.constantFrom(8, 128, 8, 128, 0, 129, 13, 133, 136),
  code: fc.constantFrom(0, 0, 0, 1),
  length: lengths,
});
const otherPlans = fc.record({
  sort: fc.constant('other' as const),
  protocol: fc.constantFrom(47, 50, 112, 132, 58, 1, 59),
  length: fc.nat(40),
});
const errorPlans = fc.record({
  sort: fc.constant('error' as const),
  type: fc.constantFrom(3, 3, 11, 12, 4, 5, 1, 1, 2, 127),
  code: fc.nat(4),
  about: flowPlans,
  udp: fc.boolean(),
  quoted: fc.constantFrom(1000, 1000, 28, 48, 60, 27, 47, 20, 0),
  router: fc.nat(1),
});
const arpPlans = fc.record({
  sort: fc.constant('arp' as const),
  operation: fc.constantFrom(1, 1, 1, 2, 0),
  own: rarely(5),
});
const solicitationPlans = fc.record({
  sort: fc.constant('solicitation' as const),
  group: fc.boolean(),
  detection: rarely(4),
  option: fc.nat(4),
});

const bodyPlans: fc.Arbitrary<BodyPlan> = fc.oneof(
  { weight: 12, arbitrary: tcpPlans },
  { weight: 8, arbitrary: udpPlans },
  { weight: 3, arbitrary: errorPlans },
  { weight: 1, arbitrary: icmpPlans },
  { weight: 1, arbitrary: arpPlans },
  { weight: 1, arbitrary: solicitationPlans },
  { weight: 1, arbitrary: otherPlans },
);

const oddShapes: fc.Arbitrary<ShapePlan> = fc.record({
  ttl: fc.constantFrom(64, 64, 64, 64, 255, 2, 1, 0),
  dontFragment: fc.boolean(),
  extras: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(fc.nat(9), { maxLength: 9 }) },
  ),
  piece: seldom(
    3,
    fc.record({
      name: fc.nat(1),
      from: fc.constantFrom(0, 0, 0, 1, 2, 3, 8, 8191),
      units: fc.constantFrom(1, 2, 3, 8, 300),
      odd: fc.constantFrom(0, 0, 0, 3),
      more: fc.boolean(),
    }),
  ),
  source: seldom(5, fc.nat(7)),
  mac: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3),
  bends: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    {
      weight: 1,
      arbitrary: fc.array(fc.record({ at: fc.integer({ min: 12, max: 110 }), bit: fc.nat(7) }), { maxLength: 3 }),
    },
  ),
  repair: fc.boolean(),
  cut: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(120) }),
  padding: fc.constantFrom(0, 0, 0, 6, 18),
});

/** Pieces, mostly of datagrams that are there as a whole in the end. */
const pieceShapes: fc.Arbitrary<ShapePlan> = fc
  .record({
    name: fc.nat(1),
    from: fc.constantFrom(0, 0, 3, 6),
    units: fc.constantFrom(3, 3, 6),
    more: fc.boolean(),
  })
  .map((piece) => ({ ...plainShape, dontFragment: false, piece: { ...piece, odd: 0 } }));

export const framePlans: fc.Arbitrary<FramePlan> = fc
  .record({
    side: fc.boolean().map((other) => (other ? ('servers' as const) : ('clients' as const))),
    body: bodyPlans,
    flow: flowPlans,
    shape: fc.oneof(
      { weight: 6, arbitrary: fc.constant(plainShape) },
      { weight: 2, arbitrary: oddShapes },
      { weight: 1, arbitrary: pieceShapes },
    ),
  })
  .map((plan) => ({ ...plan, side: plan.flow.reply ? 'servers' : 'clients' }));

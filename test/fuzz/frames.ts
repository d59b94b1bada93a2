// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { ipAddressBytes } from '../../src/lib/ip-address.ts';
import { arpLength, emitArp } from '../../src/wire/arp.ts';
import { EtherType, emitEthernet } from '../../src/wire/ethernet.ts';
import { emitIpv4, writeIpv4Checksum } from '../../src/wire/ipv4.ts';
import { emitIpv6 } from '../../src/wire/ipv6.ts';
import { portMac } from '../contract/engine-under-test.ts';
import { concat, type Flow, tcpOf, udpOf, withChecksum } from '../contract/packets.ts';
import {
  type ConfigurationPlan,
  familyOfAddress,
  gateways,
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

/** The two ends of a flow in a configuration. `reply`: from the real server to the client. */
export interface FlowPlan {
  readonly reply: boolean;
  /** Index into the services; of a stray, into `virtualAddresses` and `servicePorts`. */
  readonly service: number;
  /** Index into `clients`. */
  readonly client: number;
  readonly clientPort: number;
  /** Index into the service's real servers; of a stray, into `serverHosts` and `serverPorts`. */
  readonly server: number;
  /** Between ends that need not be in the configuration. */
  readonly stray: boolean;
}

/** The ends of a flow. */
export interface Ends {
  readonly family: 'ipv4' | 'ipv6';
  readonly udp: boolean;
  readonly client: { readonly address: string; readonly port: number };
  readonly virtual: { readonly address: string; readonly port: number };
  readonly server: { readonly address: string; readonly port: number };
}

export type BodyPlan =
  /** A packet of the service's protocol, or of the other one. `flags` are TCP's, the last two UDP's. */
  | {
      readonly sort: 'segment';
      readonly flags: number;
      readonly length: number;
      readonly otherProtocol: boolean;
      readonly checksum: boolean;
      readonly lengthError: number;
      /** TCP's: sequence number and acknowledgement; absent: 1000 and 0. */
      readonly sequence?: number;
      readonly acknowledgement?: number;
    }
  | { readonly sort: 'icmp'; readonly type: number; readonly code: number; readonly length: number }
  | { readonly sort: 'other'; readonly protocol: number; readonly length: number }
  /** About a packet the other way, as a router on the way has seen it: to the client, or to the real server. */
  | {
      readonly sort: 'error';
      readonly type: number;
      readonly code: number;
      readonly otherProtocol: boolean;
      readonly quoted: number;
      readonly router: number;
    }
  | { readonly sort: 'arp'; readonly operation: number; readonly own: boolean; readonly gateway: boolean }
  | {
      readonly sort: 'solicitation';
      readonly group: boolean;
      readonly detection: boolean;
      readonly option: number;
    };

/** How a frame deviates from a plain one. */
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
  /** A VLAN tag of this EtherType; 0: none. */
  readonly tag: number;
  readonly bends: readonly { readonly at: number; readonly bit: number }[];
  /** The IPv4 header's checksum is made right after bending. */
  readonly repair: boolean;
  /** Bytes that are missing at the end, and bytes that are added there. */
  readonly cut: number;
  readonly padding: number;
}

const clients = {
  ipv4: ['198.51.100.7', '198.51.100.8', '203.0.113.9'],
  ipv6: ['2001:db8:c::7', '2001:db8:c::8', '2001:db8:d::9'],
} as const;
const routers = { ipv4: ['203.0.113.1', gateways[0]], ipv6: ['2001:db8:c::1', '2001:db8:a::fe'] } as const;
const oddSources = {
  ipv4: ['127.0.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255', '240.0.0.1', '192.0.2.80', '192.0.2.81', gateways[0]],
  ipv6: ['::', '::1', 'ff02::1', 'fe80::1', '::ffff:c633:6407', '2001:db8::80', '2001:db8::81', '2001:db8:a::fe'],
} as const;
const clientMac = Uint8Array.of(2, 0xc, 0, 0, 0, 1);
const groupMac = Uint8Array.of(0x33, 0x33, 0xff, 0, 0, 0x80);
const broadcastMac = new Uint8Array(6).fill(0xff);
/** Destination MAC addresses of frames that are not sent to the port's own. */
const addressings = [groupMac, broadcastMac, portMac.clients, Uint8Array.of(2, 0, 0, 0, 0xee, 1)] as const;
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

export function frameOf({ body, flow, shape }: FramePlan, configuration: ConfigurationPlan): Uint8Array {
  const ends = endsOf(flow, configuration);
  if (body.sort === 'arp') return finished(arpOf(body, flow, ends), shape, false);
  const { source, destination, protocol, payload, ttl, mac } = packetOf(body, flow, ends);
  const isIpv4 = !destination.includes(':');
  const odd = oddSources[isIpv4 ? 'ipv4' : 'ipv6'];
  const addresses = { source: shape.source === undefined ? source : odd[shape.source]!, destination };
  const { piece } = shape;
  const end = piece === undefined ? 0 : (piece.from + piece.units) * 8 + piece.odd;
  const part = piece === undefined ? payload : payload.subarray(piece.from * 8, end);
  const kind = { protocol, ttl: ttl ?? shape.ttl };
  const frame = isIpv4 ? ipv4Of(addresses, kind, part, shape) : ipv6Of(addresses, kind, part, shape);
  if (mac !== undefined) frame.set(mac);
  return finished(frame, shape, isIpv4);
}

export function endsOf(flow: FlowPlan, { services }: ConfigurationPlan): Ends {
  const service = services[flow.service % Math.max(1, services.length)];
  if (service === undefined || flow.stray) return strayEnds(flow);
  const family = familyOfAddress(service.address);
  const server = service.servers[flow.server % Math.max(1, service.servers.length)];
  const port = servicePorts[service.port]!;
  return {
    family,
    udp: service.udp,
    client: { address: clients[family][flow.client]!, port: flow.clientPort },
    virtual: { address: virtualAddresses[service.address]!, port },
    server:
      server === undefined
        ? strayEnds(flow).server
        : { address: serverHosts[family][server.host]!, port: server.direct ? port : serverPorts[server.port]! },
  };
}

function strayEnds({ service, client, clientPort, server }: FlowPlan): Ends {
  const address = service % virtualAddresses.length;
  const family = familyOfAddress(address);
  return {
    family,
    udp: server > 2,
    client: { address: clients[family][client]!, port: clientPort },
    virtual: { address: virtualAddresses[address]!, port: servicePorts[service % servicePorts.length]! },
    server: { address: serverHosts[family][server % 3]!, port: serverPorts[server % 2]! },
  };
}

/** The frame as its plan bends it. */
function finished(frame: Uint8Array, shape: ShapePlan, isIpv4: boolean): Uint8Array {
  if (shape.mac > 0) frame.set(addressings[shape.mac - 1]!);
  for (const { at, bit } of shape.bends) if (at < frame.length) frame[at]! ^= 1 << bit;
  if (isIpv4 && shape.repair && frame[14] === 0x45) writeIpv4Checksum(frame, 14);
  // A driver hands over nothing shorter than an Ethernet header.
  const kept = frame.subarray(0, Math.max(14, frame.length - shape.cut));
  const tag = shape.tag === 0 ? [] : [shape.tag >> 8, shape.tag, 0, 5];
  return concat(kept.subarray(0, 12), tag, kept.subarray(12), new Uint8Array(shape.padding));
}

interface PlainPacket {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly payload: Uint8Array;
  readonly ttl?: number;
  readonly mac?: Uint8Array;
}

function packetOf(body: Exclude<BodyPlan, { sort: 'arp' }>, plan: FlowPlan, ends: Ends): PlainPacket {
  const flow = flowOf(plan, ends);
  const { source, destination } = flow;
  switch (body.sort) {
    case 'segment': {
      const data = filler(body.length);
      if (ends.udp === body.otherProtocol)
        return { source, destination, protocol: 6, payload: tcpOf(flow, body.flags, data, body) };
      const length = 8 + body.length + body.lengthError;
      const options = { length, ...(body.checksum ? {} : { checksum: 'none' as const }) };
      return { source, destination, protocol: 17, payload: udpOf(flow, data, options) };
    }
    case 'icmp':
      return message(source, destination, [body.type, body.code, 0, 0, 0, 1, 0, 2], filler(body.length));
    case 'error':
      return errorOf(body, plan, ends);
    case 'solicitation':
      return solicitationOf(body, plan, ends);
    case 'other':
      return { source, destination, protocol: body.protocol, payload: filler(body.length) };
  }
}

function message(source: string, destination: string, head: readonly number[], rest: Uint8Array): PlainPacket {
  const protocol = destination.includes(':') ? 58 : 1;
  return { source, destination, protocol, payload: withChecksum(source, destination, protocol, concat(head, rest), 2) };
}

function solicitationOf(
  { group, detection, option }: Extract<BodyPlan, { sort: 'solicitation' }>,
  plan: FlowPlan,
  ends: Ends,
): PlainPacket {
  const target = ends.family === 'ipv6' ? ends.virtual.address : virtualAddresses[2 + (plan.service & 1)]!;
  const source = detection ? '::' : clients.ipv6[plan.client]!;
  const options = [
    [],
    [1, 1, ...clientMac],
    [14, 1, 0, 0, 0, 0, 0, 0],
    [1, 0, 0, 0, 0, 0, 0, 0],
    [1, 9, 0, 0, 0, 0, 0, 0],
  ];
  const rest = concat(ipAddressBytes(target as IpAddress), options[option]!);
  const destination = group ? `ff02::1:ff00:${target.slice(-2)}` : target;
  const packet = message(source, destination, [135, 0, 0, 0, 0, 0, 0, 0], rest);
  return { ...packet, ttl: 255, ...(group ? { mac: groupMac } : {}) };
}

function errorOf(body: Extract<BodyPlan, { sort: 'error' }>, plan: FlowPlan, ends: Ends): PlainPacket {
  const { client, virtual, server, family } = ends;
  // An error from the client's side quotes a packet from the virtual address, one from the servers' side a client's.
  const [from, to] = plan.reply ? [client, server] : [virtual, client];
  const flow = { source: from.address, sourcePort: from.port, destination: to.address, destinationPort: to.port };
  const isUdp = ends.udp !== body.otherProtocol;
  const payload = isUdp ? udpOf(flow, filler(12)) : tcpOf(flow, 16, filler(12));
  const kind = { protocol: isUdp ? 17 : 6, ttl: 9 };
  const frame = family === 'ipv4' ? ipv4Of(flow, kind, payload, plainShape) : ipv6Of(flow, kind, payload, plainShape);
  const quoted = frame.subarray(14, 14 + body.quoted);
  return message(routers[family][body.router]!, from.address, [body.type, body.code, 0, 0, 0, 0, 5, 0], quoted);
}

function flowOf(plan: FlowPlan, { client, virtual, server }: Ends): Flow {
  const [from, to] = plan.reply ? [server, client] : [client, virtual];
  return { source: from.address, sourcePort: from.port, destination: to.address, destinationPort: to.port };
}

interface Addresses {
  readonly source: string;
  readonly destination: string;
}

function ipv4Of(
  ends: Addresses,
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
  ends: Addresses,
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

function arpOf(body: Extract<BodyPlan, { sort: 'arp' }>, plan: FlowPlan, ends: Ends): Uint8Array {
  const frame = new Uint8Array(14 + arpLength());
  emitEthernet({ destination: broadcastMac, source: clientMac, etherType: EtherType.arp }, frame, 0);
  const virtual = ends.family === 'ipv4' ? ends.virtual.address : virtualAddresses[plan.service & 1]!;
  const target = body.gateway ? gateways[0] : virtual;
  const sender = body.own ? target : clients.ipv4[plan.client]!;
  const addresses = { senderAddress: sender as IpAddress, targetAddress: target as IpAddress };
  emitArp({ operation: body.operation, senderMac: clientMac, targetMac: new Uint8Array(6), ...addresses }, frame, 14);
  return frame;
}

function filler(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i * 7);
}

export const plainShape: ShapePlan = {
  ttl: 64,
  dontFragment: true,
  extras: [],
  piece: undefined,
  source: undefined,
  mac: 0,
  tag: 0,
  bends: [],
  repair: false,
  cut: 0,
  padding: 0,
};

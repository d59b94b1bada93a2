// SPDX-License-Identifier: Apache-2.0
import type { Family } from '../../lib/ip-address.ts';
import { type ForwardingMethod, forwardingMethods } from '../../model/forwarding-method.ts';

// The parts of the lab as plain values, from which `lab.ts` builds it.
//
//   direct-route                                 masquerade
//
//   client  probe                                client  probe
//      └──┬──┘  clients                             └──┬──┘  clients
//       router                                       router
//   ┌──┬──┴─┬────┐  front                         ┌────┴────┐   front
//   a  b   rs1  rs2 …                             a         b
//                                                 └─┬────┬──┘   back
//                                                  rs1  rs2 …

export type LabForwarding = Exclude<ForwardingMethod, 'tunnel'>;
export type DirectorName = 'a' | 'b';
/** Which address families the clients use. */
export type LabFamily = Family | 'both';
type Segment = 'clients' | 'front' | 'back';
type PerFamily = Readonly<Record<Family, string>>;

export interface Link {
  readonly interface: string;
  readonly segment: string;
  /** CIDR notation, one of each family. */
  readonly addresses: PerFamily;
  /** The networks of these addresses, CIDR notation. */
  readonly networks: PerFamily;
  readonly macAddress: string;
}

export interface Station {
  readonly name: string;
  readonly links: readonly Link[];
  /** Extra addresses on `lo`, CIDR notation. */
  readonly loopbackAddresses: readonly string[];
  readonly gateways: PerFamily | undefined;
  /** Networks that it drops packets to, CIDR notation. */
  readonly blackholes: readonly string[];
  /** Below /proc/sys/net, beyond what every station has. */
  readonly settings: Readonly<Record<string, string>>;
}

export interface RealServerStation {
  readonly name: string;
  readonly addresses: PerFamily;
}

export interface Topology {
  readonly forwarding: LabForwarding;
  readonly stations: readonly Station[];
  readonly segments: readonly string[];
  readonly realServers: readonly RealServerStation[];
  /** The real server that may die: it serves nothing but the services that are made for that. */
  readonly mortalServer: RealServerStation;
  /** The interfaces of a director. */
  readonly directorInterfaces: readonly ('front' | 'back')[];
}

/** Every station has addresses of both families; which of them are used is the drill's choice. */
export const virtualAddresses: PerFamily = { ipv4: '198.51.100.100', ipv6: '2001:db8:1::100' };
/** The virtual addresses that real servers behind masquerade have as their default gateways. */
export const gatewayAddresses: PerFamily = { ipv4: '10.77.0.1', ipv6: 'fd00:77::1' };
export const servicePort = 7000;
/** A service whose real servers have no listener: each probe is answered by a reset, and no server keeps any state. */
export const probePort = 7001;
/** The UDP service. */
export const flowPort = 7002;
/** The service of the sessions that are opened all the time, apart from those that live through everything. */
export const openingPort = 7003;
/** The services of which a real server dies, TCP and UDP. */
export const mortalPort = 7004;
export const mortalFlowPort = 7005;
/** A host among the clients that opens them. */
export const openerStation = 'opener';
/** A host on the directors' segment that is neither of them. */
export const strangerStation = 'stranger';
export const clientsNetworks = [
  { address: '203.0.113.0', prefixLength: 24 },
  { address: '2001:db8:3::', prefixLength: 64 },
] as const;
/** The source networks of a flood, in which no host exists (RFC 2544, RFC 5180). The router drops packets to them. */
export const floodNetworks = {
  ipv4: { address: '198.18.0.0', prefixLength: 15 },
  ipv6: { address: '2001:2::', prefixLength: 48 },
} as const;
export const probeAddresses: PerFamily = { ipv4: '203.0.113.20', ipv6: '2001:db8:3::14' };
export const routerOnClients = {
  addresses: { ipv4: '203.0.113.1', ipv6: '2001:db8:3::1' },
  macAddress: '02:00:00:03:00:01',
} as const;
export const familyName: PerFamily = { ipv4: 'IPv4', ipv6: 'IPv6' };

const prefixes: Readonly<Record<Segment, PerFamily & { readonly number: number }>> = {
  clients: { number: 3, ipv4: '203.0.113.', ipv6: '2001:db8:3::' },
  front: { number: 1, ipv4: '198.51.100.', ipv6: '2001:db8:1::' },
  back: { number: 2, ipv4: '10.77.0.', ipv6: 'fd00:77::' },
};
/** Ports for two minutes of 500 sessions a second; one of a finished session may then be used again, as clients do. */
const manyPorts = { 'ipv4/ip_local_port_range': '1024 65000', 'ipv4/tcp_tw_reuse': '1' } as const;
/** By default the kernel removes an interface's other IPv4 addresses, virtual ones too, with the first of their network. */
const keepsSecondaries = { 'ipv4/conf/all/promote_secondaries': '1' } as const;
const routerOnFront: PerFamily = { ipv4: '198.51.100.1', ipv6: '2001:db8:1::1' };

export function familiesOf(family: LabFamily): readonly Family[] {
  return family === 'both' ? ['ipv4', 'ipv6'] : [family];
}

export function describeTopology(forwarding: LabForwarding, realServerCount: number): Topology {
  const { seesReplies } = forwardingMethods[forwarding];
  const segments = seesReplies ? ['clients', 'front', 'back'] : ['clients', 'front'];
  const directorInterfaces = seesReplies ? (['front', 'back'] as const) : (['front'] as const);
  const servers = Array.from({ length: realServerCount }, (_, i) => realServer(forwarding, i + 1));
  const mortal = realServer(forwarding, realServerCount + 1);
  const forwards = { 'ipv4/ip_forward': '1', 'ipv6/conf/all/forwarding': '1' } as const;
  const stations = [
    station('client', [link('clients', 10)], { gateways: routerOnClients.addresses }),
    station('probe', [link('clients', 20)], { gateways: routerOnClients.addresses }),
    station(openerStation, [link('clients', 30)], { gateways: routerOnClients.addresses, settings: manyPorts }),
    station('router', [link('clients', 1), link('front', 1)], {
      settings: forwards,
      blackholes: Object.values(floodNetworks).map(({ address, prefixLength }) => `${address}/${prefixLength}`),
    }),
    station(strangerStation, [link('front', 40)], { gateways: routerOnFront }),
    ...(['a', 'b'] as const).map((name, i) => {
      const links = directorInterfaces.map((segment) => link(segment, 11 + i));
      return station(name, links, { gateways: routerOnFront, settings: keepsSecondaries });
    }),
    ...servers,
    mortal,
  ];
  return {
    forwarding,
    stations,
    segments,
    realServers: servers.map(realServerStation),
    mortalServer: realServerStation(mortal),
    directorInterfaces,
  };
}

/**
 * In direct-route a real server holds the virtual address itself, and must neither answer ARP for it nor name it in
 * its own requests. For IPv6 the kernel answers only for the addresses of the interface that was asked.
 */
function realServer(forwarding: LabForwarding, number: number): Station {
  if (forwardingMethods[forwarding].seesReplies)
    return station(`rs${number}`, [link('back', 20 + number)], { gateways: gatewayAddresses });
  return station(`rs${number}`, [link('front', 20 + number)], {
    gateways: routerOnFront,
    loopbackAddresses: [`${virtualAddresses.ipv4}/32`, `${virtualAddresses.ipv6}/128`],
    settings: { 'ipv4/conf/all/arp_ignore': '1', 'ipv4/conf/all/arp_announce': '2' },
  });
}

function station(name: string, links: readonly Link[], extra: Partial<Station>): Station {
  return { name, links, loopbackAddresses: [], gateways: undefined, blackholes: [], settings: {}, ...extra };
}

function link(segment: Segment, host: number): Link {
  const { number, ipv4, ipv6 } = prefixes[segment];
  const hex = host.toString(16);
  return {
    interface: segment,
    segment,
    addresses: { ipv4: `${ipv4}${host}/24`, ipv6: `${ipv6}${hex}/64` },
    networks: { ipv4: `${ipv4}0/24`, ipv6: `${ipv6}/64` },
    macAddress: `02:00:00:0${number}:00:${hex.padStart(2, '0')}`,
  };
}

function realServerStation({ name, links }: Station): RealServerStation {
  return { name, addresses: plainAddresses(links[0]!) };
}

function plainAddresses({ addresses }: Link): PerFamily {
  return { ipv4: addresses.ipv4.split('/')[0]!, ipv6: addresses.ipv6.split('/')[0]! };
}

/** RFC 4291 appendix A: the address that the kernel gives an interface by its MAC address. */
export function linkLocalOf(macAddress: string): string {
  const [b0, b1, b2, b3, b4, b5] = macAddress.split(':').map((part) => Number.parseInt(part, 16));
  const group = (high: number, low: number): string => ((high << 8) | low).toString(16);
  return `fe80::${group(b0! ^ 2, b1!)}:${group(b2!, 0xff)}:${group(0xfe, b3!)}:${group(b4!, b5!)}`;
}

// SPDX-License-Identifier: Apache-2.0
import type { ForwardingMethod } from '../../model/virtual-service.ts';

// What the lab consists of, as plain values: `build.ts` makes it real.
//
//   direct-route                                 masquerade
//
//   client  probe                                client  probe
//      └──┬──┘  clients 203.0.113.0/24              └──┬──┘  clients 203.0.113.0/24
//       router                                       router
//   ┌──┬──┴─┬────┐  front 198.51.100.0/24         ┌────┴────┐   front 198.51.100.0/24
//   a  b   rs1  rs2 …                             a         b
//                                                 └─┬────┬──┘   back 10.77.0.0/24
//                                                  rs1  rs2 …

export type LabForwarding = Exclude<ForwardingMethod, 'tunnel'>;
export type DirectorName = 'a' | 'b';

export interface Link {
  readonly interface: string;
  readonly segment: string;
  /** CIDR notation. */
  readonly address: string;
  readonly macAddress: string;
}

export interface Station {
  readonly name: string;
  readonly links: readonly Link[];
  /** Extra addresses on `lo`, CIDR notation. */
  readonly loopbackAddresses: readonly string[];
  readonly gateway: string | undefined;
  /** Below /proc/sys/net/ipv4, beyond what every station has. */
  readonly settings: Readonly<Record<string, '0' | '1' | '2'>>;
}

export interface Topology {
  readonly forwarding: LabForwarding;
  readonly stations: readonly Station[];
  readonly segments: readonly string[];
  readonly realServers: readonly { readonly name: string; readonly address: string }[];
  /** The interface on which directors send packets to real servers. */
  readonly serverSideInterface: 'front' | 'back';
}

export const virtualAddress = '198.51.100.100';
/** The virtual address that real servers behind masquerade have as their default gateway. */
export const gatewayAddress = '10.77.0.1';
export const servicePort = 7000;
/** A service whose real servers have no listener: each probe is answered by a reset, and no server keeps any state. */
export const probePort = 7001;
export const clientsNetwork = { address: '203.0.113.0', prefixLength: 24 } as const;
export const probeAddress = '203.0.113.20';
export const routerOnClients = { address: '203.0.113.1', macAddress: '02:00:00:03:00:01' } as const;

const routerOnFront = '198.51.100.1';

export function describeTopology(forwarding: LabForwarding, realServerCount: number): Topology {
  const isDirect = forwarding === 'direct-route';
  const segments = isDirect ? ['clients', 'front'] : ['clients', 'front', 'back'];
  const servers = Array.from({ length: realServerCount }, (_, i) => realServer(forwarding, i + 1));
  const stations = [
    station('client', [clientsLink(10)], { gateway: routerOnClients.address }),
    station('probe', [clientsLink(20)], { gateway: routerOnClients.address }),
    station('router', [clientsLink(1), frontLink(1)], { settings: { ip_forward: '1' } }),
    ...(['a', 'b'] as const).map((name, i) => {
      const links = isDirect ? [frontLink(11 + i)] : [frontLink(11 + i), backLink(11 + i)];
      return station(name, links, { gateway: routerOnFront });
    }),
    ...servers,
  ];
  const realServers = servers.map(({ name, links }) => ({ name, address: links[0]!.address.split('/')[0]! }));
  return { forwarding, stations, segments, realServers, serverSideInterface: isDirect ? 'front' : 'back' };
}

/**
 * In direct-route a real server holds the virtual address itself, and must neither answer ARP for it nor name it in
 * its own requests.
 */
function realServer(forwarding: LabForwarding, number: number): Station {
  if (forwarding === 'masquerade') return station(`rs${number}`, [backLink(20 + number)], { gateway: gatewayAddress });
  return station(`rs${number}`, [frontLink(20 + number)], {
    gateway: routerOnFront,
    loopbackAddresses: [`${virtualAddress}/32`],
    settings: { 'conf/all/arp_ignore': '1', 'conf/all/arp_announce': '2' },
  });
}

function station(name: string, links: readonly Link[], extra: Partial<Station>): Station {
  return { name, links, loopbackAddresses: [], gateway: undefined, settings: {}, ...extra };
}

function clientsLink(host: number): Link {
  return link('clients', 3, `203.0.113.${host}/24`, host);
}

function frontLink(host: number): Link {
  return link('front', 1, `198.51.100.${host}/24`, host);
}

function backLink(host: number): Link {
  return link('back', 2, `10.77.0.${host}/24`, host);
}

function link(segment: string, number: number, address: string, host: number): Link {
  const macAddress = `02:00:00:0${number}:00:${host.toString(16).padStart(2, '0')}`;
  return { interface: segment, segment, address, macAddress };
}

// SPDX-License-Identifier: Apache-2.0
import { run } from './command.ts';

// The network of the measurements, the same for all contestants:
//
//   client 198.51.100.10 ── front ── balancer ── back ── 10.77.0.21 … 24 servers
//
// Generator and client run on one processor, the balancer's processes on the other; what the kernel does for a packet
// it does on the processor that handed it the packet. All neighbours are known, so that nothing is asked for.

export const namespaces = { client: 'client', balancer: 'balancer', servers: 'servers' } as const;
export const processors = { client: 0, balancer: 1, servers: 1 } as const;
export const addresses = { client: '198.51.100.10', balancer: '198.51.100.11', virtual: '198.51.100.100' } as const;
export const realServers = ['10.77.0.21', '10.77.0.22', '10.77.0.23', '10.77.0.24'] as const;
const gateway = '10.77.0.1';
export const flowPort = 7002;
export const httpPort = 7000;
export const macs = {
  client: '02:00:00:01:00:0a',
  front: '02:00:00:01:00:0b',
  back: '02:00:00:02:00:01',
  servers: '02:00:00:02:00:15',
} as const;

/** Datagrams end here, counted, before the servers' stack sees them. */
const sink = `table netdev bench {
  counter arrived { }
  chain sink {
    type filter hook ingress device back priority 0
    udp dport ${flowPort} counter name arrived drop
  }
}
`;

const settings: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  client: { 'ipv4/ip_local_port_range': '1024 65000', 'ipv4/tcp_tw_reuse': '1' },
  balancer: {
    'ipv4/ip_local_port_range': '1024 65000',
    'ipv4/tcp_tw_reuse': '1',
    'ipv4/conf/all/send_redirects': '0',
  },
  servers: { 'core/somaxconn': '8192', 'ipv4/tcp_max_syn_backlog': '8192' },
};

/** Builds the namespaces. Nothing has to be removed: they end with the sandbox. */
export async function buildGround(): Promise<void> {
  for (const name of Object.values(namespaces)) await run('ip', ['netns', 'add', name]);
  await run('ip', ['-batch', '-'], cables());
  for (const [name, commands] of Object.entries(furnishings())) {
    await run('ip', ['-netns', name, '-batch', '-'], `${commands.join('\n')}\n`);
    const common = { 'ipv4/conf/all/rp_filter': '0', 'ipv4/conf/default/rp_filter': '0' };
    for (const [file, value] of Object.entries({ ...common, ...settings[name] }))
      await inside(name, ['tee', `/proc/sys/net/${file}`], value);
  }
  for (const device of ['front', 'back'])
    await inside(namespaces.balancer, ['tee', `/proc/sys/net/ipv4/conf/${device}/rp_filter`], '0');
  // A redirect to a veth is delivered only when the other end has switched receive merging on.
  await inside(namespaces.balancer, ['ethtool', '-K', 'front', 'gro', 'on']);
  await inside(namespaces.servers, ['nft', '-f', '-'], sink);
}

/** Runs a tool in one of the namespaces. */
export function inside(namespace: string, command: readonly string[], input = ''): Promise<string> {
  return run('nsenter', [`--net=/run/netns/${namespace}`, '--', ...command], input);
}

/** The index of the interface that the generator sends through. */
export async function clientInterfaceIndex(): Promise<number> {
  const [link] = JSON.parse(await inside(namespaces.client, ['ip', '-j', 'link', 'show', 'dev', 'front'])) as [
    { ifindex: number },
  ];
  return link.ifindex;
}

/** Datagrams that have reached the servers so far. */
export async function arrivedCount(): Promise<number> {
  const listing = await inside(namespaces.servers, ['nft', '-j', 'list', 'counters']);
  const { nftables } = JSON.parse(listing) as { nftables: { counter?: { packets: number } }[] };
  return nftables.find(({ counter }) => counter !== undefined)!.counter!.packets;
}

function cables(): string {
  const cable = (name: string, [a, macA]: readonly string[], [b, macB]: readonly string[]): string =>
    `link add ${name} netns ${a} address ${macA} type veth peer name ${name} netns ${b} address ${macB}\n`;
  const { client, balancer, servers } = namespaces;
  return (
    cable('front', [client, macs.client], [balancer, macs.front]) +
    cable('back', [balancer, macs.back], [servers, macs.servers])
  );
}

function furnishings(): Record<string, string[]> {
  const up = (device: string): string[] => ['link set lo up', `link set ${device} up`];
  const neighbour = (address: string, mac: string, device: string): string =>
    `neighbour add ${address} lladdr ${mac} dev ${device} nud permanent`;
  return {
    [namespaces.client]: [
      ...up('front'),
      `address add ${addresses.client}/24 dev front`,
      neighbour(addresses.virtual, macs.front, 'front'),
      neighbour(addresses.balancer, macs.front, 'front'),
    ],
    [namespaces.balancer]: [
      ...up('front'),
      'link set back up',
      `address add ${addresses.balancer}/24 dev front`,
      `address add ${gateway}/24 dev back`,
      neighbour(addresses.client, macs.client, 'front'),
      ...realServers.map((address) => neighbour(address, macs.servers, 'back')),
    ],
    [namespaces.servers]: [
      ...up('back'),
      ...realServers.map((address) => `address add ${address}/24 dev back`),
      `route add default via ${gateway}`,
      neighbour(gateway, macs.back, 'back'),
    ],
  };
}

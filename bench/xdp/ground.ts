// SPDX-License-Identifier: Apache-2.0
import { run } from '../command.ts';
import { inside, macs, namespaces } from '../ground.ts';

// The same three namespaces for all contestants:
//
//   clients ── front ── balancer ── back ── servers
//
// Each family has four servers behind `back` (two arms), and four that share the clients' link (one arm). Every address
// is a neighbour that is known. Whatever arrives at either far end is counted by its destination MAC address and dropped
// there by an XDP program, for all contestants alike.

export type Family = 'ipv4' | 'ipv6';
/** Whether real servers are reached over the interface that clients come in by. */
export type Arms = 'one' | 'two';

/** The last byte of a server's MAC address, by which arrivals are counted. */
export const serverMacByte = 0x15;
const serverMac = { one: '02:00:00:01:00:15', two: macs.servers } as const;

/** Clients have these addresses and up to 2^16 more, counted up in their last two bytes. */
export const clientBase: Readonly<Record<Family, string>> = { ipv4: '198.18.0.0', ipv6: '2001:db8:c::' };
export const virtualAddress: Readonly<Record<Family, string>> = { ipv4: '198.51.100.100', ipv6: '2001:db8:f::100' };
export const servers: Readonly<Record<Arms, Readonly<Record<Family, readonly string[]>>>> = {
  one: {
    ipv4: ['198.51.100.21', '198.51.100.22', '198.51.100.23', '198.51.100.24'],
    ipv6: ['2001:db8:f::21', '2001:db8:f::22', '2001:db8:f::23', '2001:db8:f::24'],
  },
  two: {
    ipv4: ['10.77.0.21', '10.77.0.22', '10.77.0.23', '10.77.0.24'],
    ipv6: ['2001:db8:b::21', '2001:db8:b::22', '2001:db8:b::23', '2001:db8:b::24'],
  },
};

/** Builds the namespaces. Nothing has to be removed: they end with the sandbox. */
export async function buildXdpGround(): Promise<void> {
  for (const name of Object.values(namespaces)) await run('ip', ['netns', 'add', name]);
  const { client, balancer, servers: far } = namespaces;
  const cable = (name: string, a: readonly [string, string], b: readonly [string, string]): string =>
    `link add ${name} netns ${a[0]} address ${a[1]} type veth peer name ${name} netns ${b[0]} address ${b[1]}\n`;
  await run(
    'ip',
    ['-batch', '-'],
    cable('front', [client, macs.client], [balancer, macs.front]) +
      cable('back', [balancer, macs.back], [far, macs.servers]),
  );
  for (const name of [client, balancer, far]) await settle(name);
  await inside(client, ['ip', 'link', 'set', 'front', 'up']);
  await inside(far, ['ip', 'link', 'set', 'back', 'up']);
  await inside(balancer, ['ip', '-batch', '-'], furnishings().join('\n'));
  // Without an XDP program at its receiving end a veth delivers redirected frames only with receive merging.
  for (const device of ['front', 'back']) await inside(balancer, ['ethtool', '-K', device, 'gro', 'on']);
}

async function settle(namespace: string): Promise<void> {
  const settings: Readonly<Record<string, string>> = {
    'ipv4/conf/all/rp_filter': '0',
    'ipv4/conf/default/rp_filter': '0',
    'ipv6/conf/all/accept_dad': '0',
    'ipv6/conf/default/accept_dad': '0',
    'ipv6/conf/default/router_solicitations': '0',
  };
  for (const [file, value] of Object.entries(settings)) {
    await inside(namespace, ['tee', `/proc/sys/net/${file}`], value);
  }
}

function furnishings(): string[] {
  const neighbour = (address: string, mac: string, device: string): string =>
    `neighbour add ${address} lladdr ${mac} dev ${device} nud permanent`;
  const known = (arms: Arms, device: string): string[] =>
    [...servers[arms].ipv4, ...servers[arms].ipv6].map((address) => neighbour(address, serverMac[arms], device));
  return [
    'link set lo up',
    'link set front up',
    'link set back up',
    'address add 198.51.100.11/24 dev front',
    'address add 2001:db8:f::11/64 dev front nodad',
    'address add 10.77.0.1/24 dev back',
    'address add 2001:db8:b::1/64 dev back nodad',
    neighbour('198.51.100.10', macs.client, 'front'),
    neighbour('2001:db8:f::10', macs.client, 'front'),
    ...known('one', 'front'),
    ...known('two', 'back'),
    // Clients live behind a router, as most do.
    'route add 198.18.0.0/15 via 198.51.100.10',
    'route add 2001:db8:c::/64 via 2001:db8:f::10',
  ].map((line) => `${line}\n`.trim());
}

// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Family } from '../../lib/ip-address.ts';
import { startRemote } from '../remote.ts';
import { runTool, spawnTool } from './tool.ts';
import { linkLocalOf, type Station, type Topology } from './topology.ts';

export interface Lab {
  readonly topology: Topology;
  /** A private directory that vanishes with the lab. */
  readonly directory: string;
  /** Starts a program in a station's network namespace. */
  spawn(stationName: string, program: string, args: readonly string[], options: SpawnOptions): ChildProcess;
  /** Takes the cable out of a station's interface, at the switch, or puts it in again. */
  setCable(stationName: string, interfaceName: string, plugged: boolean): Promise<void>;
  /** Takes a station's own addresses off an interface, its link stays up, or puts them and the default routes back. */
  setOwnAddresses(
    stationName: string,
    interfaceName: string,
    families: readonly Family[],
    present: boolean,
  ): Promise<void>;
  /** Takes a station's routes over an interface and its default routes away, its addresses stay, or puts them back. */
  setRoutes(stationName: string, interfaceName: string, families: readonly Family[], present: boolean): Promise<void>;
  /** Holds everything back that these stations send to each other, in both directions, on every segment. */
  setApart(stationNames: readonly string[], apart: boolean): Promise<void>;
  /** Holds everything back that one station sends to another. */
  setDeaf(stationName: string, towards: string, deaf: boolean): Promise<void>;
  /** Holds the datagrams of connection synchronisation back that these stations send to each other, and nothing else. */
  setSyncCut(stationNames: readonly string[], cut: boolean): Promise<void>;
  /** A station's namespace and cables vanish. Whatever ran there must have been ended. */
  removeStation(stationName: string): Promise<void>;
  /** Recreates a removed station. */
  restoreStation(stationName: string): Promise<void>;
  /** Removes the namespaces; whatever runs in them must have been ended. */
  remove(): Promise<void>;
}

export interface LabOptions {
  /** Every namespace's name starts with it. */
  readonly prefix: string;
  /** False switches segmentation, receive merging and unfinished checksums off on every interface. */
  readonly offloads: boolean;
  /** Stations that send by XDP: the switch's ports are made to take it. */
  readonly xdpStations?: readonly string[];
}

/** The station that holds the bridges; the capture listens there. */
export const switchStation = 'switch';

const privateDirectory = '/run';
/** The default port of lvs_sync_daemon. */
const syncPort = 8848;
const commonSettings = {
  // A new namespace inherits these from the host, where they may have any value.
  'ipv4/ip_forward': '0',
  'ipv4/conf/all/rp_filter': '0',
  'ipv4/conf/default/rp_filter': '0',
  'ipv4/conf/all/accept_redirects': '0',
  'ipv4/conf/all/send_redirects': '0',
  'ipv4/conf/all/arp_ignore': '0',
  'ipv4/conf/all/arp_announce': '0',
  'ipv6/conf/all/disable_ipv6': '0',
  'ipv6/conf/all/forwarding': '0',
  'ipv6/conf/all/accept_redirects': '0',
} as const;

/** Once in a sandbox, before the first lab: a tmpfs for namespaces' names, configurations and run-dirs. */
export async function prepareSandbox(): Promise<void> {
  // The sandbox's first process: anywhere else the mount would hide the host's own files.
  if (process.pid !== 1) throw new Error('a lab is built inside a sandbox only; see enterSandbox');
  await runTool('mount', ['-t', 'tmpfs', '-o', 'mode=0700,size=64m', 'baton-drill', privateDirectory]);
}

/** The name of a switch's port. Interface names end at 15 characters. */
export function switchPort(stationName: string, interfaceName: string): string {
  return `${interfaceName}-${stationName}`;
}

/** Builds a lab inside a prepared sandbox. */
export async function buildLab(topology: Topology, options: LabOptions): Promise<Lab> {
  const directory = join(privateDirectory, `${options.prefix}files`);
  mkdirSync(directory, { mode: 0o700 });
  const nameOf = (stationName: string): string => `${options.prefix}${stationName}`;
  const names = [switchStation, ...topology.stations.map(({ name }) => name)].map(nameOf);
  const stationOf = (stationName: string): Station => topology.stations.find(({ name }) => name === stationName)!;
  const xdpStations = options.xdpStations ?? [];
  const atSwitch = (commands: readonly string[]): Promise<string> =>
    runTool('ip', ['-netns', nameOf(switchStation), '-batch', '-'], [...commands, ''].join('\n'));
  const filter = (commands: string): Promise<string> =>
    runTool('nsenter', [`--net=/run/netns/${nameOf(switchStation)}`, '--', 'nft', '-f', '-'], commands);
  const lab: Lab = {
    topology,
    directory,
    spawn: (stationName, program, args, spawnOptions) =>
      spawnTool('nsenter', [`--net=/run/netns/${nameOf(stationName)}`, '--', program, ...args], spawnOptions),
    setCable: async (stationName, interfaceName, plugged) => {
      await atSwitch([`link set ${switchPort(stationName, interfaceName)} ${plugged ? 'up' : 'down'}`]);
    },
    setOwnAddresses: async (stationName, interfaceName, families, present) => {
      const station = stationOf(stationName);
      const commands = families.flatMap((family) => ownAddressCommands(station, interfaceName, family, present));
      await runTool('ip', ['-netns', nameOf(stationName), '-force', '-batch', '-'], [...commands, ''].join('\n'));
    },
    setRoutes: async (stationName, interfaceName, families, present) => {
      const station = stationOf(stationName);
      const commands = families.flatMap((family) => routeCommands(station, interfaceName, family, present));
      await runTool('ip', ['-netns', nameOf(stationName), '-batch', '-'], [...commands, ''].join('\n'));
    },
    setApart: async (stationNames, apart) => {
      // Isolated ports of a bridge reach every port that is not.
      const ports = stationNames.flatMap((name) => portsOf(stationOf(name)));
      await atSwitch(ports.map((port) => `link set ${port} type bridge_slave isolated ${apart ? 'on' : 'off'}`));
    },
    setDeaf: async (stationName, towards, deaf) => {
      const [from, to] = [portsOf(stationOf(stationName)), portsOf(stationOf(towards))];
      await filter(deaf ? dropCommands(from, to) : undoDropCommands);
    },
    setSyncCut: async (stationNames, cut) => {
      const ports = stationNames.flatMap((name) => portsOf(stationOf(name)));
      await filter(cut ? dropCommands(ports, ports, `ip protocol udp udp dport ${syncPort} `) : undoDropCommands);
    },
    removeStation: async (stationName) => {
      // The cables first: whatever the kernel would still send for the station has nowhere to go.
      await atSwitch(portsOf(stationOf(stationName)).map((port) => `link delete ${port}`));
      await runTool('ip', ['netns', 'delete', nameOf(stationName)]);
    },
    restoreStation: async (stationName) => {
      const station = stationOf(stationName);
      await runTool('ip', ['netns', 'add', nameOf(stationName)]);
      await atSwitch(cableCommands(station, nameOf(stationName)));
      await furnish(station, nameOf(stationName));
      if (!options.offloads) await disableOffloads([station], nameOf);
      if (xdpStations.includes(stationName)) await farEnds?.call('pass', portsOf(station));
    },
    remove: async () => {
      await farEnds?.stop();
      for (const name of names) await runTool('ip', ['netns', 'delete', name]);
    },
  };
  for (const name of names) await runTool('ip', ['netns', 'add', name]);
  await atSwitch(switchCommands(topology, nameOf));
  await Promise.all(topology.stations.map((station) => furnish(station, nameOf(station.name))));
  if (!options.offloads) await disableOffloads(topology.stations, nameOf);
  const farEnds = xdpStations.length === 0 ? undefined : startRemote(lab, switchStation, 'lab/far-ends');
  for (const name of xdpStations) await farEnds?.call('pass', portsOf(stationOf(name)));
  return lab;
}

/** The switch's ports of a station. */
function portsOf(station: Station): string[] {
  return station.links.map((link) => switchPort(station.name, link.interface));
}

/** One bridge for each segment, and a cable to each station on it. */
function switchCommands(topology: Topology, nameOf: (stationName: string) => string): string[] {
  const bridges = topology.segments.flatMap((segment) => [
    // Snooping would hold VRRP and sync multicasts back until a querier has spoken.
    `link add ${segment} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
    `link set ${segment} up`,
  ]);
  return [...bridges, ...topology.stations.flatMap((station) => cableCommands(station, nameOf(station.name)))];
}

function cableCommands(station: Station, namespace: string): string[] {
  return station.links.flatMap((link) => {
    const port = switchPort(station.name, link.interface);
    const peer = `name ${link.interface} address ${link.macAddress} netns ${namespace}`;
    return [`link add ${port} type veth peer ${peer}`, `link set ${port} master ${link.segment} up`];
  });
}

/** For `nft -f`: nothing of this kind crosses a bridge from one set of ports to the other. */
function dropCommands(from: readonly string[], to: readonly string[], kind = ''): string {
  const set = (ports: readonly string[]): string => `{ ${ports.map((port) => `"${port}"`).join(', ')} }`;
  return [
    'add table bridge drill',
    'add chain bridge drill forward { type filter hook forward priority 0; }',
    `add rule bridge drill forward iifname ${set(from)} oifname ${set(to)} ${kind}drop`,
    '',
  ].join('\n');
}

function ownAddressCommands(station: Station, interfaceName: string, family: Family, present: boolean): string[] {
  const { addresses, macAddress } = station.links.find((link) => link.interface === interfaceName)!;
  const own = family === 'ipv4' ? [addresses.ipv4] : [addresses.ipv6, `${linkLocalOf(macAddress)}/64`];
  if (!present) return own.map((address) => `address del ${address} dev ${interfaceName}`);
  const gateway = station.gateways?.[family];
  return [
    ...own.map((address) => `address add ${address} dev ${interfaceName}${family === 'ipv6' ? ' nodad' : ''}`),
    ...(gateway === undefined ? [] : [`route replace default via ${gateway}`]),
  ];
}

/** The route to the interface's own network, as the kernel adds it with the address, and the default route. */
function routeCommands(station: Station, interfaceName: string, family: Family, present: boolean): string[] {
  const { addresses, networks } = station.links.find((link) => link.interface === interfaceName)!;
  const attributes = family === 'ipv4' ? `scope link src ${addresses.ipv4.split('/')[0]}` : 'metric 256';
  const network = `${networks[family]} dev ${interfaceName} proto kernel ${attributes}`;
  const gateway = station.gateways?.[family];
  const others = gateway === undefined ? [] : [`default via ${gateway}`];
  if (!present) return [...others, network].map((route) => `route del ${route}`);
  return [network, ...others].map((route) => `route add ${route}`);
}

const undoDropCommands = 'delete table bridge drill\n';

async function furnish(station: Station, namespace: string): Promise<void> {
  await applySettings(station, namespace);
  const commands = [
    'link set lo up',
    ...station.loopbackAddresses.map((address) => `address add ${address} dev lo`),
    ...station.links.flatMap((link) => [
      `address add ${link.addresses.ipv4} dev ${link.interface}`,
      // Nobody else has the address: its detection would only hold the lab up.
      `address add ${link.addresses.ipv6} dev ${link.interface} nodad`,
      `link set ${link.interface} up`,
    ]),
    ...station.blackholes.map((network) => `route add blackhole ${network}`),
    ...Object.values(station.gateways ?? {}).map((gateway) => `route add default via ${gateway}`),
    '',
  ];
  await runTool('ip', ['-netns', namespace, '-batch', '-'], commands.join('\n'));
}

/** `tee` writes one value into many files, so a few calls set everything. */
async function applySettings(station: Station, namespace: string): Promise<void> {
  const settings: Record<string, string> = { ...commonSettings };
  for (const { interface: name } of station.links) {
    settings[`ipv4/conf/${name}/rp_filter`] = '0';
    settings[`ipv4/conf/${name}/send_redirects`] = '0';
    settings[`ipv6/conf/${name}/accept_dad`] = '0';
    settings[`ipv6/conf/${name}/accept_ra`] = '0';
    settings[`ipv6/conf/${name}/accept_redirects`] = '0';
  }
  Object.assign(settings, station.settings);
  for (const value of new Set(Object.values(settings))) {
    const names = Object.keys(settings).filter((name) => settings[name] === value);
    const files = names.map((name) => `/proc/sys/net/${name}`);
    if (files.length > 0) await runTool('nsenter', [`--net=/run/netns/${namespace}`, '--', 'tee', ...files], value);
  }
}

async function disableOffloads(stations: readonly Station[], nameOf: (stationName: string) => string): Promise<void> {
  const features = ['tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off'];
  for (const station of stations) {
    for (const link of station.links) {
      const namespace = `--net=/run/netns/${nameOf(station.name)}`;
      await runTool('nsenter', [namespace, '--', 'ethtool', '-K', link.interface, ...features]);
    }
  }
}

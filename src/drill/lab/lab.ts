// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { runTool, spawnTool } from './tool.ts';
import type { Station, Topology } from './topology.ts';

export interface Lab {
  readonly topology: Topology;
  /** A private directory that vanishes with the lab. */
  readonly directory: string;
  /** Starts a program in a station's network namespace. */
  spawn(stationName: string, program: string, args: readonly string[], options: SpawnOptions): ChildProcess;
  /** Removes the namespaces; whatever runs in them must have been ended. */
  remove(): Promise<void>;
}

export interface LabOptions {
  /** Every namespace's name starts with it. */
  readonly prefix: string;
  /** False switches segmentation, receive merging and unfinished checksums off on every interface. */
  readonly offloads: boolean;
}

/** The station that holds the bridges; the capture listens there. */
export const switchStation = 'switch';

const privateDirectory = '/run';
const commonSettings = {
  // A new namespace inherits these from the host, where they may have any value.
  ip_forward: '0',
  'conf/all/rp_filter': '0',
  'conf/default/rp_filter': '0',
  'conf/all/accept_redirects': '0',
  'conf/all/send_redirects': '0',
  'conf/all/arp_ignore': '0',
  'conf/all/arp_announce': '0',
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
  const lab: Lab = {
    topology,
    directory,
    spawn: (stationName, program, args, spawnOptions) =>
      spawnTool('nsenter', [`--net=/run/netns/${nameOf(stationName)}`, '--', program, ...args], spawnOptions),
    remove: async () => {
      for (const name of names) await runTool('ip', ['netns', 'delete', name]);
    },
  };
  for (const name of names) await runTool('ip', ['netns', 'add', name]);
  await runTool('ip', ['-netns', nameOf(switchStation), '-batch', '-'], switchCommands(topology, nameOf));
  await Promise.all(topology.stations.map((station) => furnish(station, nameOf(station.name))));
  if (!options.offloads) await disableOffloads(topology, nameOf);
  return lab;
}

/** One bridge for each segment, and a cable to each station on it. */
function switchCommands(topology: Topology, nameOf: (stationName: string) => string): string {
  const bridges = topology.segments.flatMap((segment) => [
    // Snooping would hold VRRP and sync multicasts back until a querier has spoken.
    `link add ${segment} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
    `link set ${segment} up`,
  ]);
  const cables = topology.stations.flatMap((station) =>
    station.links.flatMap((link) => {
      const port = switchPort(station.name, link.interface);
      const peer = `name ${link.interface} address ${link.macAddress} netns ${nameOf(station.name)}`;
      return [`link add ${port} type veth peer ${peer}`, `link set ${port} master ${link.segment} up`];
    }),
  );
  return [...bridges, ...cables, ''].join('\n');
}

async function furnish(station: Station, namespace: string): Promise<void> {
  await applySettings(station, namespace);
  const commands = [
    'link set lo up',
    ...station.loopbackAddresses.map((address) => `address add ${address} dev lo`),
    ...station.links.flatMap((link) => [
      `address add ${link.address} dev ${link.interface}`,
      `link set ${link.interface} up`,
    ]),
    ...(station.gateway === undefined ? [] : [`route add default via ${station.gateway}`]),
    '',
  ];
  await runTool('ip', ['-netns', namespace, '-batch', '-'], commands.join('\n'));
}

/** `tee` writes one value into many files, so three calls set everything. */
async function applySettings(station: Station, namespace: string): Promise<void> {
  const settings: Record<string, string> = { ...commonSettings };
  for (const { interface: name } of station.links) {
    settings[`conf/${name}/rp_filter`] = '0';
    settings[`conf/${name}/send_redirects`] = '0';
  }
  Object.assign(settings, station.settings);
  for (const value of ['0', '1', '2']) {
    const names = Object.keys(settings).filter((name) => settings[name] === value);
    const files = names.map((name) => `/proc/sys/net/ipv4/${name}`);
    if (files.length > 0) await runTool('nsenter', [`--net=/run/netns/${namespace}`, '--', 'tee', ...files], value);
  }
}

async function disableOffloads(topology: Topology, nameOf: (stationName: string) => string): Promise<void> {
  const features = ['tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off'];
  for (const station of topology.stations) {
    for (const link of station.links) {
      const namespace = `--net=/run/netns/${nameOf(station.name)}`;
      await runTool('nsenter', [namespace, '--', 'ethtool', '-K', link.interface, ...features]);
    }
  }
}

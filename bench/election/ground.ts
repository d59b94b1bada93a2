// SPDX-License-Identifier: Apache-2.0
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { runTool, spawnTool } from '../../src/drill/lab/tool.ts';
import type { Stations } from '../../src/drill/remote.ts';
import { type DirectorName, directorNames } from './timeliness.ts';

// The network of the elections, the same for all contestants: two directors and a third host on one bridge, which is in
// the sandbox's own namespace. It is built for each run, so that no contestant finds what another one has left.
//
//   better 192.0.2.1   backup 192.0.2.2   rival 192.0.2.3
//        └──────────────────┼──────────────────┘

export type StationName = DirectorName | 'rival';

const numbers: Readonly<Record<StationName, number>> = { better: 1, backup: 2, rival: 3 };
const stationNames: readonly StationName[] = [...directorNames, 'rival'];

/** The interface of each station on the bridge. */
export const interfaceName = 'eth0';
const bridge = 'segment';

export function addressOf(station: StationName): string {
  return `192.0.2.${numbers[station]}`;
}

export function macAddressOf(station: StationName): string {
  return `02:00:00:00:02:0${numbers[station]}`;
}

/** The bridge's port to a station, where all that the station sends arrives. */
export function portTo(station: StationName): string {
  return `to-${station}`;
}

/** The n-th virtual address, from 0 on. */
export function virtualAddress(n: number): string {
  return `10.9.0.${n + 1}`;
}

export interface Ground extends Stations {
  /** Frames that a station has sent so far. */
  sentBy(station: StationName): Promise<number>;
  /** Whatever ran in the stations must have ended. */
  remove(): Promise<void>;
}

export async function buildGround(): Promise<Ground> {
  await ip(['-batch', '-'], `link add ${bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n`);
  await ip(['link', 'set', bridge, 'up']);
  for (const station of stationNames) await addStation(station);
  return {
    spawn: (station: string, program: string, args: readonly string[], options: SpawnOptions): ChildProcess =>
      spawnTool('nsenter', [`--net=/run/netns/${station}`, '--', program, ...args], options),
    sentBy: async (station) => {
      const listing = await ip(['-json', '-statistics', 'link', 'show', 'dev', portTo(station)]);
      const [port] = JSON.parse(listing) as [{ stats64: { rx: { packets: number } } }];
      return port.stats64.rx.packets;
    },
    remove: async () => {
      for (const station of stationNames) {
        await ip(['link', 'delete', portTo(station)]);
        await ip(['netns', 'delete', station]);
      }
      await ip(['link', 'delete', bridge]);
    },
  };
}

async function addStation(station: StationName): Promise<void> {
  await ip(['netns', 'add', station]);
  const peer = `name ${interfaceName} address ${macAddressOf(station)} netns ${station}`;
  await ip(['-batch', '-'], `link add ${portTo(station)} type veth peer ${peer}\n`);
  // Only IPv4 is measured: the kernel's own IPv6 packets would be counted with the rival's.
  const settings = ['all', 'default'].map((name) => `/proc/sys/net/ipv6/conf/${name}/disable_ipv6`);
  await runTool('nsenter', [`--net=/run/netns/${station}`, '--', 'tee', ...settings], '1');
  const commands = [
    'link set lo up',
    `address add ${addressOf(station)}/24 dev ${interfaceName}`,
    `link set ${interfaceName} up`,
  ];
  await ip(['-netns', station, '-batch', '-'], `${commands.join('\n')}\n`);
  await ip(['-batch', '-'], `link set ${portTo(station)} master ${bridge} up\n`);
}

function ip(args: readonly string[], input = ''): Promise<string> {
  return runTool('ip', args, input);
}

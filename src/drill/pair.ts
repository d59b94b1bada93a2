// SPDX-License-Identifier: Apache-2.0
import { createDirector, type Director } from './director.ts';
import { buildLab, type Lab, switchPort, switchStation } from './lab/lab.ts';
import {
  clientsNetwork,
  type DirectorName,
  describeTopology,
  type LabForwarding,
  probeAddress,
  probePort,
  routerOnClients,
  servicePort,
  virtualAddress,
} from './lab/topology.ts';
import type { CaptureOptions } from './measure/capture.ts';
import type { ProbeOptions } from './measure/probe.ts';
import type { DrillOptions } from './options.ts';
import { type Remote, startRemote } from './remote.ts';
import type { TrafficOptions } from './traffic/client.ts';

/** A lab with both directors up and in sync, and everything that measures. */
export interface Pair {
  readonly lab: Lab;
  readonly forwarding: LabForwarding;
  readonly directors: Readonly<Record<DirectorName, Director>>;
  readonly client: Remote;
  readonly servers: readonly Remote[];
  readonly capture: Remote;
  /** Ends all processes and removes the lab. Gives a sentence for each director that did not end well. */
  close(): Promise<string[]>;
}

/** The director that has just started must elect itself, copy the table, and hear its real servers' checks. */
export const readyTimeoutMs = 30_000;
const realServerCount = 2;
const stallMaxMs = 10_000;
const terminateTimeoutMs = 5_000;
const seed = 0x6261_746f;

/** How often each side of a session sends: about 5 000 messages a second and direction, at least one every 100 ms. */
export function messagePeriodMs(sessions: number): number {
  return Math.min(1_000, Math.max(100, Math.ceil(sessions / 5)));
}

/** Builds the lab and brings it to the state of a healthy pair: a active, b its backup, in sync. */
export async function openPair(
  forwarding: LabForwarding,
  options: DrillOptions,
  prefix: string,
  say: (text: string) => void,
): Promise<Pair> {
  const topology = describeTopology(forwarding, realServerCount);
  const lab = await buildLab(topology, { prefix, offloads: options.offloads });
  say(`lab of ${topology.stations.length} stations is up`);
  const directors = { a: createDirector(lab, 'a', options), b: createDirector(lab, 'b', options) };
  const remotes = [
    startRemote(lab, 'client', 'traffic/client'),
    startRemote(lab, switchStation, 'measure/capture'),
    startRemote(lab, 'probe', 'measure/probe'),
    ...topology.realServers.map(({ name }) => startRemote(lab, name, 'traffic/server')),
  ];
  const [client, capture, probe, ...servers] = remotes as [Remote, Remote, Remote, ...Remote[]];
  const periodMs = messagePeriodMs(options.sessions);
  await Promise.all(servers.map((server) => server.call('listen', servicePort, periodMs)));
  directors.a.start();
  directors.b.start();
  await directors.a.await('active', isActive, readyTimeoutMs);
  await directors.b.await('a backup in sync', isBackupInSync, readyTimeoutMs);
  await directors.a.await('sure of its real servers', hasAllRealServers, readyTimeoutMs);
  say('director a is active, b is a backup in sync');
  const traffic: TrafficOptions = { address: virtualAddress, port: servicePort, periodMs, seed, stallMaxMs };
  await client.call('start', traffic);
  await capture.call('start', captureOptions(lab));
  await probe.call('start', probeOptions(lab));
  return { lab, forwarding, directors, client, servers, capture, close: () => closePair(lab, directors, remotes) };
}

export function isActive({ virtualRouters }: Parameters<Parameters<Director['await']>[1]>[0]): boolean {
  return virtualRouters.length > 0 && virtualRouters.every(({ state }) => state === 'active');
}

export function isBackupInSync(status: Parameters<Parameters<Director['await']>[1]>[0]): boolean {
  const isBackup = status.virtualRouters.every(({ state }) => state === 'backup');
  return status.virtualRouters.length > 0 && isBackup && ['inSync', 'off'].includes(status.sync.state);
}

function hasAllRealServers({ services }: Parameters<Parameters<Director['await']>[1]>[0]): boolean {
  return services.length > 0 && services.every(({ realServers }) => realServers.every(({ alive }) => alive));
}

function captureOptions({ topology }: Lab): CaptureOptions {
  const port = (name: DirectorName): string => switchPort(name, topology.serverSideInterface);
  return { ports: { a: port('a'), b: port('b') }, clients: clientsNetwork };
}

function probeOptions({ topology }: Lab): ProbeOptions {
  const link = topology.stations.find(({ name }) => name === 'probe')!.links[0]!;
  return {
    interface: link.interface,
    source: probeAddress,
    destination: virtualAddress,
    port: probePort,
    sourceMac: link.macAddress,
    gatewayMac: routerOnClients.macAddress,
  };
}

async function closePair(lab: Lab, directors: Pair['directors'], remotes: readonly Remote[]): Promise<string[]> {
  const failures: string[] = [];
  await Promise.all(remotes.map((remote) => remote.stop()));
  for (const director of Object.values(directors)) {
    const code = await director.terminate(terminateTimeoutMs);
    if (code !== 0) failures.push(`director ${director.name} did not exit with 0 after SIGTERM (${code ?? 'killed'})`);
  }
  await lab.remove();
  return failures;
}

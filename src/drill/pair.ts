// SPDX-License-Identifier: Apache-2.0
import type { Family } from '../lib/ip-address.ts';
import { forwardingMethods } from '../model/forwarding-method.ts';
import { createDirector, type Director } from './director.ts';
import type { DrillSettings } from './engine.ts';
import { makeHealthy } from './health.ts';
import { realServerCount } from './lab/configuration.ts';
import { buildLab, type Lab, switchPort, switchStation } from './lab/lab.ts';
import {
  clientsNetworks,
  type DirectorName,
  describeTopology,
  familiesOf,
  flowPort,
  gatewayAddresses,
  type LabForwarding,
  mortalFlowPort,
  mortalPort,
  openerStation,
  openingPort,
  probeAddresses,
  probePort,
  type RealServerStation,
  routerOnClients,
  servicePort,
  type Topology,
  virtualAddresses,
} from './lab/topology.ts';
import type { CaptureOptions } from './measure/capture.ts';
import type { ProbeOptions } from './measure/probe.ts';
import { type Remote, startRemote } from './remote.ts';
import type { TrafficOptions } from './traffic/client.ts';
import type { NamingOptions } from './traffic/naming-server.ts';
import type { OpeningOptions } from './traffic/openings.ts';
import type { ListenOptions } from './traffic/server.ts';

/** A lab with both directors up and in sync, and everything that measures. */
export interface Pair {
  readonly lab: Lab;
  readonly topology: Topology;
  readonly forwarding: LabForwarding;
  readonly families: readonly Family[];
  readonly directors: Readonly<Record<DirectorName, Director>>;
  readonly client: Remote;
  readonly servers: readonly Remote[];
  readonly capture: Remote;
  /** Opens sessions all the time; absent when the drill does not want any. */
  readonly opener: Remote | undefined;
  /** Captures at a director's ports again after they were recreated. */
  watchAgain(director: DirectorName): Promise<void>;
  /** Ends all processes and removes the lab. Gives a sentence for each director that did not end well. */
  close(): Promise<string[]>;
}

const stallMaxMs = 10_000;
const terminateTimeoutMs = 5_000;
const seed = 0x6261_746f;

/**
 * The period in which each side of a session sends: about 5 000 messages a second and direction, at least one every 100
 * ms. Two processors can do that beside the rest of the lab.
 */
function messagePeriodMs(sessions: number): number {
  return Math.min(2_000, Math.max(100, Math.ceil(sessions / 5)));
}

/** Builds the lab and brings it to the state of a healthy pair: a active, b its backup, in sync. */
export async function openPair(
  forwarding: LabForwarding,
  options: DrillSettings,
  prefix: string,
  say: (text: string) => void,
): Promise<Pair> {
  const topology = describeTopology(forwarding, realServerCount);
  const families = familiesOf(options.family);
  const xdpStations = options.engine === 'xdp' ? ['a', 'b'] : [];
  const lab = await buildLab(topology, { prefix, offloads: options.offloads, xdpStations });
  say(`lab of ${topology.stations.length} stations is up`);
  const directors = { a: createDirector(lab, 'a', options), b: createDirector(lab, 'b', options) };
  const servers = topology.realServers.map(({ name }) => startRemote(lab, name, 'traffic/server'));
  const probes = families.map(() => startRemote(lab, 'probe', 'measure/probe'));
  const client = startRemote(lab, 'client', 'traffic/client');
  const capture = startRemote(lab, switchStation, 'measure/capture');
  const periodMs = messagePeriodMs(options.sessions);
  const opening = await startOpener(lab, families, options);
  await Promise.all(servers.map((server, i) => server.call('listen', listenOptions(topology, i, periodMs))));
  const naming = await startNamingServers(lab, options);
  await makeHealthy(directors);
  say('director a is active, b is a backup in sync');
  const addresses = families.map((family) => virtualAddresses[family]);
  const traffic: TrafficOptions = { addresses, port: servicePort, flowPort, periodMs, seed, stallMaxMs };
  await client.call('start', traffic);
  await capture.call('start', captureOptions(topology));
  await Promise.all(probes.map((probe, i) => probe.call('start', probeOptions(topology, families[i]!))));
  const remotes = [client, capture, ...probes, ...servers, ...opening, ...naming];
  return {
    lab,
    topology,
    forwarding,
    families,
    directors,
    client,
    servers,
    capture,
    opener: opening[0],
    watchAgain: (director) => capture.call('watchAgain', director, portsOf(topology, director)),
    close: () => closePair(lab, directors, remotes),
  };
}

/** The process that opens sessions all the time, and the real servers' that answer them; none without them. */
async function startOpener(lab: Lab, families: readonly Family[], options: DrillSettings): Promise<Remote[]> {
  if (options.openingRate === 0) return [];
  const servers = lab.topology.realServers.map(({ name }) => startRemote(lab, name, 'traffic/opening-server'));
  await Promise.all(servers.map((server) => server.call('listen', openingPort)));
  const opener = startRemote(lab, openerStation, 'traffic/openings');
  const addresses = families.map((family) => virtualAddresses[family]);
  const given: OpeningOptions = { addresses, port: openingPort, seed, stallMaxMs };
  await opener.call('configure', given);
  return [opener, ...servers];
}

/** What serves where a real server may die; nothing when none is to. */
async function startNamingServers(lab: Lab, { scenarios }: DrillSettings): Promise<Remote[]> {
  if (!scenarios.includes('server-death')) return [];
  const { realServers, mortalServer, forwarding } = lab.topology;
  const stations = [realServers[0]!, mortalServer];
  const remotes = stations.map(({ name }) => startRemote(lab, name, 'traffic/naming-server'));
  const held = (own: RealServerStation): readonly string[] =>
    Object.values(forwardingMethods[forwarding].rewritesAddresses ? own.addresses : virtualAddresses);
  await Promise.all(
    remotes.map((remote, i) => {
      const given = { port: mortalPort, flowPort: mortalFlowPort, flowAddresses: held(stations[i]!), number: i };
      return remote.call('listen', given satisfies NamingOptions);
    }),
  );
  return remotes;
}

/** A UDP answer comes from the address that was asked: with direct-route that is the virtual one. */
function listenOptions(topology: Topology, number: number, periodMs: number): ListenOptions {
  const { addresses } = topology.realServers[number]!;
  const held = forwardingMethods[topology.forwarding].rewritesAddresses ? addresses : virtualAddresses;
  return { port: servicePort, flowPort, flowAddresses: Object.values(held), number, periodMs };
}

function portsOf(topology: Topology, director: DirectorName): string[] {
  return topology.directorInterfaces.map((name) => switchPort(director, name));
}

function captureOptions(topology: Topology): CaptureOptions {
  return {
    ports: { a: portsOf(topology, 'a'), b: portsOf(topology, 'b') },
    clients: clientsNetworks,
    virtualAddresses: [...Object.values(virtualAddresses), ...Object.values(gatewayAddresses)],
    openingPort,
  };
}

function probeOptions({ stations }: Topology, family: Family): ProbeOptions {
  const link = stations.find(({ name }) => name === 'probe')!.links[0]!;
  return {
    interface: link.interface,
    source: probeAddresses[family],
    destination: virtualAddresses[family],
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

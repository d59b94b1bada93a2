// SPDX-License-Identifier: Apache-2.0
import { buildLab, type Lab, prepareSandbox, switchPort, switchStation } from '../../src/drill/lab/lab.ts';
import { leaveWithParent } from '../../src/drill/lab/sandbox.ts';
import { clientsNetworks, describeTopology, probeAddresses, routerOnClients } from '../../src/drill/lab/topology.ts';
import type { WireReport } from '../../src/drill/measure/capture.ts';
import { startRemote } from '../../src/drill/remote.ts';
import type { TrafficReport } from '../../src/drill/traffic/client.ts';

// A lab without directors, for drill-lab.test.ts: the client speaks with a real server through the router alone.

export interface LabFigures {
  readonly opened: number;
  readonly marked: number;
  readonly report: Omit<TrafficReport, 'stalls' | 'brokenPorts'>;
  readonly longestStallMs: number;
  readonly closedInOrder: number;
  readonly framesSeen: number;
  readonly framesInOrder: boolean;
  /** Sessions that broke after the real server was ended. */
  readonly brokenAfterwards: TrafficReport['broken'];
}

const sessions = 20;
const port = 7000;

leaveWithParent();
await prepareSandbox();
const lab = await buildLab(describeTopology('direct-route', 2), {
  prefix: 'test-',
  offloads: process.argv[2] !== 'off',
});
process.send?.('built');
if (process.argv[2] !== 'hold') {
  process.send?.(await exercise(lab));
  await lab.remove();
  process.exit(0);
}

async function exercise(built: Lab): Promise<LabFigures> {
  const address = built.topology.realServers[0]!.addresses.ipv4;
  const server = startRemote(built, 'rs1', 'traffic/server');
  const client = startRemote(built, 'client', 'traffic/client');
  const capture = startRemote(built, switchStation, 'measure/capture');
  const probe = startRemote(built, 'probe', 'measure/probe');
  await server.call('listen', { port, flowPort: port + 2, flowAddresses: [address], number: 0, periodMs: 50 });
  const traffic = { addresses: [address], port, flowPort: port + 2, periodMs: 50, seed: 7, stallMaxMs: 10_000 };
  await client.call('start', traffic);
  const ports = { router: [switchPort('router', 'front')] };
  await capture.call('start', { ports, clients: clientsNetworks, virtualAddresses: [], openingPort: 0 });
  const opened = await client.call<number>('fill', sessions, 5_000);
  await capture.call('clear');
  await startProbe(built, address, probe);
  const marked = await client.call<number>('mark');
  for (let round = 0; round < 10; round += 1) await client.call('settle', 5_000);
  const { stalls, brokenPorts, ...report } = await client.call<TrafficReport>('report');
  await probe.call('stop');
  const wire = await capture.call<WireReport>('read');
  const frames = wire.router!.ipv4.forwarded;
  const closedInOrder = await client.call<number>('close', 5_000);
  await client.call('fill', sessions, 5_000);
  await client.call('mark');
  await server.stop();
  await client.call('settle', 5_000);
  const afterwards = await client.call<TrafficReport>('report');
  return {
    opened,
    marked,
    report,
    closedInOrder,
    longestStallMs: Math.max(...stalls.longestMs),
    framesSeen: frames.length,
    framesInOrder: frames.every((time, i) => i === 0 || time >= frames[i - 1]!),
    brokenAfterwards: afterwards.broken,
  };
}

async function startProbe(built: Lab, destination: string, probe: ReturnType<typeof startRemote>): Promise<void> {
  const link = built.topology.stations.find(({ name }) => name === 'probe')!.links[0]!;
  await probe.call('start', {
    interface: link.interface,
    source: probeAddresses.ipv4,
    destination,
    port: port + 1,
    sourceMac: link.macAddress,
    gatewayMac: routerOnClients.macAddress,
  });
}

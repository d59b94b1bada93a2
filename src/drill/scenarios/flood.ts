// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from 'node:timers/promises';
import type { DirectorStatus } from '../../director/status.ts';
import { isActive, readyTimeoutMs } from '../health.ts';
import { floodNetworks, flowPort, routerOnClients, servicePort, virtualAddresses } from '../lab/topology.ts';
import type { EchoReport } from '../measure/echoes.ts';
import type { FloodOptions } from '../measure/flood.ts';
import type { PaceReport } from '../measure/pace.ts';
import { type SegmentKind, segmentKinds } from '../measure/segment-frame.ts';
import { startRemote } from '../remote.ts';
import { round } from '../result.ts';
import type { Scenario, Stage } from '../stage.ts';
import { readTable } from '../table.ts';
import type { VisitReport } from '../traffic/visitors.ts';
import { reportEchoes, startEchoProbes } from './echo.ts';

// One million SYNs without a handshake, among sessions that go on and new connections that must still succeed.

const synCount = 1_000_000;
/** As many as the machine can send beside everything else that it does, at most these a second. */
const synRate = 100_000;
const synOnly = { kinds: ['syn'], count: synCount, rate: synRate } as const;
/** An ACK for the second time completes a handshake. */
const fillKinds = [...segmentKinds, 'ack'] as const;
/** The portable engine gets them more slowly, so that the flood is of its content and not of its amount. */
const fillOf = {
  xdp: { kinds: fillKinds, count: 2_000_000, rate: 100_000 },
  portable: { kinds: fillKinds, count: 2_000_000, rate: 20_000 },
} as const;
const visitsPerSecond = 50;
const afterwardsMs = 3_000;
const visitShareMin = 0.9;

export const synFlood: Scenario = {
  from: 'a',
  to: 'a',
  run: async (stage) => {
    const { pair, say, note } = stage;
    const { a } = pair.directors;
    const before = await a.await('active', isActive, readyTimeoutMs);
    const tableBefore = [...(await readTable(a))].filter(([, value]) => !isHalfOpen(value));
    const flood = startRemote(pair.lab, 'probe', 'measure/flood');
    const echoProbes = await startEchoProbes(stage);
    await pair.client.call('startVisits', visitsPerSecond);
    say(`${synCount} SYNs from as many addresses`);
    note('the flood begins');
    const { sent, elapsedMs } = await flood.call<PaceReport>('run', floodOptions(stage, synOnly));
    note('the flood is over');
    const visits = await pair.client.call<VisitReport>('endVisits');
    const echoes = await reportEchoes(echoProbes);
    await Promise.all([flood.stop(), ...echoProbes.map(({ remote }) => remote.stop())]);
    const after = await a.await('active', isActive, readyTimeoutMs);
    stage.tell(
      `${sent} SYNs in ${(elapsedMs / 1_000).toFixed(1)} s, ${Math.round((sent * 1_000) / elapsedMs)} a second`,
    );
    judgeVisits(stage, 'meanwhile', visits);
    judgeEchoes(stage, echoes);
    judgeCounters(stage, before, after);
    const table = await readTable(a);
    const forgotten = tableBefore.filter(([key, value]) => table.get(key) !== value).length;
    if (forgotten > 0) stage.fail(`${forgotten} of ${tableBefore.length} connections were forgotten or changed`);
  },
};

/** What an attack of an earlier scenario has begun gives way, as it should. `value`: see `readTable`. */
function isHalfOpen(value: string): boolean {
  return value.endsWith(' SYN_RECV');
}

/** In turn one of each kind and family. The last 32 bits of an IPv6 address are random. */
function floodOptions(
  { pair }: Stage,
  { kinds, count, rate }: { readonly kinds: readonly SegmentKind[]; readonly count: number; readonly rate: number },
): FloodOptions {
  const link = pair.topology.stations.find(({ name }) => name === 'probe')!.links[0]!;
  const macAddresses = { sourceMac: link.macAddress, gatewayMac: routerOnClients.macAddress };
  return {
    interface: link.interface,
    routes: kinds.flatMap((kind, i) =>
      pair.families.map((family) => ({
        source: floodNetworks[family].address,
        destination: virtualAddresses[family],
        port: kind === 'udp' ? flowPort : servicePort,
        prefixLength: family === 'ipv4' ? floodNetworks.ipv4.prefixLength : 0,
        kind,
        completesHandshake: kinds.indexOf(kind) < i,
        ...macAddresses,
      })),
    ),
    count,
    rate,
  };
}

/** New connections must be served while the table is being filled, and afterwards. */
export const fill: Scenario = {
  from: 'a',
  to: 'a',
  run: async (stage) => {
    const { pair, options, say, note } = stage;
    const { a } = pair.directors;
    const flood = startRemote(pair.lab, 'probe', 'measure/flood');
    const given = fillOf[options.engine];
    say(`${given.count} segments of every kind from as many addresses`);
    note('the flood begins');
    await pair.client.call('startVisits', visitsPerSecond);
    const { sent, elapsedMs } = await flood.call<PaceReport>('run', floodOptions(stage, given));
    note('the flood is over');
    judgeVisits(stage, 'meanwhile', await pair.client.call<VisitReport>('endVisits'));
    await flood.stop();
    const { engine } = await a.await('active', isActive, readyTimeoutMs);
    stage.tell(
      `${sent} segments in ${(elapsedMs / 1_000).toFixed(1)} s; director a: ${engine.halfOpenConnections} half-open, ${engine.establishedConnections} established, ${engine.secondClassConnections} of them of the second class`,
    );
    await pair.client.call('startVisits', visitsPerSecond);
    await delay(afterwardsMs);
    judgeVisits(stage, 'afterwards', await pair.client.call<VisitReport>('endVisits'));
  },
};

function judgeVisits(stage: Stage, when: string, { attempted, succeeded, durationMs }: VisitReport): void {
  const { p50, p99, max } = durationMs;
  const percent = attempted === 0 ? 0 : Math.floor((succeeded * 1_000) / attempted) / 10;
  const times = `p50 ${round(p50)} ms, p99 ${round(p99)} ms, max ${round(max)} ms`;
  stage.tell(`new connections ${when}: ${succeeded} of ${attempted} succeeded (${percent} %), ${times}`);
  if (succeeded <= attempted * visitShareMin) {
    stage.fail(`only ${percent} % of new connections ${when} succeeded, not over ${visitShareMin * 100} %`);
  }
}

function judgeEchoes(stage: Stage, echoes: readonly EchoReport[]): void {
  for (const { sent, lost } of echoes) {
    stage.tell(`UDP probe of one a millisecond: ${lost} of ${sent} lost (${((lost * 100) / sent).toFixed(2)} %)`);
  }
}

/** Every SYN has reached the director, and half-open connections made room for each other. */
function judgeCounters(stage: Stage, { engine: before }: DirectorStatus, { engine: after }: DirectorStatus): void {
  const evicted = after.halfOpenEvictions - before.halfOpenEvictions;
  stage.tell(
    `director a: ${after.halfOpenConnections} half-open, ${after.establishedConnections} established, ${evicted} half-open evicted`,
  );
  if (evicted === 0) stage.fail('no half-open connection was evicted: the flood did not reach its limit');
}

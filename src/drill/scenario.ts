// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from 'node:timers/promises';
import type { Family } from '../lib/ip-address.ts';
import { monotonicMs } from './director.ts';
import { makeHealthy } from './health.ts';
import { familyName } from './lab/topology.ts';
import type { WireReport } from './measure/capture.ts';
import { measureTwoClaims } from './measure/claims.ts';
import { longestSilence, measureGap, measureOverlap, type Slice, sliceTimes } from './measure/gap.ts';
import { endOpening, openingFigures, startOpening } from './opening.ts';
import { judge, type ScenarioResult, type Takeover, type TakeoverKind, type TimelineEntry } from './result.ts';
import type { ScenarioName } from './scenario-names.ts';
import { resetAttack } from './scenarios/attack.ts';
import { failback, freeze, kill, linkDown, poweroff } from './scenarios/crash.ts';
import { flapping } from './scenarios/flapping.ts';
import { fill, synFlood } from './scenarios/flood.ts';
import { directorHang, directorKill } from './scenarios/hang.ts';
import { addressLost, routeLost } from './scenarios/lost.ts';
import { coldStart, handover, reload } from './scenarios/planned.ts';
import { restart } from './scenarios/restart.ts';
import { serverDeath } from './scenarios/server-death.ts';
import { asymmetric, partition } from './scenarios/split.ts';
import { bothStall } from './scenarios/stall.ts';
import { storm } from './scenarios/storm.ts';
import { syncCut } from './scenarios/sync-cut.ts';
import { createStage, type Scenario, type Stage, type StageRecord, type TakeoverWindow } from './stage.ts';
import { readTable } from './table.ts';
import type { TrafficReport } from './traffic/client.ts';
import type { FlowReport } from './traffic/flow-client.ts';
import { mergeStalls, type StallReport } from './traffic/stall-clock.ts';

const openTimeoutMs = 10_000;
const settleTimeoutMs = 12_000;
const replicationTimeoutMs = 5_000;
const replicationPollMs = 50;
const slicesMax = 80;
const marginMs = 30;

const scenarios: Readonly<Record<ScenarioName, Scenario>> = {
  'cold-start': coldStart,
  kill,
  failback,
  handover,
  freeze,
  poweroff,
  'link-down': linkDown,
  restart,
  reload,
  partition,
  asymmetric,
  'sync-cut': syncCut,
  flapping,
  'both-stall': bothStall,
  'director-hang': directorHang,
  'director-kill': directorKill,
  'address-lost': addressLost,
  'route-lost': routeLost,
  storm,
  'reset-attack': resetAttack,
  'syn-flood': synFlood,
  fill,
  'server-death': serverDeath,
};

/** Runs one scenario with sessions that were opened before it, and judges what was seen. */
export async function runScenario(
  context: Pick<Stage, 'pair' | 'options' | 'say'>,
  name: ScenarioName,
): Promise<ScenarioResult> {
  const { pair, options, say } = context;
  const scenario = scenarios[name];
  say(`scenario ${name}`);
  const opening = createStage(context, monotonicMs());
  // A director that one scenario has left dead is what failback begins with.
  if (name !== 'failback') await makeHealthy(pair.directors);
  await scenario.prepare?.(opening.stage);
  await pair.capture.call('clear');
  const clearedMs = monotonicMs();
  if (name !== 'cold-start') await openTraffic(context, scenario);
  for (const end of [pair.client, ...pair.servers]) await end.call('mark');
  const { stage, record } = createStage(context, clearedMs);
  record.failures.push(...opening.record.failures);
  await startOpening(pair, options.openingRate);
  await scenario.run(stage);
  await pair.client.call('settle', settleTimeoutMs);
  stage.note('every living session has had data verified both ways again');
  const endedMs = monotonicMs();
  const openings = await endOpening(pair);
  const traffic = await pair.client.call<TrafficReport>('report');
  const flows = await pair.client.call<FlowReport>('reportFlows');
  const served = await Promise.all(pair.servers.map((server) => server.call<StallReport>('report')));
  const wire = await pair.capture.call<WireReport>('read');
  const firstMs = record.windows[0]?.triggerMs ?? record.timeline[0]?.atMs ?? clearedMs;
  const failures = [...record.failures, ...record.checks.flatMap((check) => check({ wire, ...traffic }))];
  const takeovers = pair.families.flatMap((family) =>
    takeoversOf(record, scenario, endedMs).map((window) => measureTakeover(wire, family, window, record)),
  );
  const to = record.windows.length > 0 ? scenario.to : scenario.from;
  const result = judge({
    scenario: name,
    forwarding: pair.forwarding,
    family: options.family,
    advertIntMs: options.advertIntervalMs,
    from: scenario.from,
    to,
    traffic,
    flows,
    openings: openings && openingFigures(openings, options.openingRate, firstMs),
    takeovers,
    failures,
    observations: record.observations,
    overlapMs: Math.max(...pair.families.map((family) => overlapOf(wire, family))),
    twoClaimsMs: Math.max(
      ...pair.families.map((family) =>
        measureTwoClaims(wire.a![family].signs, wire.b![family].signs, options.advertIntervalMs),
      ),
    ),
    stallsMs: mergeStalls(traffic.stalls, served),
    timeline: timelineOf(record, takeovers, firstMs),
    slices: slicesAround(takeovers[0], firstMs),
  });
  const young = result.openings === undefined ? '' : `, ${result.openings.broken} of ${result.openings.opened} opened`;
  say(
    `${result.verdict}: gap ${result.gapMs ?? '-'} ms, ${result.broken} of ${result.sessions} sessions broken${young}`,
  );
  return result;
}

/** Every session has worked a moment before the failure, and the backup knows them all. */
async function openTraffic(context: Pick<Stage, 'pair' | 'options' | 'say'>, scenario: Scenario): Promise<void> {
  const { pair, options, say } = context;
  const opened = await pair.client.call<number>('fill', options.sessions, openTimeoutMs);
  if (opened > 0) say(`${opened} sessions opened, data verified both ways`);
  await pair.client.call('fillFlows', options.flows, openTimeoutMs);
  await awaitReplication(context, scenario);
  await pair.client.call('settle', settleTimeoutMs);
}

/**
 * A backup that is to take over must know the sessions before the failure. It learns them within milliseconds; if it
 * never does, the scenario goes on and shows the consequence.
 */
async function awaitReplication(context: Pick<Stage, 'pair' | 'options' | 'say'>, scenario: Scenario): Promise<void> {
  const { pair, options, say } = context;
  if (scenario.from === 'b' || !options.sync) return;
  const living = (await pair.client.call<number>('count')) + options.flows;
  const givenUpMs = performance.now() + replicationTimeoutMs;
  while (performance.now() < givenUpMs) {
    if ((await readTable(pair.directors.b)).size >= living) {
      say(`director b holds all ${living} connections`);
      return;
    }
    await delay(replicationPollMs);
  }
  say(`director b does not hold all ${living} connections after ${replicationTimeoutMs / 1000} s`);
}

interface MeasuredWindow extends Omit<TakeoverWindow, 'kind'> {
  readonly kind: TakeoverKind;
  readonly toMs: number;
}

/** Each takeover until the next begins. A scenario without any has one stretch in which somebody must forward. */
function takeoversOf(
  { windows, timeline, measured }: StageRecord,
  scenario: Scenario,
  endedMs: number,
): MeasuredWindow[] {
  if (windows.length > 0) {
    return windows.map((window, i) => ({ ...window, toMs: windows[i + 1]?.triggerMs ?? endedMs }));
  }
  const triggerMs = timeline[0]?.atMs ?? endedMs;
  const kind = measured.length > 0 ? 'lossless' : isUnbounded(scenario) ? 'unbounded' : 'silence';
  return [{ from: scenario.from, to: scenario.from, kind, fromMs: triggerMs, triggerMs, toMs: endedMs }];
}

/**
 * Before a cold start, and while both directors stand still, nobody forwards; in a flood the machine itself drops packets
 * and comes late.
 */
function isUnbounded(scenario: Scenario): boolean {
  return [coldStart, bothStall, synFlood, fill, resetAttack].includes(scenario);
}

function measureTakeover(
  wire: WireReport,
  family: Family,
  window: MeasuredWindow,
  { measured }: StageRecord,
): Takeover {
  const { from, to, kind, fromMs, triggerMs, toMs } = window;
  const times = (name: 'a' | 'b'): Float64Array =>
    wire[name]![family].forwarded.filter((atMs) => atMs >= fromMs && atMs < toMs);
  const known = { from, to, kind, family, triggerMs };
  if (kind === 'unbounded') return { ...known, gap: undefined, oldTimes: times('b'), newTimes: times('a') };
  if (kind === 'lossless') {
    const gapMs = Math.max(0, ...measured.filter((each) => each.family === family).map((each) => each.gapMs));
    const gap = { lastOldMs: triggerMs, firstNewMs: triggerMs, gapMs, overlapMs: 0, moves: 0 };
    return { ...known, gap, oldTimes: times('a'), newTimes: times('b') };
  }
  if (kind !== 'silence') {
    const [oldTimes, newTimes] = [times(from), times(to)];
    return { ...known, gap: measureGap(oldTimes, newTimes), oldTimes, newTimes };
  }
  const silence = longestSilence(times('a'), times('b'), fromMs, toMs);
  const gap = { lastOldMs: silence.fromMs, firstNewMs: silence.toMs, gapMs: silence.toMs - silence.fromMs };
  return { ...known, gap: { ...gap, overlapMs: 0, moves: 0 }, oldTimes: times('a'), newTimes: times('b') };
}

function overlapOf(wire: WireReport, family: Family): number {
  return measureOverlap(wire.a![family].forwarded, wire.b![family].forwarded);
}

function timelineOf({ timeline }: StageRecord, takeovers: readonly Takeover[], firstMs: number): TimelineEntry[] {
  const entries = [...timeline];
  for (const { gap, from, to, family } of takeovers) {
    if (gap === undefined || from === to) continue;
    const suffix = takeovers.some((other) => other.family !== family) ? ` (${familyName[family]})` : '';
    entries.push({ atMs: gap.lastOldMs, what: `last packet forwarded by director ${from}${suffix}` });
    entries.push({ atMs: gap.firstNewMs, what: `first packet forwarded by director ${to}${suffix}` });
  }
  const sorted = entries.toSorted((left, right) => left.atMs - right.atMs);
  return sorted.map(({ atMs, what }) => ({ atMs: Math.round((atMs - firstMs) * 10) / 10, what }));
}

/** The first takeover with some margin, in slices of a round length. */
function slicesAround(takeover: Takeover | undefined, firstMs: number): Slice[] {
  if (takeover?.gap === undefined || takeover.from === takeover.to) return [];
  const { gap, oldTimes, newTimes } = takeover;
  const start = Math.min(gap.lastOldMs, gap.firstNewMs) - firstMs - marginMs;
  const end = Math.max(gap.lastOldMs, gap.firstNewMs) - firstMs + marginMs;
  const sliceMs = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((ms) => (end - start) / ms <= slicesMax) ?? 1_000;
  const fromMs = Math.floor(start / sliceMs) * sliceMs;
  return sliceTimes(oldTimes, newTimes, firstMs, { fromMs, toMs: end, sliceMs });
}

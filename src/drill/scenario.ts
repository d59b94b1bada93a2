// SPDX-License-Identifier: Apache-2.0
import { monotonicMs } from './director.ts';
import type { DirectorName } from './lab/topology.ts';
import type { ForwardingTimes } from './measure/capture.ts';
import { type Gap, measureGap, type Slice, sliceTimes } from './measure/gap.ts';
import type { DrillOptions, ScenarioName } from './options.ts';
import { isActive, isBackupInSync, type Pair, readyTimeoutMs } from './pair.ts';
import { judge, type ScenarioResult, type TimelineEntry } from './result.ts';
import type { TrafficReport } from './traffic/client.ts';
import { mergeStalls, type StallReport } from './traffic/stall-clock.ts';

export interface ScenarioContext {
  readonly pair: Pair;
  readonly options: DrillOptions;
  /** Tells a person what is going on. */
  readonly say: (text: string) => void;
}

interface Move {
  readonly from: DirectorName;
  readonly to: DirectorName;
  /** Brings the pair to where the scenario starts, if it is not there. */
  prepare(): Promise<void>;
  /** Does what the scenario is about. Gives the moment it was done, in monotonic milliseconds. */
  trigger(): Promise<number>;
  readonly triggerText: string;
}

const openTimeoutMs = 10_000;
const takeoverTimeoutMs = 15_000;
const settleTimeoutMs = 12_000;
const replicationTimeoutMs = 5_000;
const slicesMax = 80;
const marginMs = 30;

/** Runs one scenario with sessions that were opened before it, and judges what was seen. */
export async function runScenario(context: ScenarioContext, scenario: ScenarioName): Promise<ScenarioResult> {
  const { pair, options, say } = context;
  const move = moves[scenario](pair);
  await move.prepare();
  await pair.capture.call('clear');
  const opened = await pair.client.call<number>('fill', options.sessions, openTimeoutMs);
  if (opened > 0) say(`${opened} sessions opened, data verified both ways`);
  await awaitReplication(context, move);
  // Every session has worked a moment before the failure, and the capture has seen the old active forward.
  await pair.client.call('settle', settleTimeoutMs);
  for (const end of [pair.client, ...pair.servers]) await end.call('mark');
  say(move.triggerText);
  const triggerMs = await move.trigger();
  await pair.directors[move.to].await('active', isActive, scenario === 'failback' ? readyTimeoutMs : takeoverTimeoutMs);
  const activeMs = monotonicMs();
  await pair.capture.call('awaitForwarding', move.to, takeoverTimeoutMs);
  await pair.client.call('settle', settleTimeoutMs);
  const settledMs = monotonicMs();
  const traffic = await pair.client.call<TrafficReport>('report');
  const served = await Promise.all(pair.servers.map((server) => server.call<StallReport>('report')));
  const times = await pair.capture.call<ForwardingTimes>('read');
  const [oldTimes, newTimes] = [times[move.from]!, times[move.to]!];
  const gap = measureGap(oldTimes, newTimes);
  const result = judge({
    ...{ scenario, forwarding: pair.forwarding, advertIntMs: options.advertIntervalMs },
    ...{ from: move.from, to: move.to, traffic, gap },
    stallsMs: mergeStalls(traffic.stalls, served),
    timeline: timelineOf(move, gap, { triggerMs, activeMs, settledMs }),
    slices: gap === undefined ? [] : slicesAround(gap, triggerMs, oldTimes, newTimes),
  });
  say(`${result.verdict}: gap ${result.gapMs ?? '-'} ms, ${result.broken} of ${result.sessions} sessions broken`);
  return result;
}

const moves: Readonly<Record<ScenarioName, (pair: Pair) => Move>> = {
  kill: ({ directors }) => ({
    ...{ from: 'a', to: 'b' },
    prepare: async () => {},
    trigger: async () => directors.a.kill(),
    triggerText: 'kill -9 of every process of director a',
  }),
  failback: ({ directors }) => ({
    ...{ from: 'b', to: 'a' },
    prepare: async () => {
      // As a scenario of its own it begins with a healthy pair.
      const status = await directors.b.await('ready', () => true, takeoverTimeoutMs);
      if (isActive(status)) return;
      directors.a.kill();
      await directors.b.await('active', isActive, takeoverTimeoutMs);
    },
    trigger: async () => {
      const atMs = monotonicMs();
      directors.a.start();
      return atMs;
    },
    triggerText: 'director a is started again',
  }),
  handover: ({ directors }) => ({
    ...{ from: 'a', to: 'b' },
    prepare: async () => {
      await directors.b.await('a backup in sync', isBackupInSync, readyTimeoutMs);
    },
    trigger: async () => {
      const atMs = monotonicMs();
      await directors.a.failover();
      return atMs;
    },
    triggerText: 'baton failover on director a',
  }),
};

/**
 * Where a backup is there to take over, it must know the sessions before the failure. It is told within milliseconds;
 * when it never is, the scenario goes on all the same and shows what that means.
 */
async function awaitReplication({ pair, options, say }: ScenarioContext, move: Move): Promise<void> {
  if (move.from === 'b' || !options.sync) return;
  try {
    const holdsAll = ({ engine }: { engine: { establishedConnections: number } }): boolean =>
      engine.establishedConnections >= options.sessions;
    await pair.directors[move.to].await('the holder of all connections', holdsAll, replicationTimeoutMs);
    say(`director ${move.to} holds all ${options.sessions} connections`);
  } catch {
    say(`director ${move.to} does not hold all ${options.sessions} connections after ${replicationTimeoutMs / 1000} s`);
  }
}

function timelineOf(
  move: Move,
  gap: Gap | undefined,
  moments: { readonly triggerMs: number; readonly activeMs: number; readonly settledMs: number },
): TimelineEntry[] {
  const entries: TimelineEntry[] = [
    { atMs: moments.triggerMs, what: move.triggerText },
    { atMs: moments.activeMs, what: `director ${move.to} says that it is active` },
    { atMs: moments.settledMs, what: 'every living session has had data verified both ways again' },
  ];
  if (gap !== undefined) {
    entries.push({ atMs: gap.lastOldMs, what: `last packet forwarded by director ${move.from}` });
    entries.push({ atMs: gap.firstNewMs, what: `first packet forwarded by director ${move.to}` });
  }
  const sorted = entries.toSorted((left, right) => left.atMs - right.atMs);
  return sorted.map(({ atMs, what }) => ({ atMs: Math.round((atMs - moments.triggerMs) * 10) / 10, what }));
}

/** The takeover with some margin, in slices of a round length. */
function slicesAround(gap: Gap, triggerMs: number, oldTimes: Float64Array, newTimes: Float64Array): Slice[] {
  const start = Math.min(gap.lastOldMs, gap.firstNewMs) - triggerMs - marginMs;
  const end = Math.max(gap.lastOldMs, gap.firstNewMs) - triggerMs + marginMs;
  const sliceMs = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((ms) => (end - start) / ms <= slicesMax) ?? 1_000;
  const fromMs = Math.floor(start / sliceMs) * sliceMs;
  return sliceTimes(oldTimes, newTimes, triggerMs, { fromMs, toMs: end, sliceMs });
}

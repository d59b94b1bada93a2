// SPDX-License-Identifier: Apache-2.0
import { priorities } from './lab/configuration.ts';
import type { DirectorName, LabForwarding } from './lab/topology.ts';
import type { Gap, Slice } from './measure/gap.ts';
import { type Quantiles, quantiles } from './measure/quantile.ts';
import type { ScenarioName } from './options.ts';
import type { TrafficReport } from './traffic/client.ts';
import type { Breakage } from './traffic/stall-clock.ts';

export interface TimelineEntry {
  /** Milliseconds since the trigger. */
  readonly atMs: number;
  readonly what: string;
}

/** What one scenario has shown: an element of the JSON output. Fields are added, never renamed. */
export interface ScenarioResult {
  readonly scenario: ScenarioName;
  readonly forwarding: LabForwarding;
  readonly advertIntMs: number;
  readonly sessions: number;
  readonly survived: number;
  readonly broken: number;
  readonly brokenBy: Readonly<Record<Breakage, number>>;
  /** Undefined when the new active never forwarded. */
  readonly gapMs: number | undefined;
  readonly overlapMs: number | undefined;
  /** How often forwarding moved from one director to another; 1 unless it went back and forth. */
  readonly moves: number | undefined;
  readonly stallMs: Quantiles;
  readonly bounds: { readonly gapMs: number; readonly overlapMs: 0; readonly broken: 0 };
  readonly verdict: 'passed' | 'failed';
  /** A sentence for everything that did not hold. */
  readonly failures: readonly string[];
  readonly from: DirectorName;
  readonly to: DirectorName;
  readonly timeline: readonly TimelineEntry[];
  readonly slices: readonly Slice[];
}

/** The whole JSON output. */
export interface DrillResult {
  readonly verdict: 'passed' | 'failed';
  readonly scenarios: readonly ScenarioResult[];
  /** What did not hold beside the scenarios: sessions not closed in order, a director that did not end well. */
  readonly failures: readonly string[];
}

export interface Observation {
  readonly scenario: ScenarioName;
  readonly forwarding: LabForwarding;
  readonly advertIntMs: number;
  readonly from: DirectorName;
  readonly to: DirectorName;
  readonly traffic: Pick<TrafficReport, 'sessions' | 'broken'>;
  /** The longest stall of each session, in milliseconds. */
  readonly stallsMs: Float64Array;
  readonly gap: Gap | undefined;
  readonly timeline: readonly TimelineEntry[];
  readonly slices: readonly Slice[];
}

const toleranceMs = 50;
const plannedGapMs = 50;

/** The longest gap that a scenario may show, in milliseconds. */
export function gapBoundMs(scenario: ScenarioName, advertIntervalMs: number): number {
  if (scenario !== 'kill') return plannedGapMs;
  // RFC 9568 section 6.1: the skew time of the backup that takes over.
  const skewMs = ((256 - priorities.b) * advertIntervalMs) / 256;
  return 3 * advertIntervalMs + skewMs + toleranceMs;
}

/** Judges an observation. */
export function judge(observation: Observation): ScenarioResult {
  const { scenario, forwarding, advertIntMs, from, to, traffic, gap, timeline, slices } = observation;
  const broken = Object.values(traffic.broken).reduce((sum, count) => sum + count, 0);
  const boundMs = gapBoundMs(scenario, advertIntMs);
  const failures: string[] = [];
  if (broken > 0) failures.push(`${broken} of ${traffic.sessions} sessions broke: ${causes(traffic.broken)}`);
  if (gap === undefined) failures.push(`director ${to} never forwarded a packet`);
  else if (gap.overlapMs > 0) failures.push(`both directors forwarded, for ${round(gap.overlapMs)} ms`);
  else if (gap.gapMs > boundMs) failures.push(`the gap of ${round(gap.gapMs)} ms is over ${round(boundMs)} ms`);
  const { p50, p99, max } = quantiles(observation.stallsMs);
  return {
    ...{ scenario, forwarding, advertIntMs },
    ...{ sessions: traffic.sessions, survived: traffic.sessions - broken, broken, brokenBy: traffic.broken },
    gapMs: gap && round(gap.gapMs),
    overlapMs: gap && round(gap.overlapMs),
    moves: gap?.moves,
    stallMs: { p50: round(p50), p99: round(p99), max: round(max) },
    bounds: { gapMs: round(boundMs), overlapMs: 0, broken: 0 },
    verdict: failures.length === 0 ? 'passed' : 'failed',
    ...{ failures, from, to, timeline, slices },
  };
}

export function summarise(scenarios: readonly ScenarioResult[], failures: readonly string[]): DrillResult {
  const hasPassed = failures.length === 0 && scenarios.every(({ verdict }) => verdict === 'passed');
  return { verdict: hasPassed ? 'passed' : 'failed', scenarios, failures };
}

function causes(broken: TrafficReport['broken']): string {
  const named = Object.entries(broken).filter(([, count]) => count > 0);
  return named.map(([cause, count]) => `${count} ${cause}`).join(', ');
}

/** To a tenth: more digits say nothing about a takeover. */
export function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}

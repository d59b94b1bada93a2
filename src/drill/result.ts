// SPDX-License-Identifier: Apache-2.0
import type { Family } from '../lib/ip-address.ts';
import { activeDownIntervalMs } from './lab/configuration.ts';
import type { DirectorName, LabFamily, LabForwarding } from './lab/topology.ts';
import type { Gap, Slice } from './measure/gap.ts';
import { type Quantiles, quantiles } from './measure/quantile.ts';
import type { OpeningFigures } from './opening.ts';
import { mayHaveTwo, type ScenarioName } from './scenario-names.ts';
import type { TrafficReport } from './traffic/client.ts';
import type { FlowReport } from './traffic/flow-client.ts';
import type { Breakage } from './traffic/stall-clock.ts';

export interface TimelineEntry {
  /** Milliseconds since the trigger. */
  readonly atMs: number;
  readonly what: string;
}

/** The result of one scenario: an element of the JSON output. Fields are added, never renamed. */
export interface ScenarioResult {
  readonly scenario: ScenarioName;
  readonly forwarding: LabForwarding;
  readonly family: LabFamily;
  readonly advertIntMs: number;
  readonly sessions: number;
  readonly survived: number;
  readonly broken: number;
  readonly brokenBy: Readonly<Record<Breakage, number>>;
  /** UDP exchanges with their order checked: how many flows, and what became of them. */
  readonly flows: { readonly sent: number; readonly survived: number; readonly broken: number };
  /** The sessions that were opened all the time while the scenario ran; undefined when none were. */
  readonly openings: OpeningFigures | undefined;
  /** The gap of the first takeover; undefined when the new active never forwarded. Without one, the longest silence. */
  readonly gapMs: number | undefined;
  /** The time in which both forwarded packets at once. */
  readonly overlapMs: number | undefined;
  /** The time in which two were active at once, by the packets they forwarded and by their advertisements. */
  readonly twoActiveMs: number;
  /** The number of times that forwarding moved to the other director; 1 unless it went back and forth. */
  readonly moves: number | undefined;
  readonly stallMs: Quantiles;
  /** `gapMs` is undefined where no gap is measured, `overlapMs` where two are to be expected. */
  readonly bounds: {
    readonly gapMs: number | undefined;
    readonly overlapMs: 0 | undefined;
    readonly broken: 0 | undefined;
  };
  /** Every takeover of the scenario in turn, for each address family. */
  readonly takeovers: readonly TakeoverFigures[];
  /** Sentences that are worth knowing and report no failure. */
  readonly observations: readonly string[];
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
  readonly engine: 'xdp' | 'portable';
  /** Why `--engine auto` did not choose xdp. */
  readonly engineReason?: string;
  readonly scenarios: readonly ScenarioResult[];
  /** The figures of each scenario of a series, all its runs together; empty without `--runs`. */
  readonly series: readonly Series[];
  /** Failures outside the scenarios: sessions not closed in order, a director that did not exit with 0. */
  readonly failures: readonly string[];
}

/** All runs of one scenario together. */
export interface Series {
  readonly scenario: ScenarioName;
  readonly forwarding: LabForwarding;
  readonly runs: number;
  readonly passed: number;
  readonly takeovers: number;
  /** Of all takeovers whose gap was measured. */
  readonly gapMs: Quantiles;
  /** Long-lived sessions, counted in each run that they lived through. */
  readonly sessions: number;
  readonly broken: number;
  /** The longest stall of a long-lived session in each run. */
  readonly stallMs: Quantiles;
  /** Sessions that were opened while the scenario ran. */
  readonly opened: number;
  readonly openedBroken: number;
  readonly unanswered: number;
  readonly refused: number;
  /** The longest wait for an answer, and until a session was established, in each run. */
  readonly openedStallMs: Quantiles;
  readonly connectMs: Quantiles;
}

export interface TakeoverFigures {
  readonly family: Family;
  readonly from: DirectorName;
  readonly to: DirectorName;
  readonly kind: TakeoverKind;
  readonly gapMs: number | undefined;
  readonly boundMs: number | undefined;
}

/**
 * `silence`: nobody takes over, and a director must forward all the time. `lossless`: the same, and a probe has checked
 * that nothing is lost. `unbounded`: there is nothing to measure.
 */
export type TakeoverKind = 'failure' | 'planned' | 'silence' | 'lossless' | 'unbounded';

export interface Takeover {
  readonly from: DirectorName;
  readonly to: DirectorName;
  readonly kind: TakeoverKind;
  readonly family: Family;
  readonly triggerMs: number;
  readonly gap: Gap | undefined;
  /** When each of the two forwarded. */
  readonly oldTimes: Float64Array;
  readonly newTimes: Float64Array;
}

export interface Observation {
  readonly scenario: ScenarioName;
  readonly forwarding: LabForwarding;
  readonly family: LabFamily;
  readonly advertIntMs: number;
  readonly from: DirectorName;
  readonly to: DirectorName;
  readonly traffic: Pick<TrafficReport, 'sessions' | 'broken'>;
  readonly flows: FlowReport;
  readonly openings?: OpeningFigures | undefined;
  /** The longest stall of each session, in milliseconds. */
  readonly stallsMs: Float64Array;
  readonly takeovers: readonly Pick<Takeover, 'from' | 'to' | 'kind' | 'family' | 'gap'>[];
  /** The time in which both forwarded, and the time in which both advertised. */
  readonly overlapMs: number;
  readonly twoClaimsMs: number;
  /** The failures that the scenario itself has found, and its observations. */
  readonly failures: readonly string[];
  readonly observations: readonly string[];
  readonly timeline: readonly TimelineEntry[];
  readonly slices: readonly Slice[];
}

const toleranceMs = 50;
const plannedGapMs = 50;

/** The longest gap that a takeover may show, in milliseconds. */
export function gapBoundMs(kind: TakeoverKind, to: DirectorName, advertIntervalMs: number): number | undefined {
  if (kind === 'unbounded') return undefined;
  if (kind === 'lossless') return 0;
  return kind === 'failure' ? activeDownIntervalMs(to, advertIntervalMs) + toleranceMs : plannedGapMs;
}

/** Judges an observation. */
export function judge(observation: Observation): ScenarioResult {
  const { scenario, forwarding, family, advertIntMs, from, to, traffic, flows } = observation;
  const { takeovers, timeline, slices, observations, openings } = observation;
  const broken = Object.values(traffic.broken).reduce((sum, count) => sum + count, 0);
  const isSplit = mayHaveTwo(scenario);
  const figures = takeovers.map((takeover) => figuresOf(takeover, isSplit ? 'failure' : takeover.kind, advertIntMs));
  const failures = [...observation.failures];
  // In a split the scenario itself decides which sessions may break.
  if (broken > 0 && !isSplit)
    failures.push(`${broken} of ${traffic.sessions} sessions broke: ${causes(traffic.broken)}`);
  if (flows.broken > 0 && !isSplit) failures.push(`${flows.broken} of ${flows.sent} UDP flows broke: ${flows.causes}`);
  if (openings !== undefined && openings.broken > 0 && !isSplit) failures.push(openingFailure(openings));
  const twoActiveMs = Math.max(observation.overlapMs, observation.twoClaimsMs);
  if (!isSplit) failures.push(...two(observation));
  for (const figure of figures) failures.push(...gapFailures(figure, figures));
  const { p50, p99, max } = quantiles(observation.stallsMs);
  const first = takeovers[0]?.gap;
  return {
    scenario,
    forwarding,
    family,
    advertIntMs,
    sessions: traffic.sessions,
    survived: traffic.sessions - broken,
    broken,
    brokenBy: traffic.broken,
    flows: { sent: flows.sent, survived: flows.sent - flows.broken, broken: flows.broken },
    openings,
    gapMs: first && round(first.gapMs),
    overlapMs: first && round(observation.overlapMs),
    twoActiveMs: round(twoActiveMs),
    moves: first?.moves,
    stallMs: { p50: round(p50), p99: round(p99), max: round(max) },
    bounds: {
      gapMs: figures[0]?.boundMs,
      overlapMs: isSplit ? undefined : 0,
      broken: isSplit ? undefined : 0,
    },
    verdict: failures.length === 0 ? 'passed' : 'failed',
    failures,
    observations,
    from,
    to,
    takeovers: figures,
    timeline,
    slices,
  };
}

function openingFailure({ broken, opened, brokenBy }: OpeningFigures): string {
  return `${broken} of ${opened} sessions broke that were opened meanwhile: ${causes(brokenBy)}`;
}

function figuresOf(
  takeover: Observation['takeovers'][number],
  kind: TakeoverKind,
  advertIntMs: number,
): TakeoverFigures {
  const { family, from, to, gap } = takeover;
  const boundMs = gapBoundMs(kind, to, advertIntMs);
  return { family, from, to, kind, gapMs: gap && round(gap.gapMs), boundMs: boundMs && round(boundMs) };
}

function gapFailures({ gapMs, boundMs, from, to, family }: TakeoverFigures, all: readonly TakeoverFigures[]): string[] {
  if (boundMs === undefined) return [];
  const which = all.length === 1 ? '' : ` (${from} -> ${to}, ${family})`;
  if (gapMs === undefined) return [`director ${to} never forwarded a packet${which}`];
  return gapMs > boundMs ? [`the gap of ${gapMs} ms is over ${boundMs} ms${which}`] : [];
}

function two({ overlapMs, twoClaimsMs }: Observation): string[] {
  const failures: string[] = [];
  if (overlapMs > 0) failures.push(`both directors forwarded, for ${round(overlapMs)} ms`);
  if (twoClaimsMs > 0) failures.push(`both directors advertised themselves as active, for ${round(twoClaimsMs)} ms`);
  return failures;
}

export function summarise(
  {
    engine,
    engineReason,
    series = [],
  }: Pick<DrillResult, 'engine' | 'engineReason'> & Partial<Pick<DrillResult, 'series'>>,
  scenarios: readonly ScenarioResult[],
  failures: readonly string[],
): DrillResult {
  const hasPassed = failures.length === 0 && scenarios.every(({ verdict }) => verdict === 'passed');
  const reason = engineReason === undefined ? {} : { engineReason };
  return { verdict: hasPassed ? 'passed' : 'failed', engine, ...reason, scenarios, series, failures };
}

function causes(broken: TrafficReport['broken']): string {
  const named = Object.entries(broken).filter(([, count]) => count > 0);
  return named.map(([cause, count]) => `${count} ${cause}`).join(', ');
}

/** Rounds to a tenth: more digits say nothing about a takeover. */
export function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}

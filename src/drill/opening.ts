// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from 'node:timers/promises';
import type { TracedPacket } from './measure/opening-trace.ts';
import { type Quantiles, quantiles } from './measure/quantile.ts';
import type { Pair } from './pair.ts';
import type { BrokenOpening, OpeningReport } from './traffic/openings.ts';
import type { Breakage } from './traffic/stall-clock.ts';

// The sessions that are opened all the time while a scenario runs, as figures, and what is known of each that broke.

/** All figures are of one scenario. */
export interface OpeningFigures {
  /** Sessions a second that were asked for, and that this machine has begun. */
  readonly rate: number;
  readonly reachedRate: number;
  readonly opened: number;
  readonly unanswered: number;
  readonly refused: number;
  readonly unclosed: number;
  readonly broken: number;
  readonly brokenBy: Readonly<Record<Breakage, number>>;
  readonly connectMs: Quantiles;
  /** The longest wait for an answer of each session. */
  readonly stallMs: Quantiles;
  readonly breakages: readonly OpeningBreakage[];
}

/** A session that broke. Times are milliseconds since the trigger of the scenario's first failure. */
export interface OpeningBreakage {
  readonly address: string;
  readonly port: number;
  readonly cause: Breakage;
  readonly synAtMs: number;
  readonly establishedAtMs: number;
  /** Absent when it was never answered. */
  readonly lastAnswerAtMs?: number;
  readonly brokenAtMs: number;
  readonly answers: number;
  /** Its packets as they left the directors, the first and the last of them. */
  readonly packets: readonly TracedPacket[];
  readonly packetCount: number;
}

/** For how long sessions are opened before the scenario begins, and after it is over. */
const aroundMs = 1_000;
const breakagesMax = 200;
const packetsMax = 24;
/** A lower share of the rate that was asked for is worth a word. */
const rateShareMin = 0.95;

/** Resolves once sessions of every age live. */
export async function startOpening({ opener }: Pick<Pair, 'opener'>, rate: number): Promise<void> {
  if (opener === undefined) return;
  await opener.call('start', rate);
  await delay(aroundMs);
}

/** Resolves with the fate of all sessions and the packets of those that broke; undefined when none were opened. */
export async function endOpening({
  opener,
  capture,
}: Pick<Pair, 'opener' | 'capture'>): Promise<OpeningEvidence | undefined> {
  if (opener === undefined) return undefined;
  await delay(aroundMs);
  const report = await opener.call<OpeningReport>('end');
  const ports = report.broken.slice(0, breakagesMax).map(({ port }) => port);
  const packets =
    ports.length === 0 ? new Map() : await capture.call<ReadonlyMap<number, readonly TracedPacket[]>>('trace', ports);
  return { report, packets };
}

export interface OpeningEvidence {
  readonly report: OpeningReport;
  /** By the client's port. */
  readonly packets: ReadonlyMap<number, readonly TracedPacket[]>;
}

/** Every time is given relative to `triggerMs`. */
export function openingFigures({ report, packets }: OpeningEvidence, rate: number, triggerMs: number): OpeningFigures {
  const brokenBy: Record<Breakage, number> = { reset: 0, closed: 0, corrupted: 0, stalled: 0 };
  for (const { cause } of report.broken) brokenBy[cause] += 1;
  const { opened, unanswered, refused, unclosed } = report;
  return {
    rate,
    reachedRate: Math.round((report.attempted * 1_000) / Math.max(1, report.elapsedMs)),
    opened,
    unanswered,
    refused,
    unclosed,
    broken: report.broken.length,
    brokenBy,
    connectMs: tenths(quantiles(report.connectMs)),
    stallMs: tenths(quantiles(report.stallsMs)),
    breakages: report.broken
      .slice(0, breakagesMax)
      .map((broken) => explain(broken, packets.get(broken.port) ?? [], triggerMs)),
  };
}

/** Sentences for the report: one for the figures, one for a rate that was not reached, one for each that broke. */
export function describeOpenings(figures: OpeningFigures, breakagesShown: number): string[] {
  const { opened, broken, unanswered, refused, unclosed, connectMs, stallMs, rate, reachedRate } = figures;
  const lines = [
    `opened meanwhile: ${opened}, broken: ${broken}, unanswered: ${unanswered}, refused: ${refused}, unclosed: ${unclosed}`,
    `  until established: p50 ${connectMs.p50} ms, p99 ${connectMs.p99} ms, max ${connectMs.max} ms; longest wait for an answer: p99 ${stallMs.p99} ms, max ${stallMs.max} ms`,
  ];
  if (reachedRate < rate * rateShareMin) {
    lines.push(`  this machine has begun ${reachedRate} sessions a second, not ${rate}`);
  }
  lines.push(...figures.breakages.slice(0, breakagesShown).map((breakage) => `  ${describeBreakage(breakage)}`));
  const more = broken - breakagesShown;
  return more > 0 ? [...lines, `  and ${more} more`] : lines;
}

function describeBreakage(breakage: OpeningBreakage): string {
  const { address, port, cause, synAtMs, establishedAtMs, lastAnswerAtMs, brokenAtMs, answers, packets } = breakage;
  const answered =
    lastAnswerAtMs === undefined ? 'never answered' : `${answers} answers, the last ${at(lastAnswerAtMs)}`;
  const seen = (['a', 'b'] as const).map((director) => describePackets(director, packets));
  return [
    `${cause} ${at(brokenAtMs)}: client port ${port} of ${address}, SYN ${at(synAtMs)}, established ${at(establishedAtMs)}`,
    answered,
    ...seen.filter((text) => text !== ''),
  ].join('; ');
}

function describePackets(director: 'a' | 'b', packets: readonly TracedPacket[]): string {
  const own = packets.filter((packet) => packet.director === director);
  const [first, last] = [own[0], own.at(-1)];
  if (first === undefined || last === undefined) return '';
  const reset = own.find(({ flags }) => flags.includes('RST'));
  const resetText = reset === undefined ? '' : `, RST ${reset.way} ${at(reset.atMs)}`;
  return `director ${director}: ${first.flags} ${at(first.atMs)} to ${last.flags} ${at(last.atMs)}${resetText}`;
}

function explain(
  { synMs, establishedMs, lastAnswerMs, brokenMs, ...rest }: BrokenOpening,
  seen: readonly TracedPacket[],
  triggerMs: number,
): OpeningBreakage {
  const relative = (ms: number): number => tenth(ms - triggerMs);
  // The client's port may have been used before: of an earlier session there is nothing to tell.
  const own = seen.filter(({ atMs }) => atMs >= synMs - 1);
  const shown = own.length <= packetsMax ? own : [...own.slice(0, packetsMax / 2), ...own.slice(-packetsMax / 2)];
  return {
    ...rest,
    synAtMs: relative(synMs),
    establishedAtMs: relative(establishedMs),
    ...(lastAnswerMs === undefined ? {} : { lastAnswerAtMs: relative(lastAnswerMs) }),
    brokenAtMs: relative(brokenMs),
    packets: shown.map((packet) => ({ ...packet, atMs: relative(packet.atMs) })),
    packetCount: own.length,
  };
}

function at(ms: number): string {
  return `${ms < 0 ? '' : '+'}${ms} ms`;
}

function tenths({ p50, p99, max }: Quantiles): Quantiles {
  return { p50: tenth(p50), p99: tenth(p99), max: tenth(max) };
}

function tenth(ms: number): number {
  return Math.round(ms * 10) / 10;
}

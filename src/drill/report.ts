// SPDX-License-Identifier: Apache-2.0
import type { Slice } from './measure/gap.ts';
import { describeOpenings } from './opening.ts';
import type { DrillResult, ScenarioResult, TakeoverFigures } from './result.ts';
import { scenarioTexts } from './scenario-names.ts';
import { describeSeries } from './series.ts';

/** The JSON output has all of them. */
const breakagesShown = 10;

/** The whole drill as text for a person. */
export function renderReport(result: DrillResult): string {
  const because = result.engineReason === undefined ? '' : `: ${result.engineReason}`;
  const lines = [`engine: ${result.engine}${because}`, ''];
  lines.push(...result.scenarios.flatMap((scenario) => [...renderScenario(scenario), '']));
  const count = result.scenarios.length;
  const passed = result.scenarios.filter(({ verdict }) => verdict === 'passed').length;
  for (const series of result.series) lines.push(...describeSeries(series), '');
  for (const failure of result.failures) lines.push(`FAILED: ${failure}`);
  const broken = result.scenarios.reduce((sum, scenario) => sum + scenario.broken, 0);
  const word = result.verdict === 'passed' ? 'PASSED' : 'FAILED';
  const flows = result.scenarios.reduce((sum, scenario) => sum + scenario.flows.broken, 0);
  const brokenFlows = flows === 0 ? '' : `, ${flows} UDP flows broken`;
  lines.push(`${word}: ${passed} of ${count} scenarios passed, ${broken} sessions broken${brokenFlows}`, '');
  return lines.join('\n');
}

function renderScenario(result: ScenarioResult): string[] {
  const { from, to, stallMs, flows } = result;
  const way = from === to ? '' : `, ${from} -> ${to}`;
  const moves = result.moves ?? 0;
  return [
    `${scenarioTexts[result.scenario].title}, ${result.forwarding}, ${result.family}${way}`,
    '',
    ...result.timeline.map(({ atMs, what }) => `  ${formatMs(atMs).padStart(11)}  ${what}`),
    '',
    ...drawGap(result.slices, from, to),
    `  sessions: ${result.sessions}, survived: ${result.survived}, broken: ${result.broken}`,
    ...(flows.sent === 0 ? [] : [`  UDP flows: ${flows.sent}, survived: ${flows.survived}, broken: ${flows.broken}`]),
    ...(result.openings === undefined ? [] : describeOpenings(result.openings, breakagesShown)).map(
      (line) => `  ${line}`,
    ),
    ...result.takeovers.flatMap((takeover) => renderGap(takeover, result)),
    `  two active at once: ${result.twoActiveMs} ms${describeSplit(result)}`,
    ...(moves > 1 ? [`  forwarding moved ${moves} times before it settled; the last gap is shown`] : []),
    `  longest stall of a session: p50 ${stallMs.p50} ms, p99 ${stallMs.p99} ms, max ${stallMs.max} ms`,
    ...result.observations.map((observation) => `  ${observation}`),
    ...(result.failures.length === 0 ? ['  PASSED'] : result.failures.map((failure) => `  FAILED: ${failure}`)),
  ];
}

/** Advertisements only claim the addresses; packets forwarded by both in turn show that both claims were believed. */
function describeSplit({ overlapMs, bounds }: ScenarioResult): string {
  return bounds.overlapMs === undefined ? ` (to be expected here), packets of both in turn: ${overlapMs} ms` : '';
}

function renderGap(takeover: TakeoverFigures, { takeovers, family }: ScenarioResult): string[] {
  const { from, to, kind, gapMs, boundMs } = takeover;
  if (boundMs === undefined) return [];
  const of = family === 'both' ? `, ${takeover.family}` : '';
  const what =
    kind === 'lossless'
      ? 'gap'
      : from === to
        ? 'longest silence'
        : takeovers.length === 1
          ? 'gap'
          : `gap ${from} -> ${to}`;
  return [`  ${what}${of}: ${gapMs === undefined ? 'never ended' : `${gapMs} ms (at most ${boundMs})`}`];
}

/** One row a director, one character a slice of time: `#` packets were forwarded, `.` none. */
function drawGap(slices: readonly Slice[], from: string, to: string): string[] {
  const first = slices[0];
  if (first === undefined) return [];
  const sliceMs = slices.length > 1 ? slices[1]!.fromMs - first.fromMs : 0;
  const row = (name: string, pick: (slice: Slice) => number): string =>
    `  ${name} |${slices.map((slice) => (pick(slice) > 0 ? '#' : '.')).join('')}|`;
  const start = formatMs(first.fromMs);
  const end = formatMs(first.fromMs + slices.length * sliceMs);
  return [
    `  packets forwarded (one character = ${sliceMs} ms)`,
    row(from, (slice) => slice.old),
    row(to, (slice) => slice.new),
    `     ${start}${end.padStart(Math.max(end.length + 1, slices.length - start.length))}`,
    '',
  ];
}

function formatMs(ms: number): string {
  return `${ms < 0 ? '' : '+'}${ms.toFixed(1)} ms`;
}

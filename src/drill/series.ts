// SPDX-License-Identifier: Apache-2.0
import { type Quantiles, quantiles } from './measure/quantile.ts';
import type { ScenarioResult, Series } from './result.ts';

/** One for each scenario and forwarding method with more than one result, in the order of their first results. */
export function seriesOf(results: readonly ScenarioResult[]): Series[] {
  const groups = new Map<string, ScenarioResult[]>();
  for (const result of results) {
    const key = `${result.scenario} ${result.forwarding}`;
    groups.set(key, [...(groups.get(key) ?? []), result]);
  }
  return [...groups.values()].filter(({ length }) => length > 1).map(together);
}

export function describeSeries(series: Series): string[] {
  const { scenario, forwarding, runs, passed, takeovers, gapMs, stallMs, openedStallMs, connectMs } = series;
  const three = ({ p50, p99, max }: Quantiles): string => `p50 ${p50} ms, p99 ${p99} ms, max ${max} ms`;
  return [
    `${scenario}, ${forwarding}: ${passed} of ${runs} runs passed`,
    `  ${takeovers} takeovers, gap ${three(gapMs)}`,
    `  sessions: ${series.sessions}, broken: ${series.broken}; the longest stall of each run: ${three(stallMs)}`,
    `  opened meanwhile: ${series.opened}, broken: ${series.openedBroken}, unanswered: ${series.unanswered}, refused: ${series.refused}`,
    `  the longest wait of each run for an answer: ${three(openedStallMs)}; until established: ${three(connectMs)}`,
  ];
}

function together(results: readonly ScenarioResult[]): Series {
  const first = results[0]!;
  const openings = results.flatMap((result) => result.openings ?? []);
  const gaps = results.flatMap(({ takeovers }) => takeovers.flatMap(({ gapMs }) => gapMs ?? []));
  return {
    scenario: first.scenario,
    forwarding: first.forwarding,
    runs: results.length,
    passed: results.filter(({ verdict }) => verdict === 'passed').length,
    takeovers: results.reduce((sum, { takeovers, from, to }) => sum + (from === to ? 0 : takeovers.length), 0),
    gapMs: quantiles(Float64Array.from(gaps)),
    sessions: sumOf(results, ({ sessions }) => sessions),
    broken: sumOf(results, ({ broken }) => broken),
    stallMs: quantiles(Float64Array.from(results, ({ stallMs }) => stallMs.max)),
    opened: sumOf(openings, ({ opened }) => opened),
    openedBroken: sumOf(openings, ({ broken }) => broken),
    unanswered: sumOf(openings, ({ unanswered }) => unanswered),
    refused: sumOf(openings, ({ refused }) => refused),
    openedStallMs: quantiles(Float64Array.from(openings, ({ stallMs }) => stallMs.max)),
    connectMs: quantiles(Float64Array.from(openings, ({ connectMs }) => connectMs.max)),
  };
}

function sumOf<Item>(items: readonly Item[], figure: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + figure(item), 0);
}

// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from 'node:timers/promises';
import { errorSentence } from '../lib/error-sentence.ts';
import { type DrillSettings, settle } from './engine.ts';
import { prepareSandbox } from './lab/lab.ts';
import { leaveWithParent } from './lab/sandbox.ts';
import type { LabForwarding } from './lab/topology.ts';
import type { DrillOptions } from './options.ts';
import { openPair, type Pair } from './pair.ts';
import { renderReport } from './report.ts';
import { type ScenarioResult, summarise } from './result.ts';
import { runScenario } from './scenario.ts';
import type { ScenarioName } from './scenario-names.ts';
import { seriesOf } from './series.ts';

// The first process of the sandbox: when it ends, everything in the sandbox does.

interface Outcome {
  readonly scenarios: readonly ScenarioResult[];
  readonly failures: readonly string[];
}

const closeTimeoutMs = 5_000;
const soakPeriodMs = 20_000;

leaveWithParent();
await main(JSON.parse(process.argv[2] ?? '{}') as DrillOptions, process.argv[3] ?? 'drill-');

async function main(given: DrillOptions, prefix: string): Promise<void> {
  try {
    const options = settle(given);
    await prepareSandbox();
    const outcomes: Outcome[] = [];
    for (const forwarding of options.forwardings) outcomes.push(await drill(forwarding, options, prefix));
    const scenarios = outcomes.flatMap((outcome) => outcome.scenarios);
    const failures = outcomes.flatMap((outcome) => outcome.failures);
    const series = options.runs === 1 && options.soakMinutes === 0 ? [] : seriesOf(scenarios);
    const result = summarise({ ...options, series }, scenarios, failures);
    const report = options.json ? `${JSON.stringify(result, undefined, 2)}\n` : `\n${renderReport(result)}`;
    // Written whole before the end: a pipe takes 64 KiB at a time.
    process.stdout.write(report, () => process.exit(result.verdict === 'passed' ? 0 : 1));
  } catch (error) {
    process.stderr.write(`baton drill: ${errorSentence(error)}\n`);
    process.exit(1);
  }
}

async function drill(forwarding: LabForwarding, options: DrillSettings, prefix: string): Promise<Outcome> {
  const startedMs = performance.now();
  const output = options.json ? process.stderr : process.stdout;
  const say = (text: string): void => {
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    output.write(`${forwarding.padEnd(12)} ${seconds.padStart(5)} s  ${text}\n`);
  };
  const pair = await openPair(forwarding, options, `${prefix}${forwarding}-`, say);
  const scenarios: ScenarioResult[] = [];
  const failures: string[] = [];
  for await (const scenario of turns(options)) {
    try {
      scenarios.push(await runScenario({ pair, options, say }, scenario));
    } catch (error) {
      // The scenarios before have their figures; those after would have no healthy pair to begin with.
      const reason = errorSentence(error);
      failures.push(`${scenario} (${forwarding}) could not be brought to its end: ${reason}`);
      break;
    }
  }
  if (failures.length === 0) failures.push(...(await closeSessions(pair, scenarios.at(-1)!, say)));
  failures.push(...(await pair.close()));
  return { scenarios, failures };
}

/** The scenarios one after the other; in a soak each begins 20 s after the one before, or when that is over. */
async function* turns({ scenarios, runs, soakMinutes }: DrillSettings): AsyncGenerator<ScenarioName> {
  const untilMs = performance.now() + soakMinutes * 60_000;
  const isOver = (turn: number): boolean =>
    soakMinutes === 0 ? turn >= runs * scenarios.length : performance.now() >= untilMs;
  for (let turn = 0; !isOver(turn); turn += 1) {
    const nextMs = performance.now() + (soakMinutes === 0 ? 0 : soakPeriodMs);
    yield scenarios[turn % scenarios.length]!;
    await delay(Math.max(0, nextMs - performance.now()));
  }
}

/** Sessions that survived everything must also close in order. */
async function closeSessions(pair: Pair, last: ScenarioResult, say: (text: string) => void): Promise<string[]> {
  const inOrder = await pair.client.call<number>('close', closeTimeoutMs);
  say(`${inOrder} sessions closed in order`);
  if (inOrder >= last.survived) return [];
  return [`${last.survived - inOrder} of ${last.survived} sessions could not be closed in order (${pair.forwarding})`];
}

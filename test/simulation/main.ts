// SPDX-License-Identifier: Apache-2.0
import { parseArgs } from 'node:util';
import { errorSentence } from '../../src/lib/error-sentence.ts';
import { type Outcome, simulate } from './simulation.ts';

const usage = `usage: npm run sim -- [--seed S] [--runs N] [--transcript] [--go-on]
  --seed S        the first seed (default 1)
  --runs N        how many seeds, one after the other (default 1000)
  --transcript    print what happened, also without a violation
  --go-on         count violations instead of ending at the first
`;

interface Options {
  readonly seed: number;
  readonly runs: number;
  readonly transcript: boolean;
  readonly goOn: boolean;
}

const options = readOptions();
process.exitCode = options === undefined ? 2 : await runAll(options);

function readOptions(): Options | undefined {
  try {
    const { values } = parseArgs({
      options: {
        seed: { type: 'string', default: '1' },
        runs: { type: 'string', default: '1000' },
        transcript: { type: 'boolean', default: false },
        'go-on': { type: 'boolean', default: false },
      },
    });
    const seed = Number(values.seed);
    const runs = Number(values.runs);
    if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(runs) || runs < 1) throw new Error('not a whole number');
    return { seed, runs, transcript: values.transcript, goOn: values['go-on'] };
  } catch (error) {
    process.stderr.write(`${errorSentence(error)}\n${usage}`);
    return undefined;
  }
}

async function runAll({ seed: first, runs, transcript, goOn }: Options): Promise<number> {
  const sums = { simulatedMs: 0, sessionsOpened: 0, sessionsBroken: 0, simultaneous: 0 };
  let violations = 0;
  const startedMs = performance.now();
  for (let seed = first; seed < first + runs; seed += 1) {
    const outcome = await simulate(seed, {}, transcript);
    for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += outcome[name];
    if (transcript) process.stdout.write(outcome.transcript);
    if (outcome.violation === undefined) continue;
    violations += 1;
    if (goOn) process.stdout.write(`seed ${seed} (${outcome.plan.style}): ${sentence(outcome)}\n`);
    else {
      await report(seed, transcript);
      return 1;
    }
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  process.stdout.write(
    `${runs} runs from seed ${first} in ${seconds} s: ${violations} violations; ` +
      `${Math.round(sums.simulatedMs / 1000)} s simulated, ${sums.sessionsOpened} sessions, ` +
      `${sums.sessionsBroken} reset where more than one failure allowed it, ` +
      `${sums.simultaneous} leases seen beside one taken at the same moment\n`,
  );
  return violations === 0 ? 0 : 1;
}

/** Runs it once more, with a transcript. */
async function report(seed: number, printed: boolean): Promise<void> {
  const outcome = await simulate(seed, {}, true);
  if (!printed) process.stdout.write(outcome.transcript);
  process.stdout.write(
    `\nseed ${seed}: ${sentence(outcome)}\nagain: npm run sim -- --seed ${seed} --runs 1 --transcript\n`,
  );
}

function sentence({ violation }: Outcome): string {
  return violation === undefined
    ? 'no violation'
    : `${violation.rule} at ${violation.atMs.toFixed(2)} ms: ${violation.text}`;
}

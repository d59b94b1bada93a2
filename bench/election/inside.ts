// SPDX-License-Identifier: Apache-2.0
import { prepareSandbox } from '../../src/drill/lab/lab.ts';
import { leaveWithParent } from '../../src/drill/lab/sandbox.ts';
import { errorSentence } from '../../src/lib/error-sentence.ts';
import { isInstalled } from '../command.ts';
import { describeLoad, describeMachine } from '../machine.ts';
import { measureElection } from './measure.ts';
import { type ContestantName, type ElectionOptions, parseElectionOptions } from './options.ts';
import { type ElectionFigures, electionTable } from './report.ts';

// The first process of the sandbox: when it ends, everything in the sandbox does.

leaveWithParent();
await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<void> {
  try {
    const options = parseElectionOptions(args);
    await prepareSandbox();
    process.stdout.write(`${describeMachine()}\n\n`);
    process.stdout.write(`${electionTable(options, await inTurn(await present(options.contestants), options))}\n`);
    process.stdout.write(`load average at the end: ${describeLoad()}\n`);
    process.exit(0);
  } catch (error) {
    process.stderr.write(`bench: ${errorSentence(error)}\n`);
    process.exit(1);
  }
}

async function present(contestants: readonly ContestantName[]): Promise<readonly ContestantName[]> {
  if (await isInstalled('keepalived')) return contestants;
  process.stdout.write('keepalived left out: it is not installed (Debian’s package keepalived)\n\n');
  return contestants.filter((name) => name === 'baton');
}

/** A B A B …: other work on the machine then affects all contestants equally. */
async function inTurn(
  contestants: readonly ContestantName[],
  options: ElectionOptions,
): Promise<Map<string, ElectionFigures[]>> {
  const results = new Map<string, ElectionFigures[]>();
  for (let round = 1; round <= options.rounds; round += 1) {
    for (const contestant of contestants) {
      const figures = await measureElection(contestant, options);
      results.set(contestant, [...(results.get(contestant) ?? []), figures]);
      process.stderr.write(`round ${round}, ${contestant}: ${JSON.stringify(figures)}\n`);
    }
  }
  return results;
}

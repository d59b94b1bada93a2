// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { prepareSandbox } from '../src/drill/lab/lab.ts';
import { leaveWithParent } from '../src/drill/lab/sandbox.ts';
import { errorSentence } from '../src/lib/error-sentence.ts';
import { isInstalled } from './command.ts';
import { baton, type Contestant, end, haproxy, nftables, startWebServers } from './contestants.ts';
import { buildGround } from './ground.ts';
import { type HttpFigures, measureHttp } from './http.ts';
import { measureLossless, type PacketFigures } from './lossless.ts';
import { describeLoad, describeMachine } from './machine.ts';
import { httpTable, packetTable } from './report.ts';

// The first process of the sandbox: when it ends, everything in the sandbox does.

const flowCounts = [256, 10_000];

leaveWithParent();
await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<void> {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { rounds: { type: 'string', default: '3' }, only: { type: 'string' } },
    });
    const rounds = Number(values.rounds);
    await prepareSandbox();
    preferSession('-20');
    await buildGround();
    process.stdout.write(`${describeMachine()}\n\n`);
    if (values.only !== 'http') await comparePackets(rounds);
    if (values.only !== 'packets') await compareHttp(rounds);
    process.stdout.write(`load average at the end: ${describeLoad()}\n`);
    preferSession('0');
    process.exit(0);
  } catch (error) {
    process.stderr.write(`bench: ${errorSentence(error)}\n`);
    process.exit(1);
  }
}

async function comparePackets(rounds: number): Promise<void> {
  for (const flows of flowCounts) {
    const contestants = [baton('masquerade'), nftables(), baton('direct-route')];
    const results = await inTurn<PacketFigures>(rounds, contestants, (contestant) =>
      measureLossless(contestant, flows),
    );
    process.stdout.write(`${packetTable(flows, results)}\n`);
  }
}

async function compareHttp(rounds: number): Promise<void> {
  for (const program of ['haproxy', 'wrk']) {
    if (await isInstalled(program)) continue;
    process.stdout.write(`HTTP left out: ${program} is not installed (Debian's package ${program})\n\n`);
    return;
  }
  const servers = await startWebServers();
  const contestants = [baton('masquerade'), nftables(), haproxy()];
  const results = await inTurn<HttpFigures>(rounds, contestants, measureHttp);
  await end(servers);
  process.stdout.write(`${httpTable(results)}\n`);
}

/**
 * With CONFIG_SCHED_AUTOGROUP niceness counts only among the processes of one session (sched(7)); this is the session's
 * own, and all contestants share it.
 */
function preferSession(niceness: string): void {
  try {
    writeFileSync('/proc/self/autogroup', niceness);
  } catch {
    // Without the option there is no such file, and processes' niceness is enough.
  }
}

/** A B C A B C …: other work on the machine then affects all contestants equally. */
async function inTurn<Figures>(
  rounds: number,
  contestants: readonly Contestant[],
  measure: (contestant: Contestant) => Promise<Figures>,
): Promise<Map<string, Figures[]>> {
  const results = new Map<string, Figures[]>();
  for (let round = 1; round <= rounds; round += 1) {
    for (const contestant of contestants) {
      await contestant.open();
      const figures = await measure(contestant);
      await contestant.close();
      results.set(contestant.name, [...(results.get(contestant.name) ?? []), figures]);
      process.stderr.write(`round ${round}, ${contestant.name}: ${JSON.stringify(figures)}\n`);
    }
  }
  return results;
}

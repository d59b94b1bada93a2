// SPDX-License-Identifier: Apache-2.0
import { parseArgs } from 'node:util';
import { prepareSandbox } from '../../src/drill/lab/lab.ts';
import { leaveWithParent } from '../../src/drill/lab/sandbox.ts';
import { errorSentence } from '../../src/lib/error-sentence.ts';
import { describeLoad, describeMachine } from '../machine.ts';
import { measureCosts } from './costs.ts';
import { measureDirector } from './director.ts';
import { buildXdpGround, type Family } from './ground.ts';
import { hold } from './hold.ts';
import { measureOpenings } from './openings.ts';
import { measureRates, type RateOptions } from './rates.ts';
import { Stage } from './stage.ts';
import { measureTable } from './table.ts';

// The first process of the sandbox: when it ends, everything in the sandbox does.

const parts: Readonly<Record<string, (stage: Stage, options: RateOptions) => Promise<void>>> = {
  rates: measureRates,
  openings: measureOpenings,
  costs: measureCosts,
  table: measureTable,
  director: measureDirector,
};

leaveWithParent();
await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<void> {
  try {
    const text = { type: 'string' } as const;
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { rounds: { ...text, default: '5' }, only: text, flows: text, object: text, family: text, grain: text },
    });
    await prepareSandbox();
    await buildXdpGround();
    process.stdout.write(`${describeMachine()}\n\n`);
    const options = {
      rounds: Number(values.rounds),
      flows: values.flows?.split(',').map(Number),
      objectPath: values.object,
      family: values.family as Family | undefined,
      seenGrainMs: values.grain === undefined ? undefined : Number(values.grain),
    };
    for (const [name, measure] of Object.entries({ ...parts, ...(values.only === 'hold' ? { hold } : {}) })) {
      if (values.only !== undefined && values.only !== name) continue;
      const stage = await Stage.open();
      await measure(stage, { ...options, held: positionals });
      stage.close();
      process.stdout.write('\n');
    }
    process.stdout.write(`load average at the end: ${describeLoad()}\n`);
    process.exit(0);
  } catch (error) {
    process.stderr.write(`bench: ${errorSentence(error)}\n`);
    process.exit(1);
  }
}

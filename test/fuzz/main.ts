// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { errorSentence } from '../../src/lib/error-sentence.ts';
import { outcomeOf, search } from './search.ts';
import type { Story } from './steps.ts';
import { storyInWords } from './words.ts';

const usage = `usage: npm run fuzz -- [--seed S] [--runs N] [--path P]
       npm run fuzz -- --story FILE
  --seed S       what the stories come from (default: the time)
  --runs N       how many stories (default 10000)
  --path P       begin at this run of the seed, as a former report says
  --story FILE   the one in FILE, as a report has it in its last line
`;

interface Options {
  readonly seed: number;
  readonly runs: number;
  readonly path?: string;
  readonly story?: string;
}

const options = readOptions();
// The namespace of the interfaces and what is loaded go with the process; readers of rings would keep it.
process.exit(options === undefined ? 2 : await run(options));

function readOptions(): Options | undefined {
  try {
    const { values } = parseArgs({
      options: {
        seed: { type: 'string' },
        runs: { type: 'string', default: '10000' },
        path: { type: 'string' },
        story: { type: 'string' },
      },
    });
    const { path, story } = values;
    const seed = values.seed === undefined ? Date.now() & 0x7fff_ffff : Number(values.seed);
    const runs = Number(values.runs);
    if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(runs) || runs < 1) throw new Error('not a whole number');
    return { seed, runs, ...(path === undefined ? {} : { path }), ...(story === undefined ? {} : { story }) };
  } catch (error) {
    process.stderr.write(`${errorSentence(error)}\n${usage}`);
    return undefined;
  }
}

async function run({ seed, runs, path, story: file }: Options): Promise<number> {
  if (file !== undefined) {
    const story = JSON.parse(readFileSync(file, 'utf8')) as Story;
    const outcome = await outcomeOf(story);
    process.stdout.write(`${storyInWords(story)}\n${outcome ?? 'the engines do alike'}\n`);
    return outcome === undefined ? 0 : 1;
  }
  process.stdout.write(`seed ${seed}\n`);
  const startedMs = performance.now();
  const { coverage, found } = await search({ seed, runs, ...(path === undefined ? {} : { path }) });
  const seconds = (performance.now() - startedMs) / 1000;
  process.stdout.write(
    `${coverage}\n${seconds.toFixed(1)} s, ${(coverage.stories / seconds).toFixed(0)} stories a second\n`,
  );
  if (found === undefined) return 0;
  process.stdout.write(`${found.report}\n`);
  return 1;
}

// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { duel } from './duel.ts';
import { shrink } from './shrink.ts';
import { type Story, stories } from './steps.ts';
import { differenceInWords, storyInWords } from './words.ts';

const seed = Number(process.argv[2] ?? Date.now() & 0xffff);
const runs = Number(process.argv[3] ?? 100);
const t = performance.now();
if (process.argv[5]) {
  for (let k = 0; k < 10; k++) {
    const ss = fc.sample(stories, { seed: k, numRuns: 30 });
    const a = performance.now();
    for (const x of ss) await duel(x);
    console.log(performance.now() - a);
  }
}
const details = await fc.check(
  fc.asyncProperty(stories, async (story) => {
    const d = await duel(story);
    if (d !== undefined) throw new Error('');
  }),
  { seed, numRuns: runs, interruptAfterTimeLimit: 30000 },
);
console.log(
  'seed',
  details.seed,
  'path',
  details.counterexamplePath,
  'runs',
  details.numRuns,
  'shrinks',
  details.numShrinks,
  ((performance.now() - t) / 1000).toFixed(1),
  's',
);
if (details.failed) {
  const s = await shrink(details.counterexample![0] as Story, duel);
  console.log(storyInWords(s));
  const d = await duel(s);
  console.log(differenceInWords(d!));
  if (process.argv[4]) console.log(JSON.stringify(s));
}
process.exit(0);

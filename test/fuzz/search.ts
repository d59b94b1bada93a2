// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { Coverage } from './coverage.ts';
import { type Difference, type Distortion, duel } from './duel.ts';
import { shrink } from './shrink.ts';
import { type Story, stories } from './steps.ts';
import { differenceInWords, storyInWords } from './words.ts';

export interface SearchOptions {
  readonly seed: number;
  readonly runs: number;
  /** Where in the seed's runs to begin: what a former search has printed. */
  readonly path?: string;
  /** Ends the search without a finding when it takes longer. */
  readonly timeMaxMs?: number;
  readonly distort?: Distortion;
}

export interface Found {
  readonly story: Story;
  /** The story and both outcomes in words, with what replays it. */
  readonly report: string;
}

export interface SearchResult {
  readonly coverage: Coverage;
  readonly found: Found | undefined;
}

/** Runs random stories through both engines until one of them makes a difference, which is shrunk. */
export async function search({ seed, runs, path, timeMaxMs, distort }: SearchOptions): Promise<SearchResult> {
  const coverage = new Coverage();
  const property = fc.asyncProperty(stories, async (story) => {
    const difference = await duel(story, coverage.follow, distort);
    coverage.end();
    if (difference !== undefined) throw new Error('the engines differ');
  });
  const details = await fc.check(property, {
    seed,
    numRuns: runs,
    ...(path === undefined ? {} : { path }),
    // The story as it was found is enough.
    endOnFailure: distort !== undefined,
    ...(timeMaxMs === undefined ? {} : { interruptAfterTimeLimit: timeMaxMs }),
  });
  const [counterexample] = details.counterexample ?? [];
  if (distort !== undefined && counterexample !== undefined)
    return { coverage, found: { story: counterexample, report: '' } };
  if (counterexample === undefined) return { coverage, found: undefined };
  const again = (story: Story): Promise<Difference | undefined> => duel(story, undefined, distort);
  const story = await shrink(counterexample, again);
  const difference = await again(story);
  const outcome = difference === undefined ? 'the difference does not come again' : differenceInWords(difference);
  const run = details.counterexamplePath?.split(':')[0];
  const command = `again: npm run fuzz -- --seed ${seed} --path ${run}`;
  return {
    coverage,
    found: { story, report: `${storyInWords(story)}\n${outcome}\n${command}\n${JSON.stringify(story)}` },
  };
}

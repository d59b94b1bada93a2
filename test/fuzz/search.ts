// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import { Coverage } from './coverage.ts';
import { type Distortion, duel } from './duel.ts';
import { shrink } from './shrink.ts';
import { type Story, stories } from './steps.ts';
import { differenceInWords, storyInWords } from './words.ts';

export interface SearchOptions {
  readonly seed: number;
  readonly runs: number;
  /** Where in the seed's runs to begin, as a former search has printed it. */
  readonly path?: string;
  /** Ends the search without a finding when it takes longer. */
  readonly timeMaxMs?: number;
  readonly distort?: Distortion;
}

export interface Found {
  readonly story: Story;
  /** The story and both outcomes in words, with the command that replays it. */
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
    // A difference that was made on purpose need not be shrunk.
    endOnFailure: distort !== undefined,
    ...(timeMaxMs === undefined ? {} : { interruptAfterTimeLimit: timeMaxMs }),
  });
  const [counterexample] = details.counterexample ?? [];
  if (counterexample === undefined) return { coverage, found: undefined };
  if (distort !== undefined) return { coverage, found: { story: counterexample, report: '' } };
  const story = await shrink(counterexample, async (smaller) => (await outcomeOf(smaller)) !== undefined);
  const run = details.counterexamplePath?.split(':')[0];
  const report = [
    storyInWords(story),
    (await outcomeOf(story)) ?? 'the difference does not come again',
    `again: npm run fuzz -- --seed ${seed} --path ${run}`,
    JSON.stringify(story),
  ];
  return { coverage, found: { story, report: report.join('\n') } };
}

/** The difference, or the error that an engine has thrown, in words. */
export async function outcomeOf(story: Story): Promise<string | undefined> {
  try {
    const difference = await duel(story);
    return difference === undefined ? undefined : differenceInWords(difference);
  } catch (error) {
    return error instanceof Error ? `an engine throws: ${error.stack}` : String(error);
  }
}

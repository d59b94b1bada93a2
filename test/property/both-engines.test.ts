// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { probeXdp } from '../../src/platform/linux/bpf/probe.ts';
import { mutants } from '../fuzz/mutants.ts';
import { namedStories } from '../fuzz/regressions.ts';
import { outcomeOf, search } from '../fuzz/search.ts';
import { storyInWords } from '../fuzz/words.ts';

const runs = Number(process.env.STORIES ?? 2_000);
/** Limits the random part alone: on a slow machine it ends with fewer stories. */
const timeMaxMs = 20_000;
const seed = Number(process.env.SEED ?? Date.now() & 0x7fff_ffff);
const mutantRuns = 1_000;

const xdp = probeXdp();
const reason = process.getuid?.() === 0 ? (xdp.usable ? undefined : xdp.reason) : 'needs root for a network namespace';

if (reason !== undefined) test('random stories through both engines', { skip: reason }, () => undefined);
else {
  test(`random stories through both engines: seed ${seed}`, async (context) => {
    const { coverage, found } = await search({ seed, runs, timeMaxMs });
    context.diagnostic(`seed ${seed}: ${coverage}`);
    assert.equal(found?.report, undefined);
  });

  for (const { found, story } of namedStories) {
    test(`both engines: ${found}`, async () => {
      const outcome = await outcomeOf(story);
      assert.equal(outcome && `${storyInWords(story)}\n${outcome}`, undefined);
    });
  }

  for (const { name, distort } of mutants) {
    test(`found by random stories: ${name}`, async () => {
      const { found } = await search({ seed: 1, runs: mutantRuns, distort });
      assert.notEqual(found, undefined);
    });
  }
}

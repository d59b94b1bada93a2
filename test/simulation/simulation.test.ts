// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { mutants, slowButCorrect } from './mutants.ts';
import { ruleTexts } from './rules.ts';
import { namedSeeds } from './seeds.ts';
import { inPlaceFromSeed, type Outcome, simulate } from './simulation.ts';

const runs = Number(process.env.SIMULATIONS ?? 1000);
const inPlaceRuns = Math.ceil(runs / 5);
const mutantSeedsMax = 120;

/** As `npm run sim` does it; the two halves share the processors of the machine. */
test(`${runs} runs without a violation`, async () => {
  const half = Math.ceil(runs / 2);
  const reports = await Promise.all([runFrom(1, half), runFrom(1 + half, half)]);
  assert.deepEqual(reports, ['', '']);
});

test(`${inPlaceRuns} runs with directors restarted in place, without a violation`, async () => {
  assert.equal(await runFrom(inPlaceFromSeed, inPlaceRuns), '');
});

for (const { seed, found } of namedSeeds) {
  test(`seed ${seed}: ${found}`, async () => assert.deepEqual(wordViolation(await simulate(seed)), []));
}

test('a seed replays its run exactly, written down or not', async () => {
  for (const seed of [1, 2, 3, 22]) {
    const [first, second, silent] = [
      await simulate(seed, {}, true),
      await simulate(seed, {}, true),
      await simulate(seed),
    ];
    assert.equal(first.transcript, second.transcript);
    assert.deepEqual([first.digest, silent.digest], [second.digest, second.digest]);
    assert.notEqual(first.digest, (await simulate(seed + 100)).digest);
  }
});

for (const { name, rule, mutation } of mutants) {
  test(`found by "${rule}": ${name}`, async () => {
    for (let seed = 1; seed <= mutantSeedsMax; seed += 1) {
      if ((await simulate(seed, mutation)).violation?.rule === rule) return;
    }
    assert.fail(`${mutantSeedsMax} seeds found no violation of: ${ruleTexts[rule]}`);
  });
}

test('with slow snapshots alone no director preempts without a copy', async () => {
  for (let seed = 1; seed <= 25; seed += 1) {
    assert.notEqual((await simulate(seed, slowButCorrect)).violation?.rule, 'proven copy');
  }
});

test('every rule has a mutant', () => {
  assert.deepEqual(new Set(mutants.map(({ rule }) => rule)), new Set(Object.keys(ruleTexts)));
});

/** Resolves with the violation that was found, or an empty text. */
function runFrom(seed: number, count: number): Promise<string> {
  const script = fileURLToPath(new URL('main.js', import.meta.url));
  return new Promise((resolve) => {
    execFile(process.execPath, [script, '--seed', `${seed}`, '--runs', `${count}`], (error, stdout, stderr) =>
      resolve(error === null ? '' : `${stdout}${stderr}`),
    );
  });
}

function wordViolation({ seed, violation }: Outcome): string[] {
  return violation === undefined ? [] : [`seed ${seed}: ${violation.rule}: ${violation.text}`];
}

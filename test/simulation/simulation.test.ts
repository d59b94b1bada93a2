// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mutants, slowButCorrect } from './mutants.ts';
import { ruleTexts } from './rules.ts';
import { namedSeeds } from './seeds.ts';
import { type Outcome, simulate } from './simulation.ts';

const runs = Number(process.env.SIMULATIONS ?? 1000);
const mutantSeedsMax = 120;

test(`${runs} runs without a violation`, async () => {
  const found: string[] = [];
  for (let seed = 1; seed <= runs; seed += 1) found.push(...wordViolation(await simulate(seed)));
  assert.deepEqual(found, []);
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

test('slow snapshots alone make nobody preempt without a copy', async () => {
  for (let seed = 1; seed <= 25; seed += 1) {
    assert.notEqual((await simulate(seed, slowButCorrect)).violation?.rule, 'proven copy');
  }
});

test('every rule has a mutant', () => {
  assert.deepEqual(new Set(mutants.map(({ rule }) => rule)), new Set(Object.keys(ruleTexts)));
});

function wordViolation({ seed, violation }: Outcome): string[] {
  return violation === undefined ? [] : [`seed ${seed}: ${violation.rule}: ${violation.text}`];
}

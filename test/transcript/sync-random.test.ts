// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPrng, type Prng } from '../../src/lib/prng.ts';
import { faultless } from '../support/sync-segment.ts';
import { connectionRecord, SyncSimulation } from '../support/sync-simulation.ts';

const simulations = Number(process.env.SYNC_SIMULATIONS ?? 300);
const firstSeed = Number(process.env.SYNC_SEED ?? 1);

/** Short, so that what a fault leaves behind is gone before the tables are compared. */
const timeoutMs = 3000;

test(`${simulations} random runs end with equal tables and open gates`, async () => {
  for (let seed = firstSeed; seed < firstSeed + simulations; seed += 1) {
    try {
      await simulate(seed);
    } catch (error) {
      throw new Error(`seed ${seed} (SYNC_SEED=${seed} SYNC_SIMULATIONS=1 runs it alone): ${(error as Error).message}`);
    }
  }
});

/** Two or three directors under traffic, loss, reordering, partitions and crashes; then the faults end. */
async function simulate(seed: number): Promise<void> {
  const dice = createPrng(seed ^ 0x5eed);
  const simulation = new SyncSimulation(seed, {
    datagramLength: 300 + dice.below(1200),
    // Small, so that some runs lose more than can be sent again.
    windowBytes: dice.below(3) === 0 ? 20_000 : 1 << 20,
  });
  const names = dice.below(2) === 0 ? ['a', 'b'] : ['a', 'b', 'c'];
  simulation.segment.faults = {
    loss: dice.fraction() * 0.3,
    duplication: dice.fraction() * 0.1,
    delayMinMs: 0.1,
    delayMaxMs: 0.1 + dice.fraction() * 10,
  };
  for (const name of names) {
    const { table } = simulation.start(name);
    for (let i = dice.below(200); i > 0; i -= 1) table.seed(connectionOf(name, dice), true);
    await simulation.run(dice.below(200));
  }
  for (let step = 0; step < 60; step += 1) {
    await misbehave(simulation, names, dice);
    await simulation.run(dice.below(40));
  }
  simulation.segment.faults = faultless;
  for (const a of names) for (const b of names) simulation.segment.mend(addressOf(a), addressOf(b));
  for (const name of names) if (!simulation.directors.has(name)) simulation.start(name);
  await settle(simulation);
}

async function misbehave(simulation: SyncSimulation, names: readonly string[], dice: Prng): Promise<void> {
  const name = names[dice.below(names.length)]!;
  const director = simulation.directors.get(name);
  const other = names[dice.below(names.length)]!;
  const what = dice.below(100);
  if (director === undefined) simulation.start(name);
  else if (what < 50) for (let i = dice.below(60); i > 0; i -= 1) director.table.touch(connectionOf(name, dice));
  else if (what < 80) for (const record of director.table.localRecords().slice(0, 30)) director.table.remove(record);
  else if (what < 88) for (const one of simulation.directors.values()) one.table.sweep();
  else if (what < 91) simulation.crash(name);
  else if (what < 94 && other !== name) simulation.segment.cut(addressOf(name), addressOf(other));
  else if (what < 97 && other !== name) simulation.segment.mend(addressOf(name), addressOf(other));
  else if (what < 99) director.table.stalled = true;
  else director.table.resume();
}

/** Local entries are refreshed as the engine does; whatever nobody forwards runs out. */
async function settle(simulation: SyncSimulation): Promise<void> {
  for (const director of simulation.directors.values()) director.table.resume();
  for (let i = 0; i < 10; i += 1) {
    for (const director of simulation.directors.values()) director.table.sweep();
    await simulation.run(timeoutMs / 4);
  }
  for (const director of simulation.directors.values()) director.table.sweep();
  await simulation.run(200);
  const gates = [...simulation.directors.values()].map(({ replication }) => replication.gate);
  assert.deepEqual(new Set(gates), new Set(['inSync']), simulation.gates());
  assert.deepEqual(simulation.differences(), []);
  for (const { replication } of simulation.directors.values()) {
    for (const [name, count] of Object.entries(replication.status().counters)) {
      if (/^rejected\.(body|bad|truncated|oversized|sealed|unknown|length)/.test(name)) assert.equal(count, 0, name);
    }
  }
}

/** Each director forwards connections of its own. */
function connectionOf(name: string, dice: Prng): Int32Array {
  return connectionRecord((name.charCodeAt(0) - 97) * 60_000 + dice.below(400), timeoutMs, 1 + 3 * dice.below(2));
}

function addressOf(name: string): Parameters<SyncSimulation['segment']['cut']>[0] {
  return `192.0.2.${name.charCodeAt(0) - 96}` as Parameters<SyncSimulation['segment']['cut']>[0];
}

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { probeXdp } from '../../src/platform/linux/bpf/probe.ts';
import {
  counted,
  recount,
  stuckDestinations,
  TableScene,
  type TableWorkerReport,
  type TableWorkerTask,
  tableConfiguration,
} from './xdp-table-scene.ts';

const xdp = probeXdp();
const skip = process.getuid?.() === 0 ? (xdp.usable ? false : xdp.reason) : 'needs root for a network namespace';
const runMs = 4_000;
const configureEveryMs = 300;
/** The table's time passes faster than the test's by this factor. */
const haste = 60;
const roles = ['packets', 'packets', 'peer'] as const;

test('threads that send, sweep, import and reconfigure at once leave a table that adds up', { skip }, async (t) => {
  const scene = new TableScene();
  after(() => scene.engine.close());
  t.diagnostic(`the object was loaded in ${Math.round(scene.loadedInMs)} ms`);
  await scene.engine.configure(tableConfiguration(0));
  const stop = new Int32Array(new SharedArrayBuffer(8));
  const reports = roles.map((role, i) => startWorker(scene, stop, role, 1 + i));
  try {
    while (Atomics.load(stop, 1) < roles.length) await Promise.race([sleep(5), Promise.all(reports)]);
    await keepHouse(scene);
  } finally {
    Atomics.store(stop, 0, 1);
    await Promise.all(reports);
  }
  for (const { role, count, verdicts } of await Promise.all(reports)) {
    t.diagnostic(`${role}: ${count} ${JSON.stringify(verdicts)}`);
    assert.ok(count > 100, `${role} came to nothing`);
  }
  const found = scene.recount();
  t.diagnostic(JSON.stringify(found));
  assert.deepEqual(counted(scene.object), { totals: found.totals, loads: found.loads });
  assert.equal(found.busy, 0, 'a slot is nobody’s');
  assert.deepEqual(stuckDestinations(scene.object), []);
  assert.ok(found.duplicates <= found.used / 10, `${found.duplicates} flows have two entries`);

  sweepAll(scene, 1);
  assert.equal(recount(scene.object).unreachable, 0, 'a half-open entry that nothing can push out');

  scene.setLease(true);
  for (let hours = 0; hours < 3; hours += 1) sweepAll(scene, 3_600_000);
  const { totals, loads } = counted(scene.object);
  assert.deepEqual([...Object.values(totals), ...loads], Array(8).fill(0));
  assert.deepEqual(stuckDestinations(scene.object), []);
});

/** Lets time pass and the sweep run; now and then changes the configuration or the lease. */
async function keepHouse(scene: TableScene): Promise<void> {
  const began = performance.now();
  const startMs = scene.nowMs;
  let variant = 0;
  for (let rounds = 0; ; rounds += 1) {
    const elapsedMs = performance.now() - began;
    if (elapsedMs > runMs) return;
    scene.advance(startMs + elapsedMs * haste - scene.nowMs);
    scene.engine.tick();
    if (rounds % 8 === 0) scene.setLease(rounds % 24 !== 0);
    if (elapsedMs > (variant + 1) * configureEveryMs) {
      variant += 1;
      await scene.engine.configure(tableConfiguration(variant));
    }
    // Each thread is to have its share of two processors.
    await sleep(1);
  }
}

/** Sweeps every slot once, `ms` later. */
function sweepAll(scene: TableScene, ms: number): void {
  scene.advance(ms);
  scene.engine.tick();
  for (let i = 0; i < 3; i += 1) {
    scene.advance(1_000);
    scene.engine.tick();
  }
}

function startWorker(
  { object, interfaceIndex }: TableScene,
  stop: Int32Array,
  role: TableWorkerTask['role'],
  seed: number,
): Promise<TableWorkerReport> {
  const workerData = { role, seed, stop, interfaceIndex, descriptors: object.descriptors() } satisfies TableWorkerTask;
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./xdp-table-worker.js', import.meta.url), { workerData });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

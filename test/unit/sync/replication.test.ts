// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApplyQueue } from '../../../src/director/replication/apply-queue.ts';
import { type ApplyOutcome, nothingApplied } from '../../../src/engine/engine.ts';
import { recordWords } from '../../../src/model/connection-batch.ts';
import type { VirtualService } from '../../../src/model/virtual-service.ts';
import { fingerprintServices } from '../../../sync/fingerprint.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';
import { connectionRecord, SyncSimulation } from '../../support/sync-simulation.ts';

test('batches reach the table in order, one write at a time, what has gathered meanwhile together', async () => {
  const { queue, writes, applied, answer } = openQueue(100);
  for (const n of [1, 2, 3]) assert.equal(queue.push(connectionRecord(n)), true);
  assert.deepEqual(writes.map(ports), [[1025]]);
  await answer();
  assert.deepEqual(writes.map(ports), [[1025], [1026, 1027]]);
  assert.deepEqual(applied, [1]);
  await answer();
  assert.deepEqual(applied, [1, 2]);
});

test('a full queue refuses, and takes again when there is room', async () => {
  const { queue, answer } = openQueue(2);
  assert.deepEqual(
    [1, 2, 3].map((n) => queue.push(connectionRecord(n))),
    [true, true, false],
  );
  assert.equal(queue.totals().queuedRecords, 2);
  await answer();
  assert.equal(queue.push(connectionRecord(3)), true);
});

test('a write that fails is repeated before anything else is written', async () => {
  const { queue, writes, applied, time, answer } = openQueue(100);
  queue.push(connectionRecord(1));
  queue.push(connectionRecord(2));
  await answer(new Error('the engine is busy'));
  time.advanceBy(50);
  assert.deepEqual(writes.map(ports), [[1025], [1025]]);
  assert.deepEqual(applied, []);
  await answer();
  assert.deepEqual(writes.map(ports), [[1025], [1025], [1026]]);
  assert.equal(queue.totals().failures, 1);
});

test('outcomes of the table are summed up', async () => {
  const { queue, answer } = openQueue(100);
  queue.push(connectionRecord(1));
  await answer(undefined, { applied: 1, refusedLocal: 2, refusedUnknown: 3, refusedMethod: 5, refusedFull: 4 });
  assert.deepEqual(queue.totals(), {
    applied: 1,
    refusedLocal: 2,
    refusedUnknown: 3,
    refusedMethod: 5,
    refusedFull: 4,
    failures: 0,
    queuedRecords: 0,
  });
});

test('a director that is closed says good-bye: its peer is alone at once', async () => {
  const simulation = new SyncSimulation(1);
  const a = simulation.start('a');
  simulation.start('b');
  await simulation.run(300);
  a.replication.close();
  simulation.directors.delete('a');
  await simulation.run(110);
  assert.equal(simulation.gates(), 'b:alone');
});

test('while a peer is heard and its table is not here, its records are expected; then no more', async () => {
  const simulation = new SyncSimulation(1);
  const a = simulation.start('a');
  await simulation.run(1_000);
  assert.equal(simulation.gates(), 'a:alone');
  const alone = a.table.expectations.length;
  simulation.start('b');
  await simulation.run(300);
  assert.equal(simulation.gates(), 'a:inSync b:inSync');
  const met = a.table.expectations.length;
  assert.ok(met > alone && a.table.expectations.every((forMs) => forMs === 1_000));
  await simulation.run(2_000);
  assert.equal(a.table.expectations.length, met);
});

test('a peer that falls silent may come back with connections; one that says good-bye does not', async () => {
  const simulation = new SyncSimulation(1);
  const a = simulation.start('a');
  const b = simulation.start('b');
  await simulation.run(300);
  const met = a.table.expectations.length;
  b.replication.close();
  simulation.directors.delete('b');
  await simulation.run(2_000);
  assert.equal(a.table.expectations.length, met);
  simulation.start('c');
  await simulation.run(300);
  simulation.crash('c');
  await simulation.run(2_000);
  assert.equal(a.table.expectations.at(-1), 30_000);
});

test('refused local records are only counted', async () => {
  const simulation = new SyncSimulation(1);
  const a = simulation.start('a');
  const b = simulation.start('b');
  await simulation.run(300);
  b.table.seed(connectionRecord(1), true);
  a.table.touch(connectionRecord(1));
  await simulation.run(20);
  assert.equal(b.replication.status().counters['import.refusedLocal'], 1);
  assert.equal(simulation.gates(), 'a:inSync b:inSync');
});

test('the fingerprint of the virtual services', () => {
  const web = service('198.51.100.10', 80);
  const mail = service('198.51.100.10', 25);
  const print = fingerprintServices([web, mail]);
  assert.match(print, /^[0-9a-f]{16}$/);
  assert.equal(fingerprintServices([mail, web]), print);
  for (const other of [
    [web],
    [],
    [web, { ...mail, realServers: [] }],
    [web, { ...mail, realServers: mail.realServers.toReversed() }],
    [web, { ...mail, scheduler: { ...mail.scheduler, hashPort: true } }],
  ]) {
    assert.notEqual(fingerprintServices(other), print);
  }
});

function openQueue(recordsMax: number) {
  const writes: Int32Array[] = [];
  const applied: number[] = [];
  const time = new SimulatedTime();
  const pending: { resolve: (outcome: ApplyOutcome) => void; reject: (error: Error) => void }[] = [];
  const connections = {
    onEvents: () => {},
    exportPage: () => Promise.reject(new Error('nobody reads here')),
    expectRecords: () => undefined,
    applyBatch: (batch: Int32Array) => {
      writes.push(batch);
      return new Promise<ApplyOutcome>((resolve, reject) => pending.push({ resolve, reject }));
    },
  };
  const onApplied = (batches: number): void => void applied.push(batches);
  const queue = new ApplyQueue({ connections, clock: time, log: () => {}, recordsMax, retryMs: 50, onApplied });
  const answer = async (error?: Error, outcome: ApplyOutcome = { ...nothingApplied, applied: 1 }) => {
    const write = pending.shift();
    if (error === undefined) write?.resolve(outcome);
    else write?.reject(error);
    for (let turn = 0; turn < 4; turn += 1) await null;
  };
  return { queue, writes, applied, time, answer };
}

function ports(batch: Int32Array): number[] {
  return Array.from({ length: batch.length / recordWords }, (_, i) => batch[i * recordWords + 1]! >>> 16);
}

function service(address: string, port: number): VirtualService {
  const realServer = { port, weight: 1, forwardingMethod: 'masquerade' };
  return {
    address,
    port,
    protocol: 'tcp',
    scheduler: { name: 'rr', hashPort: false, fallback: false },
    realServers: [
      { ...realServer, address: '10.0.0.1' },
      { ...realServer, address: '10.0.0.2' },
    ],
  } as unknown as VirtualService;
}

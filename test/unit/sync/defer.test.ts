// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPrng } from '../../../src/lib/prng.ts';
import { RecordOffset, recordWords } from '../../../src/model/connection-batch.ts';
import { DatagramType } from '../../../sync/messages/table.ts';
import type { SyncTuning } from '../../../sync/tuning.ts';
import { connectionRecord, type SimulatedDirector, SyncSimulation } from '../../support/sync-simulation.ts';

// `defer`: the SYN of a new connection goes on when every peer has acknowledged that it knows of the connection.

const synReceived = 3;
const a = '192.0.2.1';
const b = '192.0.2.2';
/** The engine collects events for so long. */
const batchMs = 1;

/** A pair, or a pair and more, that has met, and a clock for what a's clients do. */
async function openPair(tuning: Partial<SyncTuning> = { defer: true }, names = ['a', 'b'], seed = 1) {
  const world = new SyncSimulation(seed, tuning);
  const directors = names.map((name) => world.start(name));
  assert.ok(await world.runUntil(() => directors.every(({ replication }) => replication.gate === 'inSync'), 5000));
  await world.run(300);
  const [active, backup] = directors as [SimulatedDirector, SimulatedDirector];
  const released = new Map<number, number>();
  active.table.onReleased = (batch) => released.set(batch[RecordOffset.ports]! >>> 16, world.time.nowMs());
  let clients = 0;
  return {
    world,
    active,
    backup,
    /** A SYN arrives; gives how long it was held, or undefined while it is. */
    syn: () => {
      clients += 1;
      const port = 1024 + clients;
      const atMs = world.time.nowMs();
      active.table.touch(connectionRecord(clients, 60_000, synReceived));
      return () => {
        const releasedMs = released.get(port);
        return releasedMs === undefined ? undefined : Math.round(10 * (releasedMs - atMs)) / 10;
      };
    },
    counter: (name: string) => active.replication.status().counters[name],
    /** Loses what `lose` chooses by its sender and type. */
    lose: (lose: (source: string, type: number) => boolean) => {
      world.segment.observe = (datagram, source) => !lose(source, datagram[7]!);
    },
  };
}

/** Loses the first datagram of this type that comes from the sender. */
function firstOf(sender: string, wanted: number): (source: string, type: number) => boolean {
  let lost = false;
  return (source, type) => {
    if (lost || source !== sender || type !== wanted) return false;
    lost = true;
    return true;
  };
}

test('without defer, a datagram that is lost when its sender dies takes a session with it', async () => {
  const { world, backup, syn, lose } = await openPair({});
  lose(firstOf(a, DatagramType.delta));
  const held = syn();
  await world.run(batchMs + 0.1);
  assert.equal(held(), batchMs, 'the client sees it established from here on');
  world.crash('a');
  await world.run(50);
  assert.equal(backup.table.size, 0);
});

test('with defer, the SYN waits until the lost datagram has been sent again', async () => {
  const { world, active, backup, syn, lose, counter } = await openPair();
  lose(firstOf(a, DatagramType.delta));
  const held = syn();
  await world.run(batchMs + 3);
  assert.deepEqual([held(), backup.table.size], [undefined, 0]);
  await world.run(2);
  // 3 ms for datagrams that overtake each other, then request, repetition and acknowledgement, 0.1 ms each.
  assert.equal(held(), batchMs + 3.4);
  assert.deepEqual(backup.table.contents(), active.table.contents());
  assert.deepEqual([counter('deferrals'), counter('deferralsOverdue')], [1, 0]);
});

test('without a loss, it waits for one way there and one back', async () => {
  const { world, syn, counter } = await openPair();
  const held = syn();
  await world.run(5);
  assert.equal(held(), batchMs + 0.2);
  assert.equal(counter('deferralsOverdue'), 0);
});

for (const [what, sender, type, expectedMs] of [
  ['the request', a, DatagramType.acknowledgementRequest, 2.2],
  ['the acknowledgement', b, DatagramType.acknowledgement, 2.2],
] as const) {
  test(`${what} is lost: the next one is asked for`, async () => {
    const { world, syn, lose } = await openPair();
    lose(firstOf(sender, type));
    const held = syn();
    await world.run(10);
    assert.equal(held(), batchMs + expectedMs);
  });
}

test('a burst of losses takes the datagram and the request: the repeated request shows the gap', async () => {
  const { world, backup, syn, lose } = await openPair();
  const first = [firstOf(a, DatagramType.delta), firstOf(a, DatagramType.acknowledgementRequest)];
  lose((source, type) => first.some((one) => one(source, type)));
  const held = syn();
  await world.run(10);
  assert.equal(held(), batchMs + 2 + 3.4);
  assert.equal(backup.table.size, 1);
});

/** Kills the active one of many pairs whose segment loses datagrams while sessions are opened. */
async function killPairs(tuning: Partial<SyncTuning>): Promise<{ known: number; unknown: number }> {
  const sum = { known: 0, unknown: 0 };
  for (let seed = 1; seed <= 60; seed += 1) {
    const { world, active, backup, syn, counter } = await openPair(tuning, ['a', 'b'], seed);
    const prng = createPrng(seed);
    world.segment.faults = { loss: 0.2, duplication: 0.1, delayMinMs: 0.05, delayMaxMs: 1.5 };
    const opened: number[] = [];
    active.table.onReleased = (batch) => {
      if (counter('deferralsOverdue') !== 0) return;
      for (let at = 0; at < batch.length; at += recordWords) opened.push(batch[at + RecordOffset.ports]! >>> 16);
    };
    const endMs = world.time.nowMs() + 30 * prng.fraction();
    while (world.time.nowMs() < endMs) {
      syn();
      await world.run(Math.min(2 * prng.fraction(), endMs - world.time.nowMs()));
    }
    // A director that dies lets go of nothing.
    active.table.onReleased = () => {};
    world.crash('a');
    await world.run(20);
    const ports = backup.table.contents().map((line) => Number(line.split(' ')[1]) >>> 16);
    const known = opened.filter((port) => ports.includes(port)).length;
    sum.known += known;
    sum.unknown += opened.length - known;
  }
  return sum;
}

test('whenever the active one dies, the peer knows of every session whose SYN has gone on in time', async () => {
  const without = await killPairs({});
  assert.ok(without.unknown > 30, `without defer ${without.unknown} are unknown`);
  const { known, unknown } = await killPairs({ defer: true });
  assert.equal(unknown, 0);
  assert.ok(known > 300, `${known}`);
});

test('a peer that is silent holds a SYN up for 10 ms, counted, ten of them in a row, and none until it is back', async () => {
  const { world, syn, lose, counter } = await openPair();
  lose((source, type) => source === b && type === DatagramType.acknowledgement);
  const waits: (number | undefined)[] = [];
  for (let i = 0; i < 12; i += 1) {
    const held = syn();
    await world.run(20);
    waits.push(held());
  }
  assert.deepEqual(waits, [...new Array<number>(10).fill(batchMs + 10), batchMs, batchMs]);
  assert.equal(counter('deferralsOverdue'), 10);
  assert.equal(active(world).peers[0]!.acknowledges, false);
  lose(() => false);
  await world.run(250);
  assert.equal(active(world).peers[0]!.acknowledges, true);
  const held = syn();
  await world.run(5);
  assert.equal(held(), batchMs + 0.2);
});

function active(world: SyncSimulation) {
  return world.directors.get('a')!.replication.status();
}

test('the log says once which peer is not waited for', async () => {
  const { world, syn, lose } = await openPair();
  const said: string[] = [];
  world.note = (director, what) => said.push(`${director}: ${what}`);
  lose((source, type) => source === b && type === DatagramType.acknowledgement);
  for (let i = 0; i < 10; i += 1) {
    syn();
    await world.run(20);
  }
  await world.run(4000);
  const sentence =
    'defer says that new connections wait for the peers, but 192.0.2.2 does not acknowledge them and is not waited for: ' +
    'run the same version of baton on both, and look at how busy it and the network are';
  assert.deepEqual(said, [`a: ${sentence}`]);
  assert.equal(active(world).warning, sentence);
});

test('an acknowledgement that comes too late counts for the next SYN', async () => {
  const { world, syn } = await openPair();
  const { faults } = world.segment;
  world.segment.faults = { ...faults, delayMinMs: 6, delayMaxMs: 6 };
  const first = syn();
  await world.run(30);
  assert.equal(first(), batchMs + 10);
  assert.equal(active(world).peers[0]!.acknowledges, true);
  world.segment.faults = faults;
  const second = syn();
  await world.run(5);
  assert.equal(second(), batchMs + 0.2);
});

test('a peer that dies meanwhile costs 10 ms, one that leaves nothing', async () => {
  for (const ending of ['crash', 'leave'] as const) {
    const { world, syn, backup } = await openPair();
    if (ending === 'crash') world.segment.detach(backup.address);
    const held = syn();
    await world.run(batchMs + 0.05);
    assert.equal(held(), undefined);
    if (ending === 'leave') backup.replication.close();
    await world.run(20);
    assert.equal(held(), ending === 'crash' ? batchMs + 10 : batchMs + 0.2);
    await world.run(600);
    const alone = syn();
    await world.run(20);
    assert.equal(alone(), batchMs, 'nobody is heard');
  }
});

test('of two peers the slower one counts', async () => {
  const { world, syn } = await openPair({ defer: true }, ['a', 'b', 'c']);
  world.segment.cut('192.0.2.1' as never, '192.0.2.3' as never);
  const held = syn();
  await world.run(8);
  assert.equal(held(), undefined);
  world.segment.mend('192.0.2.1' as never, '192.0.2.3' as never);
  await world.run(12);
  assert.equal(held(), batchMs + 10);
});

test('a director that stops lets go of what it holds', async () => {
  const { world, active: director, syn, lose } = await openPair();
  lose((source) => source === b);
  const held = syn();
  await world.run(2);
  director.replication.close();
  assert.equal(held(), 2);
});

test('a peer that has started again is asked at once, and is not waited for before it answers', async () => {
  const { world, syn } = await openPair();
  world.crash('b');
  world.start('b');
  await world.run(0.15);
  const held = syn();
  await world.run(5);
  assert.equal(held(), batchMs + 0.2);
});

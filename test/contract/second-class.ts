// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { givesWayAfterMs, secondClassTimeoutMs } from '../../src/connection/second-class.ts';
import { RecordFlag, RecordOffset, recordWords } from '../../src/model/connection-batch.ts';
import { networks, sendAll } from './datagrams.ts';
import type { MakeEngine } from './engine-under-test.ts';
import { Flags, segmentFrame } from './packets.ts';
import { configurationOf, describeBatch, Scene, slot } from './scene.ts';

const data = new Uint8Array(10);
const hash = { shape: 'hash', slots: Uint16Array.of(1), seed: 1, hashPort: false } as const;

/** `established, second class` */
async function classes(scene: Scene): Promise<string> {
  const { establishedConnections, secondClassConnections } = await scene.counters();
  return `${establishedConnections}, ${secondClassConnections}`;
}

/** Client ports of established entries. */
async function ports(scene: Scene): Promise<string[]> {
  const lines = (await scene.table()).filter((line) => line.startsWith('ESTABLISHED'));
  return lines.map((line) => line.match(/:(\d+) >/)![1]!).sort();
}

const isSecond = (batch: Int32Array, at = 0): boolean =>
  (batch[at * recordWords + RecordOffset.head]! & RecordFlag.secondClass) !== 0;

/** Which entries have carried nothing, and that they give way to others. */
export function secondClassContract(name: string, make: MakeEngine): void {
  bothMethods(name, make);
  oneMethodEach(name, make);
  room(name, make);
  peers(name, make);
}

function bothMethods(name: string, make: MakeEngine): void {
  for (const method of ['masquerade', 'direct-route'] as const) {
    const where = `${name}, ${method}`;

    test(`${where}: an established connection is of the second class until its client sends data`, async () => {
      const scene = await Scene.open(make, { method });
      await scene.client({ flags: 'S' });
      assert.equal(await classes(scene), '0, 0', 'a half-open one counts as that');
      assert.equal(isSecond(await scene.tableWords()), false);
      await scene.client({ flags: 'A', sequence: 1001, acknowledgement: 500 });
      assert.equal(await classes(scene), '1, 1');
      assert.equal(isSecond(await scene.tableWords()), true);
      await scene.client({ flags: 'A', sequence: 1001, acknowledgement: 500 });
      await scene.client({ flags: 'R', sequence: 5, acknowledgement: 900 });
      await scene.client({ flags: 'S', sequence: 5, acknowledgement: 900, payload: data });
      await scene.client({ flags: 'PA', sequence: 900_000, acknowledgement: 500, payload: data });
      assert.equal(await classes(scene), '1, 1', 'nothing of that is its data');
      await scene.client({ flags: 'PA', sequence: 1001, acknowledgement: 500, payload: data });
      assert.equal(await classes(scene), '1, 0');
      assert.equal(isSecond(await scene.tableWords()), false);
      assert.deepEqual(await scene.table(), [
        'ESTABLISHED 198.51.100.7:40000 > 10.0.0.1:8080 local 900'.replace(
          '8080',
          method === 'masquerade' ? '8080' : '80',
        ),
      ]);
    });

    test(`${where}: data with the last segment of the handshake makes it first class at once`, async () => {
      const scene = await Scene.open(make, { method });
      await scene.client({ flags: 'S' });
      await scene.client({ flags: 'PA', sequence: 1001, acknowledgement: 500, payload: data });
      assert.equal(await classes(scene), '1, 0');
    });

    test(`${where}: it stays in its class while it closes, and every way out is counted`, async () => {
      const scene = await Scene.open(make, { method });
      await scene.handshake();
      await scene.client({ flags: 'FA', sequence: 1001, acknowledgement: 500 });
      assert.equal(await classes(scene), '1, 1');
      await scene.engine.advance(122_000);
      assert.equal(await classes(scene), '0, 0');
      await scene.handshake();
      await scene.client({ flags: 'PA', sequence: 1001, payload: data });
      await scene.client({ flags: 'FA', sequence: 1011 });
      await scene.engine.advance(2000);
      assert.equal(await classes(scene), '1, 0');
      await scene.client({ flags: 'S', sequence: 5000 });
      assert.equal(await classes(scene), '1, 1', 'a SYN begins another connection in the entry');
      await scene.client({ flags: 'A', sequence: 5001, acknowledgement: 77 });
      assert.equal(await classes(scene), '1, 1');
      await scene.client({ flags: 'PA', sequence: 5001, acknowledgement: 77, payload: data });
      assert.equal(await classes(scene), '1, 0');
    });
  }
}

function oneMethodEach(name: string, make: MakeEngine): void {
  test(`${name}: direct-route: an ACK of more than the SYN says that the real server has spoken`, async () => {
    const scene = await Scene.open(make, { method: 'direct-route' });
    await scene.handshake();
    await scene.client({ flags: 'FA', sequence: 1001, acknowledgement: 560 });
    await scene.client({ flags: 'A', sequence: 1002, acknowledgement: 500 });
    assert.equal(await classes(scene), '1, 1');
    await scene.client({ flags: 'A', sequence: 1002, acknowledgement: 560 });
    assert.equal(await classes(scene), '1, 0');
  });

  test(`${name}: masquerade: the real server says so itself, and a client's ACK alone does not`, async () => {
    const scene = await Scene.open(make);
    await scene.client({ flags: 'S' });
    await scene.server({ flags: 'SA', sequence: 499, acknowledgement: 1001 });
    await scene.client({ flags: 'A', sequence: 1001, acknowledgement: 500 });
    await scene.client({ flags: 'A', sequence: 1001, acknowledgement: 560 });
    await scene.server({ flags: 'A', sequence: 500, acknowledgement: 1001 });
    assert.equal(await classes(scene), '1, 1');
    await scene.server({ flags: 'PA', sequence: 500, acknowledgement: 1001, payload: data });
    assert.equal(await classes(scene), '1, 0');
  });

  test(`${name}: a segment in mid-stream makes an entry of the second class, and none without sloppy_tcp`, async () => {
    const scene = await Scene.open(make, { method: 'direct-route', selector: hash });
    await scene.client({ flags: 'PA', sequence: 5000, acknowledgement: 500, payload: data });
    assert.equal(await classes(scene), '1, 1');
    await scene.client({ flags: 'PA', sequence: 5010, acknowledgement: 500, payload: data });
    assert.equal(await classes(scene), '1, 0', 'data that follows');
    await scene.client({ sourcePort: 2, flags: 'A', sequence: 5000, acknowledgement: 500 });
    await scene.client({ sourcePort: 2, flags: 'A', sequence: 5000, acknowledgement: 500 });
    assert.equal(await classes(scene), '2, 1');
    await scene.client({ sourcePort: 2, flags: 'A', sequence: 5000, acknowledgement: 560 });
    assert.equal(await classes(scene), '2, 0', 'an ACK that goes on');
    await scene.engine.configure({ ...configurationOf({ method: 'direct-route', selector: hash }), sloppyTcp: false });
    assert.match((await scene.client({ sourcePort: 3, flags: 'A' }))[0]!, / R seq/);
    assert.equal((await scene.client({ sourcePort: 2, flags: 'A' })).length, 1, 'known ones go on');
    assert.equal(await classes(scene), '2, 0');
    assert.deepEqual(await scene.drops(), { unknownConnection: 1 });
  });
}

function room(name: string, make: MakeEngine): void {
  test(`${name}: the second class gives way when the established table is full, the first never`, async () => {
    const scene = await Scene.open(make, { method: 'direct-route', limits: { establishedMax: 2 } });
    await scene.handshake({ sourcePort: 1 });
    await scene.client({ sourcePort: 1, flags: 'PA', sequence: 1001, payload: data });
    await scene.handshake({ sourcePort: 2 });
    await scene.engine.advance(givesWayAfterMs - 1);
    await scene.events();
    assert.deepEqual(await scene.client({ sourcePort: 3, flags: 'S' }), [], 'its first data may be on its way');
    await scene.engine.advance(1);
    await scene.handshake({ sourcePort: 3 });
    assert.deepEqual(await ports(scene), ['1', '3']);
    assert.deepEqual(
      (await scene.events()).map((line) => line.replace(/ >.*/, '')),
      ['remove ESTABLISHED 198.51.100.7:2', 'upsert SYN_RECV 198.51.100.7:3', 'upsert ESTABLISHED 198.51.100.7:3'],
    );
    await scene.client({ sourcePort: 3, flags: 'PA', sequence: 1001, payload: data });
    await scene.engine.advance(givesWayAfterMs);
    assert.deepEqual(await scene.client({ sourcePort: 4, flags: 'S' }), []);
    assert.deepEqual(await ports(scene), ['1', '3']);
    const { secondClassEvictions, halfOpenEvictions } = await scene.counters();
    assert.deepEqual([secondClassEvictions, halfOpenEvictions], [1, 0]);
    assert.deepEqual(await scene.drops(), { tableFull: 2 });
  });

  test(`${name}: it gives way to the ACK of a handshake that found room, too`, async () => {
    const scene = await Scene.open(make, { limits: { establishedMax: 1 } });
    await scene.client({ sourcePort: 2, flags: 'S' });
    await scene.handshake({ sourcePort: 1 });
    await scene.engine.advance(givesWayAfterMs);
    assert.equal((await scene.client({ sourcePort: 2, flags: 'A', sequence: 1001 })).length, 1);
    assert.deepEqual(await ports(scene), ['2']);
  });

  test(`${name}: ipv6: the second class gives way`, async () => {
    const scene = await Scene.open(make, { family: 'ipv6', limits: { establishedMax: 2 } });
    const { in: flow } = networks.ipv6;
    const connect = (sourcePort: number): Promise<string[]> =>
      sendAll(scene, 'clients', [
        segmentFrame({ ...flow, sourcePort }, Flags.syn),
        segmentFrame({ ...flow, sourcePort }, Flags.ack),
      ]);
    for (let sourcePort = 1; sourcePort <= 6; sourcePort += 1) {
      assert.equal((await connect(sourcePort)).length, 2, `${sourcePort}`);
      await scene.engine.advance(givesWayAfterMs);
    }
    const { establishedConnections, secondClassConnections, secondClassEvictions } = await scene.counters();
    assert.deepEqual([establishedConnections, secondClassConnections, secondClassEvictions], [2, 2, 4]);
  });

  test(`${name}: a table of handshakes without data keeps nobody out`, async () => {
    const limits = { establishedMax: 64, halfOpenMax: 64 };
    const scene = await Scene.open(make, { method: 'direct-route', limits });
    await scene.handshake({ sourcePort: 1 });
    await scene.client({ sourcePort: 1, flags: 'PA', sequence: 1001, payload: data });
    for (let sourcePort = 1000; sourcePort < 1300; sourcePort += 1) {
      await scene.handshake({ sourcePort });
      await scene.engine.advance(20);
    }
    await scene.engine.advance(givesWayAfterMs);
    await scene.handshake({ sourcePort: 2 });
    assert.equal((await scene.client({ sourcePort: 2, flags: 'PA', sequence: 1001, payload: data })).length, 1);
    assert.equal((await scene.client({ sourcePort: 1, flags: 'PA', sequence: 1011, payload: data })).length, 1);
    const { establishedConnections, secondClassConnections, secondClassEvictions, drops } = await scene.counters();
    assert.deepEqual([establishedConnections, secondClassConnections, drops.tableFull], [64, 62, 0]);
    assert.equal(secondClassEvictions, 302 - 64);
  });

  test(`${name}: while the table is more than half full, the second class lasts a minute`, async () => {
    const scene = await Scene.open(make, { method: 'direct-route', limits: { establishedMax: 8 } });
    for (let sourcePort = 1; sourcePort <= 4; sourcePort += 1) await scene.handshake({ sourcePort });
    await scene.engine.advance(2 * secondClassTimeoutMs);
    assert.equal(await classes(scene), '4, 4', 'as others until then');
    await scene.handshake({ sourcePort: 5 });
    await scene.client({ sourcePort: 5, flags: 'PA', sequence: 1001, payload: data });
    await scene.handshake({ sourcePort: 6 });
    await scene.engine.advance(1000, 1000);
    assert.deepEqual(await ports(scene), ['5', '6'], 'one sweep');
    for (let sourcePort = 7; sourcePort <= 9; sourcePort += 1) await scene.handshake({ sourcePort });
    await scene.engine.advance(secondClassTimeoutMs - 1001);
    assert.deepEqual(await ports(scene), ['5', '6', '7', '8', '9']);
    await scene.engine.advance(1);
    assert.deepEqual(await ports(scene), ['5', '7', '8', '9']);
    assert.match((await scene.client({ sourcePort: 6, flags: 'A' }))[0]!, / R seq/);
    await scene.engine.advance(600_000);
    assert.deepEqual(await ports(scene), ['5', '7', '8', '9'], 'half full');
    await scene.engine.advance(300_000);
    assert.deepEqual(await ports(scene), []);
  });
}

function peers(name: string, make: MakeEngine): void {
  test(`${name}: peers learn of either class, and by the next sweep that a connection carries data`, async () => {
    const active = await Scene.open(make, { method: 'direct-route' });
    const backup = await Scene.open(make, { method: 'direct-route', lease: 'none' });
    const pass = async (): Promise<string[]> => {
      const batches = await active.engine.takeEvents();
      for (const batch of batches) await backup.engine.applyBatch(batch);
      return batches.flatMap((batch) => describeBatch(batch, true)).map((line) => line.replace(/ 198.*/, ''));
    };
    await active.handshake();
    await pass();
    assert.equal(await classes(backup), '1, 1');
    await active.client({ flags: 'PA', sequence: 1001, payload: data });
    assert.deepEqual(await pass(), []);
    await active.engine.advance(1100);
    assert.deepEqual(await pass(), ['refresh ESTABLISHED']);
    assert.equal(await classes(backup), '1, 0');
    await active.engine.advance(10_000);
    assert.deepEqual(await pass(), []);
    const joined = await Scene.open(make, { method: 'direct-route', lease: 'none' });
    await active.handshake({ sourcePort: 2 });
    await joined.engine.applyBatch(await active.tableWords());
    assert.equal(await classes(joined), '2, 1', 'a snapshot says so too');
  });

  test(`${name}: after a takeover a learnt connection of the second class rises with its data`, async () => {
    const active = await Scene.open(make, { method: 'direct-route' });
    await active.handshake();
    const backup = await Scene.open(make, { method: 'direct-route', lease: 'fresh' });
    await backup.engine.applyBatch(await active.tableWords());
    await backup.client({ flags: 'A', sequence: 1001, acknowledgement: 500 });
    assert.equal(await classes(backup), '1, 1');
    await backup.client({ flags: 'PA', sequence: 1001, acknowledgement: 500, payload: data });
    assert.equal(await classes(backup), '1, 0');
  });

  test(`${name}: a record of the first class takes the place of the second, one of the second does not`, async () => {
    const active = await Scene.open(make);
    for (let sourcePort = 1; sourcePort <= 3; sourcePort += 1) await active.handshake({ sourcePort });
    await active.client({ sourcePort: 3, flags: 'PA', sequence: 1001, payload: data });
    const records = await active.tableWords();
    const backup = await Scene.open(make, { lease: 'none', limits: { establishedMax: 1 } });
    const wordsOf = (port: number): Int32Array => {
      for (let at = 0; at < records.length; at += recordWords) {
        if (records[at + RecordOffset.ports]! >>> 16 === port) return records.slice(at, at + recordWords);
      }
      throw new Error(`no record of port ${port}`);
    };
    assert.equal((await backup.engine.applyBatch(wordsOf(1))).applied, 1);
    await backup.engine.advance(givesWayAfterMs);
    assert.equal((await backup.engine.applyBatch(wordsOf(2))).refusedFull, 1);
    assert.equal((await backup.engine.applyBatch(wordsOf(3))).applied, 1);
    assert.deepEqual(await ports(backup), ['3']);
    assert.equal((await backup.engine.applyBatch(wordsOf(1))).refusedFull, 1);
    assert.deepEqual(await backup.events(), [], 'what was learnt is not published');
  });

  test(`${name}: a director that has lost its lease takes the class from its peer`, async () => {
    const old = await Scene.open(make);
    await old.handshake();
    const records = await old.tableWords();
    await old.client({ flags: 'PA', sequence: 1001, payload: data });
    const later = await old.tableWords();
    old.engine.setLease(slot, 0);
    await old.engine.advance(10);
    await old.engine.applyBatch(records);
    assert.equal(await classes(old), '1, 1');
    await old.engine.applyBatch(later);
    assert.equal(await classes(old), '1, 0');
  });
}

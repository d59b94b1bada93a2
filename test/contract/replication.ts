// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ApplyOutcome, nothingApplied } from '../../src/engine/engine.ts';
import {
  ConnectionEvent,
  withEvent as headWithEvent,
  packHead,
  RecordOffset,
  recordWords,
  unpackHead,
} from '../../src/model/connection-batch.ts';
import { type ForwardingMethod, forwardingMethods } from '../../src/model/forwarding-method.ts';
import type { MakeEngine } from './engine-under-test.ts';
import { configurationOf, Scene, slot } from './scene.ts';

const outcome = (fields: Partial<ApplyOutcome>): ApplyOutcome => ({ ...nothingApplied, ...fields });

function withEvent(batch: Int32Array, event: ConnectionEvent): Int32Array {
  const copy = Int32Array.from(batch);
  for (let at = 0; at < copy.length; at += recordWords) copy[at] = headWithEvent(copy[at]!, event);
  return copy;
}

function withMethod(batch: Int32Array, method: ForwardingMethod): Int32Array {
  const copy = Int32Array.from(batch);
  for (let at = 0; at < copy.length; at += recordWords) {
    copy[at] = packHead({ ...unpackHead(copy[at]!), forwardingMethod: forwardingMethods[method].number });
  }
  return copy;
}

/** The events that peers get, and the records that are learnt from them. */
export function replicationContract(name: string, make: MakeEngine): void {
  test(`${name}: events of a connection's life`, async () => {
    const scene = await Scene.open(make);
    const flow = '198.51.100.7:40000 > 10.0.0.1:8080 local';
    await scene.client({ flags: 'S' });
    assert.deepEqual(await scene.events(), [`upsert SYN_RECV ${flow} 60`]);
    await scene.client({ flags: 'A' });
    assert.deepEqual(await scene.events(), [`upsert ESTABLISHED ${flow} 900`]);
    await scene.client({ flags: 'PA' });
    assert.deepEqual(await scene.events(), []);
    await scene.client({ flags: 'FA' });
    assert.deepEqual(await scene.events(), [`upsert CLOSE_WAIT ${flow} 60`]);
    await scene.engine.advance(62_000);
    assert.deepEqual(await scene.events(), [`remove CLOSE_WAIT ${flow} 0`]);
  });

  test(`${name}: a busy connection is refreshed before a third of its timeout is over, an idle one never`, async () => {
    const scene = await Scene.open(make);
    await scene.handshake({ sourcePort: 1 });
    await scene.handshake({ sourcePort: 2 });
    await scene.events();
    await scene.engine.advance(200_000);
    await scene.client({ sourcePort: 1, flags: 'A' });
    await scene.engine.advance(98_000);
    assert.deepEqual(await scene.events(), []);
    await scene.engine.advance(4_000);
    const events = await scene.events();
    assert.equal(events.length, 1);
    assert.match(events[0]!, /^refresh ESTABLISHED 198\.51\.100\.7:1 > 10\.0\.0\.1:8080 local (798|799|800)$/);
  });

  test(`${name}: after a takeover a learnt connection goes on to its real server and becomes local`, async () => {
    const active = await Scene.open(make);
    await active.client({ sourcePort: 9 });
    await active.handshake();
    const batch = (await active.engine.takeEvents()).at(-1)!.slice(-recordWords);
    const backup = await Scene.open(make, { lease: 'none' });
    await backup.engine.advance(5000);
    assert.deepEqual(await backup.engine.applyBatch(batch), outcome({ applied: 1 }));
    assert.deepEqual(await backup.table(), ['ESTABLISHED 198.51.100.7:40000 > 10.0.0.2:8080 learnt 900']);
    assert.deepEqual(await backup.client({ flags: 'A' }), []);
    backup.engine.setLease(slot, 60_000);
    assert.match((await backup.client({ flags: 'A' }))[0]!, /> 10\.0\.0\.2:8080/);
    assert.deepEqual(await backup.events(), ['upsert ESTABLISHED 198.51.100.7:40000 > 10.0.0.2:8080 local 900']);
    assert.equal((await backup.server({ source: '10.0.0.2', flags: 'A' })).length, 1);
    assert.deepEqual(await backup.events(), []);
    const { services } = await backup.counters();
    assert.equal(services[0]!.realServers[1]!.activeConnections, 1);
    assert.equal(services[0]!.connections, 0, 'it was not opened here');
  });

  test(`${name}: the real server may speak first after a takeover`, async () => {
    const active = await Scene.open(make);
    await active.handshake();
    const backup = await Scene.open(make, { lease: 'fresh' });
    await backup.engine.applyBatch(await active.tableWords());
    assert.equal((await backup.server({ flags: 'A' })).length, 1);
    assert.deepEqual(await backup.events(), ['upsert ESTABLISHED 198.51.100.7:40000 > 10.0.0.1:8080 local 900']);
  });

  test(`${name}: records that are refused, and why`, async () => {
    const active = await Scene.open(make, { servers: ['10.0.0.1', '10.0.0.2', '10.0.0.3'] });
    for (let port = 1; port <= 3; port += 1) await active.handshake({ sourcePort: port });
    const batch = await active.tableWords();
    assert.deepEqual(await active.engine.applyBatch(batch), outcome({ refusedLocal: 3 }));
    assert.deepEqual(
      await active.engine.applyBatch(withEvent(batch, ConnectionEvent.remove)),
      outcome({ refusedLocal: 3 }),
    );
    const smaller = await Scene.open(make, { lease: 'none', limits: { establishedMax: 1 } });
    assert.deepEqual(
      await smaller.engine.applyBatch(batch),
      outcome({ applied: 1, refusedFull: 1, refusedUnknown: 1 }),
    );
    await smaller.engine.configure({ ...configurationOf(), services: [] });
    assert.deepEqual(await smaller.engine.applyBatch(batch), outcome({ refusedUnknown: 3 }));
    const nonsense = Int32Array.from(batch);
    for (let at = 0; at < nonsense.length; at += recordWords) nonsense[at + RecordOffset.head] = -1;
    assert.deepEqual(await smaller.engine.applyBatch(nonsense), outcome({ refusedUnknown: 3 }));
  });

  test(`${name}: an entry of an earlier term of this director gives way to a peer's record, one in use does not`, async () => {
    const scene = await Scene.open(make);
    await scene.handshake({ sourcePort: 1 });
    await scene.handshake({ sourcePort: 2 });
    const other = await Scene.open(make);
    await other.handshake({ sourcePort: 2 });
    await other.handshake({ sourcePort: 1 });
    const batch = await other.tableWords();
    scene.engine.setLease(slot, 0);
    await scene.engine.advance(1000);
    scene.engine.setLease(slot, 60_000);
    await scene.engine.advance(100);
    await scene.client({ sourcePort: 2, flags: 'A', sequence: 1001, acknowledgement: 500 });
    assert.deepEqual(await scene.engine.applyBatch(batch), outcome({ applied: 1, refusedLocal: 1 }));
    assert.deepEqual(await scene.table(), [
      'ESTABLISHED 198.51.100.7:1 > 10.0.0.2:8080 learnt 900',
      'ESTABLISHED 198.51.100.7:2 > 10.0.0.2:8080 local 900',
    ]);
  });

  test(`${name}: a record of a forwarding method that no engine has is refused, whatever it says`, async () => {
    const active = await Scene.open(make);
    await active.handshake();
    const batch = await active.tableWords();
    const backup = await Scene.open(make, { lease: 'none' });
    const tunnel = withMethod(batch, 'tunnel');
    assert.deepEqual(await backup.engine.applyBatch(tunnel), outcome({ refusedMethod: 1 }));
    assert.deepEqual(await backup.table(), []);
    assert.deepEqual(
      await backup.engine.applyBatch(Int32Array.of(...tunnel, ...batch)),
      outcome({ applied: 1, refusedMethod: 1 }),
      'the others of a batch are taken',
    );
    for (const event of [ConnectionEvent.upsert, ConnectionEvent.refresh, ConnectionEvent.remove]) {
      assert.deepEqual(await backup.engine.applyBatch(withEvent(tunnel, event)), outcome({ refusedMethod: 1 }));
    }
    assert.deepEqual(await backup.table(), ['ESTABLISHED 198.51.100.7:40000 > 10.0.0.1:8080 learnt 900']);
    assert.deepEqual(
      await active.engine.applyBatch(tunnel),
      outcome({ refusedMethod: 1 }),
      'before its own are looked at',
    );
  });

  test(`${name}: the configured forwarding method of a real server counts, not that of a record`, async () => {
    const active = await Scene.open(make);
    await active.handshake();
    const backup = await Scene.open(make, { lease: 'none' });
    const direct = withMethod(await active.tableWords(), 'direct-route');
    assert.deepEqual(await backup.engine.applyBatch(direct), outcome({ applied: 1 }));
    const [head] = await backup.tableWords();
    assert.equal(unpackHead(head!).forwardingMethod, forwardingMethods.masquerade.number);
    backup.engine.setLease(slot, 60_000);
    assert.equal((await backup.server({ flags: 'A' })).length, 1);
  });

  test(`${name}: a director that has lost its lease believes its peer`, async () => {
    const old = await Scene.open(make);
    await old.handshake();
    const fresh = await Scene.open(make);
    await fresh.engine.applyBatch(await old.tableWords());
    await fresh.client({ flags: 'FA' });
    const [batch] = await fresh.engine.takeEvents();
    old.engine.setLease(slot, 0);
    await old.engine.advance(10);
    assert.deepEqual(await old.engine.applyBatch(batch!), outcome({ applied: 1 }));
    assert.deepEqual(await old.table(), ['CLOSE_WAIT 198.51.100.7:40000 > 10.0.0.1:8080 learnt 60']);
    await old.events();
    assert.deepEqual(await old.engine.applyBatch(withEvent(batch!, ConnectionEvent.remove)), outcome({ applied: 1 }));
    assert.deepEqual(await old.table(), []);
    assert.deepEqual(await old.events(), [], 'what was learnt is not published');
  });

  test(`${name}: a director without its lease publishes neither refreshes nor removals`, async () => {
    const scene = await Scene.open(make);
    await scene.handshake();
    await scene.events();
    scene.engine.setLease(slot, 0);
    await scene.engine.advance(902_000);
    assert.deepEqual(await scene.table(), []);
    assert.deepEqual(await scene.events(), []);
  });

  test(`${name}: pages hold every entry that lives throughout, however the table changes meanwhile`, async () => {
    const scene = await Scene.open(make, { limits: { establishedMax: 200, halfOpenMax: 200 } });
    for (let port = 1; port <= 100; port += 1) await scene.handshake({ sourcePort: port });
    const seen: string[] = [];
    let cursor: number | undefined = 0;
    for (let port = 1; cursor !== undefined; port += 1) {
      const page = await scene.engine.exportPage(cursor, 7);
      for (let at = 0; at < page.batch.length; at += recordWords) {
        seen.push(`${page.batch[at + RecordOffset.ports]! >>> 16}`);
      }
      cursor = page.next;
      // Even ports below 30 are reset and begin again, others are added.
      await scene.client({ sourcePort: port * 2, flags: 'R' });
      await scene.client({ sourcePort: port * 2, flags: 'S' });
      await scene.client({ sourcePort: 1000 + port, flags: 'S' });
    }
    for (let port = 1; port <= 100; port += 2) assert.equal(seen.filter((other) => other === `${port}`).length, 1);
  });

  test(`${name}: a copy expires with its original, not before`, async () => {
    const active = await Scene.open(make);
    await active.handshake();
    await active.engine.advance(400_000);
    const backup = await Scene.open(make, { lease: 'none' });
    await backup.engine.applyBatch(await active.tableWords());
    await backup.engine.advance(499_999);
    assert.equal((await backup.table()).length, 1);
    await backup.engine.advance(1);
    assert.equal((await backup.table()).length, 0);
  });
}

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publishLagMaxMs, synPublicationsBurst, synPublicationsPerMs } from '../../src/connection/publication.ts';
import type { DropReason } from '../../src/engine/engine.ts';
import type { MakeEngine } from './engine-under-test.ts';
import { udpFrame } from './packets.ts';
import { Scene } from './scene.ts';

/** Reasons with a vector below. */
export const publishingReasons: readonly DropReason[] = ['noPublisher'];

/** New connections are admitted only while somebody publishes them (promise P9). */
export function publishingContract(name: string, make: MakeEngine): void {
  test(`${name}: a connection is published at its SYN, and once more when it is established`, async () => {
    const scene = await Scene.open(make);
    await scene.client({ flags: 'S' });
    const flow = '198.51.100.7:40000 > 10.0.0.1:8080 local';
    assert.deepEqual(await scene.events(), [`upsert SYN_RECV ${flow} 60`]);
    await scene.client({ flags: 'S' });
    await scene.server();
    assert.deepEqual(await scene.events(), [], 'a repeated SYN says nothing new');
    await scene.client({ flags: 'A' });
    assert.deepEqual(await scene.events(), [`upsert ESTABLISHED ${flow} 900`]);
    await scene.client({ sourcePort: 2, flags: 'S' });
    await scene.events();
    await scene.engine.advance(62_000);
    assert.deepEqual(await scene.events(), [], 'the copy of a half-open entry expires by itself');
  });

  test(`${name}: the copy of a half-open connection takes over with the client's ACK`, async () => {
    const active = await Scene.open(make);
    await active.client({ sourcePort: 9, flags: 'S' });
    await active.client({ flags: 'S' });
    const batches = await active.engine.takeEvents();
    const backup = await Scene.open(make, { lease: 'none' });
    for (const batch of batches) await backup.engine.applyBatch(batch);
    assert.deepEqual(await backup.table(), [
      'SYN_RECV 198.51.100.7:40000 > 10.0.0.2:8080 learnt 60',
      'SYN_RECV 198.51.100.7:9 > 10.0.0.1:8080 learnt 60',
    ]);
    backup.engine.setLease(3, 60_000);
    assert.match((await backup.client({ flags: 'A' }))[0]!, /> 10\.0\.0\.2:8080/);
    assert.deepEqual(await backup.events(), ['upsert ESTABLISHED 198.51.100.7:40000 > 10.0.0.2:8080 local 900']);
  });

  test(`${name}: a flood of SYNs is published up to a budget, established connections always`, async () => {
    const limits = { halfOpenMax: 4096, establishedMax: 64 };
    const scene = await Scene.open(make, { limits });
    let port = 1;
    const flood = async (count: number): Promise<number> => {
      for (let i = 0; i < count; i += 1) await scene.client({ sourcePort: port++, flags: 'S' });
      return (await scene.events()).length;
    };
    assert.equal(await flood(synPublicationsBurst + 100), synPublicationsBurst);
    await scene.client({ sourcePort: port - 1, flags: 'A' });
    assert.equal((await scene.events()).length, 1);
    await scene.engine.advance(10);
    assert.equal(await flood(100), 10 * synPublicationsPerMs);
  });

  for (const publisher of ['gone', 'late'] as const) {
    test(`${name}: while the publisher is ${publisher} new connections wait, and known ones go on`, async () => {
      const scene = await Scene.open(make);
      scene.engine.setPublisher('prompt');
      await scene.handshake({ sourcePort: 1 });
      await scene.client({ sourcePort: 2, flags: 'S' });
      await scene.engine.takeEvents();
      scene.engine.setPublisher(publisher);
      if (publisher === 'late') await scene.client({ sourcePort: 3, flags: 'S' });
      await scene.engine.advance(publishLagMaxMs + 1);
      assert.deepEqual(await scene.client({ sourcePort: 4, flags: 'S' }), []);
      assert.deepEqual(await scene.drops(), { noPublisher: 1 });
      assert.equal((await scene.client({ sourcePort: 1, flags: 'PA' })).length, 1, 'a known connection');
      assert.equal((await scene.server({ destinationPort: 1, flags: 'A' })).length, 1, 'a known connection');
      assert.deepEqual(await scene.server({ destinationPort: 2, source: '10.0.0.2' }), [], 'a SYN+ACK waits too');
      assert.equal((await scene.client({ sourcePort: 2, flags: 'A' })).length, 1, 'a handshake is completed');
      assert.deepEqual(await scene.drops(), { noPublisher: 2 });
      scene.engine.setPublisher('prompt');
      assert.equal((await scene.client({ sourcePort: 4, flags: 'S' })).length, 1, 'its repetition is admitted');
    });
  }

  test(`${name}: a publisher counts as late only when an event has waited for too long`, async () => {
    const scene = await Scene.open(make);
    scene.engine.setPublisher('prompt');
    await scene.engine.advance(60_000);
    assert.equal((await scene.client({ sourcePort: 1, flags: 'S' })).length, 1, 'however long nothing has happened');
    scene.engine.setPublisher('late');
    await scene.engine.advance(60_000);
    assert.equal((await scene.client({ sourcePort: 2, flags: 'S' })).length, 1);
    await scene.engine.advance(publishLagMaxMs);
    assert.equal((await scene.client({ sourcePort: 3, flags: 'S' })).length, 1);
    await scene.engine.advance(1);
    assert.deepEqual(await scene.client({ sourcePort: 4, flags: 'S' }), []);
    scene.engine.setPublisher('prompt');
    scene.engine.setPublisher('late');
    assert.equal((await scene.client({ sourcePort: 4, flags: 'S' })).length, 1);
  });

  test(`${name}: without a publisher a UDP flow waits, and so does a hash service's unknown segment`, async () => {
    const selector = { shape: 'hash', slots: Uint16Array.of(0, 1), seed: 1, hashPort: false } as const;
    const scene = await Scene.open(make, { selector });
    scene.engine.setPublisher('gone');
    await scene.engine.advance(1);
    assert.deepEqual(await scene.client({ flags: 'A' }), []);
    assert.deepEqual(await scene.drops(), { noPublisher: 1 });
    const datagrams = await Scene.open(make, { protocol: 'udp' });
    const flow = { source: '198.51.100.7', sourcePort: 4000, destination: '192.0.2.80', destinationPort: 80 };
    await datagrams.engine.send('clients', udpFrame(flow));
    datagrams.engine.setPublisher('gone');
    await datagrams.engine.advance(1);
    assert.equal((await datagrams.engine.send('clients', udpFrame(flow))).length, 1, 'a known flow');
    assert.deepEqual(await datagrams.engine.send('clients', udpFrame({ ...flow, sourcePort: 4001 })), []);
    assert.deepEqual(await datagrams.drops(), { noPublisher: 1 });
    datagrams.engine.setPublisher('late');
    await datagrams.engine.send('clients', udpFrame(flow));
    await datagrams.engine.advance(publishLagMaxMs + 1);
    const another = udpFrame({ ...flow, sourcePort: 4002 });
    assert.equal(
      (await datagrams.engine.send('clients', another)).length,
      1,
      'a late publisher is no reason to lose one',
    );
  });
}

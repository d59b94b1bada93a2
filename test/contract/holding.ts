// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publishLagMaxMs, synPublicationsBurst } from '../../src/connection/publication.ts';
import type { MakeEngine } from './engine-under-test.ts';
import { tcpFrame } from './frames.ts';
import { Scene } from './scene.ts';

/** While a peer is heard, the SYN of a new connection leaves once the peer has been told of it (promise P9). */
export function holdingContract(name: string, make: MakeEngine): void {
  test(`${name}: while a peer is heard, a SYN leaves once its connection has been published, and not otherwise`, async () => {
    const frames = [1, 2].map((sourcePort) => tcpFrame({ sourcePort, flags: 'S' }));
    const alone = await Scene.open(make);
    const atOnce = [];
    for (const frame of frames) atOnce.push(...(await alone.engine.send('clients', frame)));
    const scene = await Scene.open(make);
    const { engine } = scene;
    engine.setPeer(true);
    engine.setPublisher('late');
    for (const frame of frames) assert.deepEqual(await engine.send('clients', frame), []);
    assert.deepEqual(await engine.advance(publishLagMaxMs), []);
    engine.setPublisher('prompt');
    assert.deepEqual(await engine.advance(0), atOnce, 'byte for byte what it would have been at once');
    assert.deepEqual([await engine.advance(1000), await scene.drops()], [[], {}], 'it leaves once');
  });

  test(`${name}: a held SYN does not outlive its lease, nor the client's patience`, async () => {
    const scene = await Scene.open(make);
    const { engine } = scene;
    engine.setPeer(true);
    engine.setPublisher('late');
    await scene.client({ sourcePort: 1, flags: 'S' });
    engine.setLease(3, 0);
    await engine.advance(1);
    engine.setPublisher('prompt');
    assert.deepEqual([await engine.advance(0), await scene.drops()], [[], { noLease: 1 }]);
    engine.setLease(3, 3_600_000);
    engine.setPublisher('late');
    await scene.client({ sourcePort: 2, flags: 'S' });
    await engine.advance(501);
    engine.setPublisher('prompt');
    assert.deepEqual([await engine.advance(0), await scene.drops()], [[], { noLease: 1, noPublisher: 1 }]);
  });

  test(`${name}: a SYN that is deferred waits on when its connection has been published, and nobody else does`, async () => {
    const scene = await Scene.open(make);
    const { engine } = scene;
    engine.setPeer(true);
    engine.setPublisher('deferring');
    assert.deepEqual(await scene.client({ sourcePort: 1, flags: 'S' }), []);
    assert.equal((await scene.events()).length, 1);
    assert.deepEqual(await engine.advance(publishLagMaxMs + 1, 1), []);
    assert.deepEqual(await scene.client({ sourcePort: 2, flags: 'S' }), []);
    assert.equal((await scene.client({ sourcePort: 2, flags: 'A' })).length, 1, 'no other segment is held');
    engine.setPublisher('prompt');
    assert.equal((await engine.advance(0)).length, 2);
    assert.deepEqual([await engine.advance(1000), await scene.drops()], [[], {}], 'they leave once');
  });

  test(`${name}: a deferred SYN that is never released is dropped in the end`, async () => {
    const scene = await Scene.open(make);
    scene.engine.setPeer(true);
    scene.engine.setPublisher('deferring');
    await scene.client({ sourcePort: 1, flags: 'S' });
    await scene.engine.advance(501);
    scene.engine.setPublisher('prompt');
    assert.deepEqual([await scene.engine.advance(0), await scene.drops()], [[], { noPublisher: 1 }]);
  });

  test(`${name}: a SYN is not held beyond the budget, nor when nobody is told`, async () => {
    const limits = { halfOpenMax: 4096, establishedMax: 64 };
    const scene = await Scene.open(make, { limits });
    scene.engine.setPublisher('late');
    assert.equal((await scene.client({ sourcePort: 1, flags: 'S' })).length, 1, 'no peer is heard');
    scene.engine.setPeer(true);
    for (let i = 2; i <= synPublicationsBurst; i += 1) {
      assert.deepEqual(await scene.client({ sourcePort: i, flags: 'S' }), []);
    }
    assert.equal((await scene.client({ sourcePort: 5000, flags: 'S' })).length, 1);
    assert.equal((await scene.client({ sourcePort: 1, flags: 'A' })).length, 1, 'no other segment is held');
    scene.engine.setPublisher('prompt');
    assert.equal((await scene.engine.advance(0)).length, synPublicationsBurst - 1);
  });

  test(`${name}: a repeated SYN is published and held like the first one, and waits while nobody publishes`, async () => {
    const scene = await Scene.open(make);
    const { engine } = scene;
    const flow = '198.51.100.7:40000 > 10.0.0.1:8080 local';
    engine.setPeer(true);
    engine.setPublisher('prompt');
    await scene.client({ flags: 'S' });
    await engine.advance(0);
    await scene.events();
    engine.setPublisher('late');
    assert.deepEqual(await scene.client({ flags: 'S' }), []);
    engine.setPublisher('prompt');
    assert.equal((await engine.advance(0)).length, 1);
    assert.deepEqual(await scene.events(), [`upsert SYN_RECV ${flow} 60`]);
    engine.setPublisher('gone');
    await engine.advance(1);
    assert.deepEqual([await scene.client({ flags: 'S' }), await engine.advance(0)], [[], []]);
    assert.deepEqual(await scene.drops(), { noPublisher: 1 });
    engine.setPublisher('prompt');
    await scene.client({ flags: 'A', sequence: 1001, acknowledgement: 500 });
    assert.equal(
      (await scene.client({ flags: 'S' })).length,
      1,
      'one on an established connection is its real server’s',
    );
  });

  test(`${name}: a SYN that begins another connection in the entry of a closing one is held too`, async () => {
    const scene = await Scene.open(make);
    const { engine } = scene;
    const flow = '198.51.100.7:40000 > 10.0.0.1:8080 local';
    engine.setPublisher('prompt');
    await scene.handshake();
    await scene.client({ flags: 'FA', sequence: 1001, acknowledgement: 500 });
    await engine.advance(1001);
    await scene.events();
    engine.setPeer(true);
    engine.setPublisher('gone');
    await engine.advance(1);
    assert.deepEqual(await scene.client({ flags: 'S', sequence: 70_000 }), []);
    assert.deepEqual(await scene.drops(), { noPublisher: 1 });
    engine.setPublisher('late');
    assert.deepEqual(await scene.client({ flags: 'S', sequence: 70_000 }), []);
    engine.setPublisher('prompt');
    assert.equal((await engine.advance(0)).length, 1);
    assert.deepEqual(await scene.events(), [`upsert SYN_RECV ${flow} 60`]);
    engine.setPublisher('late');
    assert.deepEqual(await scene.client({ flags: 'S', sequence: 70_000 }), [], 'repeated');
    engine.setPublisher('prompt');
    assert.equal((await engine.advance(0)).length, 1);
    assert.deepEqual(await scene.events(), [`upsert SYN_RECV ${flow} 60`]);
  });
}

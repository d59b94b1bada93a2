// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MakeEngine } from './engine-under-test.ts';
import { configurationOf, Scene, slot } from './scene.ts';

/** Of the only entry: `ESTABLISHED 900`. */
async function stateOf(scene: Scene): Promise<string> {
  const lines = await scene.table();
  assert.equal(lines.length, 1);
  const words = lines[0]!.split(' ');
  return `${words[0]} ${words.at(-1)}`;
}

const serverOf = (frames: readonly string[]): string | undefined => frames[0]?.match(/servers: \S+ > \S+:0(\d) /)?.[1];
const blind = [0, 1, 1000, 1002, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1001 + 0x1_0000, 1001 - 0x1_0000];

/** What a segment may do to a connection that somebody else has sent in its client's name. */
export function strangersContract(name: string, make: MakeEngine): void {
  for (const method of ['masquerade', 'direct-route'] as const) {
    const where = `${name}, ${method}`;
    const closing = method === 'masquerade' ? 'CLOSE_WAIT 60' : 'FIN_WAIT 120';
    const established = async (): Promise<Scene> => {
      const scene = await Scene.open(make, { method });
      await scene.handshake();
      return scene;
    };

    test(`${where}: a blind RST is forwarded and changes nothing, one with the client's number closes`, async () => {
      const scene = await established();
      for (const sequence of blind) {
        assert.equal(serverOf(await scene.client({ flags: 'R', sequence })), '1');
        assert.equal(await stateOf(scene), 'ESTABLISHED 900', `${sequence}`);
      }
      await scene.client({ flags: 'PA', sequence: 1001, payload: new Uint8Array(10) });
      await scene.client({ flags: 'R', sequence: 1001 });
      assert.equal(await stateOf(scene), 'ESTABLISHED 900', 'the number before the data');
      await scene.client({ flags: 'RA', sequence: 1011 });
      assert.equal(await stateOf(scene), 'CLOSE 10');
    });

    test(`${where}: a SYN after a blind RST goes to the same real server`, async () => {
      const scene = await established();
      await scene.client({ flags: 'R', sequence: 77 });
      assert.equal(serverOf(await scene.client({ flags: 'S', sequence: 77 })), '1');
      assert.equal(serverOf(await scene.client({ flags: 'PA', sequence: 1001 })), '1');
      assert.equal(await stateOf(scene), 'ESTABLISHED 900');
      await scene.client({ flags: 'R', sequence: 78 });
      assert.equal(await stateOf(scene), 'ESTABLISHED 900', 'the SYN has taught nothing');
    });

    test(`${where}: a FIN counts near what has been seen, although a segment before it was lost`, async () => {
      for (const [sequence, expected] of [
        [1001, closing],
        [1001 + 60_000, closing],
        [1001 + 70_000, 'ESTABLISHED 900'],
        [1001 + 0x8000_0000, 'ESTABLISHED 900'],
        [0xffff_0000, 'ESTABLISHED 900'],
      ] as const) {
        const scene = await established();
        await scene.client({ flags: 'FA', sequence });
        assert.equal(await stateOf(scene), expected, `${sequence}`);
      }
    });

    test(`${where}: data behind a forged FIN or RST brings the connection back`, async () => {
      const scene = await established();
      await scene.client({ flags: 'FA', sequence: 1001 });
      await scene.client({ flags: 'A', sequence: 1002 });
      assert.equal(await stateOf(scene), closing, 'an ACK is not data');
      await scene.client({ flags: 'PA', sequence: 1001, payload: new Uint8Array(1) });
      assert.equal(await stateOf(scene), closing, 'nor is a segment that was sent again');
      await scene.client({ flags: 'PA', sequence: 1001, payload: new Uint8Array(2) });
      assert.equal(await stateOf(scene), 'ESTABLISHED 900');
      await scene.client({ flags: 'R', sequence: 1003 });
      assert.equal(await stateOf(scene), 'CLOSE 10');
      await scene.client({ flags: 'PA', sequence: 1003, payload: new Uint8Array(2) });
      assert.equal(await stateOf(scene), 'ESTABLISHED 900');
    });

    test(`${where}: a SYN begins another connection in a closing one after silence`, async () => {
      const scene = await established();
      await scene.client({ flags: 'FA', sequence: 1001 });
      await scene.engine.advance(999);
      assert.equal(serverOf(await scene.client({ flags: 'S', sequence: 5000 })), '1');
      assert.equal(await stateOf(scene), closing);
      await scene.engine.advance(1000);
      await scene.client({ flags: 'S', sequence: 5000 });
      assert.equal(await stateOf(scene), 'SYN_RECV 60');
      await scene.client({ flags: 'A', sequence: 5001 });
      await scene.client({ flags: 'R', sequence: 1002 });
      assert.equal(await stateOf(scene), 'ESTABLISHED 900');
      await scene.client({ flags: 'R', sequence: 5001 });
      assert.equal(await stateOf(scene), 'CLOSE 10');
    });

    test(`${where}: a client's SYN-ACK changes nothing`, async () => {
      const scene = await established();
      await scene.client({ flags: 'FA', sequence: 1001 });
      await scene.engine.advance(2000);
      await scene.client({ flags: 'SA', sequence: 5000 });
      assert.equal(await stateOf(scene), closing);
    });

    test(`${where}: the last SYN of a handshake says which numbers count, around 2^32 too`, async () => {
      const scene = await Scene.open(make, { method });
      await scene.client({ flags: 'S', sequence: 7 });
      await scene.client({ flags: 'S', sequence: 0xffff_fffe });
      await scene.client({ flags: 'A', sequence: 0xffff_ffff });
      await scene.client({ flags: 'PA', sequence: 0xffff_ffff, payload: new Uint8Array(3) });
      await scene.client({ flags: 'R', sequence: 0xffff_ffff });
      assert.equal(await stateOf(scene), 'ESTABLISHED 900');
      await scene.client({ flags: 'R', sequence: 2 });
      assert.equal(await stateOf(scene), 'CLOSE 10');
    });

    test(`${where}: after a takeover no RST of the client counts until its number is known`, async () => {
      const scene = await established();
      const backup = await Scene.open(make, { method, lease: 'fresh' });
      await backup.engine.applyBatch(await scene.tableWords());
      await backup.client({ flags: 'PA', sequence: 1001, payload: new Uint8Array(4) });
      await backup.client({ flags: 'R', sequence: 1005 });
      assert.equal(await stateOf(backup), 'ESTABLISHED 900');
      if (method === 'direct-route') return;
      await backup.server({ flags: 'A', acknowledgement: 1005 });
      await backup.client({ flags: 'R', sequence: 1004 });
      assert.equal(await stateOf(backup), 'ESTABLISHED 900');
      await backup.client({ flags: 'R', sequence: 1005 });
      assert.equal(await stateOf(backup), 'CLOSE 10');
    });

    test(`${where}: a FIN whose number is not known counts, and data takes it back`, async () => {
      const scene = await established();
      const backup = await Scene.open(make, { method, lease: 'fresh' });
      await backup.engine.applyBatch(await scene.tableWords());
      await backup.client({ flags: 'FA', sequence: 99 });
      assert.equal(await stateOf(backup), closing);
      await backup.client({ flags: 'PA', sequence: 1001, payload: new Uint8Array(4) });
      assert.equal(await stateOf(backup), 'ESTABLISHED 900');
    });
  }

  test(`${name}: a client's SYN-ACK of no connection makes no entry, with a hash selector neither`, async () => {
    const selector = { shape: 'hash', slots: Uint16Array.of(1), seed: 1, hashPort: false } as const;
    const scene = await Scene.open(make, { method: 'direct-route', selector });
    const [answer] = await scene.client({ flags: 'SA', acknowledgement: 77 });
    assert.match(answer!, / R seq 77 /);
    assert.deepEqual(await scene.table(), []);
    assert.deepEqual(await scene.drops(), { unknownConnection: 1 });
  });

  test(`${name}: a peer's record replaces what a director knew of a connection, and its timeout holds`, async () => {
    const old = await Scene.open(make);
    await old.handshake();
    const records = await old.tableWords();
    await old.engine.advance(100_000);
    old.engine.setLease(slot, 0);
    await old.engine.advance(10);
    assert.equal((await old.engine.applyBatch(records)).applied, 1);
    assert.deepEqual(await old.table(), ['ESTABLISHED 198.51.100.7:40000 > 10.0.0.1:8080 learnt 900']);
    await old.engine.advance(899_999);
    assert.equal((await old.table()).length, 1);
    await old.engine.advance(1);
    assert.deepEqual(await old.table(), []);
  });

  test(`${name}: another timeout is in force at once for the connections that are there`, async () => {
    const scene = await Scene.open(make);
    await scene.handshake();
    await scene.engine.advance(30_000);
    const configuration = configurationOf();
    await scene.engine.configure({ ...configuration, timeouts: { ...configuration.timeouts, tcpMs: 40_000 } });
    assert.equal(await stateOf(scene), 'ESTABLISHED 10');
  });
}

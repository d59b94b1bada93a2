// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MakeEngine } from './engine-under-test.ts';
import { Scene } from './scene.ts';

/** States and timeouts, the two tables, real servers' connection counts. */
export function lifecycleContract(name: string, make: MakeEngine): void {
  test(`${name}: states and timeouts as both halves pass (masquerade)`, async () => {
    const scene = await Scene.open(make);
    const rows: ['client' | 'server', string, string][] = [
      ['client', 'S', 'SYN_RECV 60'],
      ['server', 'SA', 'SYN_RECV 60'],
      ['client', 'A', 'ESTABLISHED 900'],
      ['server', 'FA', 'FIN_WAIT 120'],
      ['client', 'FA', 'TIME_WAIT 120'],
      ['client', 'R', 'CLOSE 10'],
      ['client', 'S', 'SYN_RECV 60'],
      ['server', 'RA', 'CLOSE 10'],
    ];
    for (const [side, flags, expected] of rows) {
      // A connection that begins again goes to the next real server in turn: bring it back to the first.
      const out = await scene[side]({ flags, ...(side === 'server' ? await endpoint(scene) : {}) });
      assert.equal(out.length, 1, `${side} ${flags}`);
      const [entry] = await scene.table();
      assert.equal(`${entry!.split(' ')[0]} ${entry!.split(' ').at(-1)}`, expected, `${side} ${flags}`);
    }
  });

  test(`${name}: states from the client's half alone (direct-route)`, async () => {
    const scene = await Scene.open(make, { method: 'direct-route' });
    const rows: [string, string][] = [
      ['S', 'SYN_RECV 60'],
      ['A', 'ESTABLISHED 900'],
      ['PA', 'ESTABLISHED 900'],
      ['FA', 'FIN_WAIT 120'],
      ['A', 'FIN_WAIT 120'],
      ['R', 'CLOSE 10'],
    ];
    for (const [flags, expected] of rows) {
      await scene.client({ flags });
      const [entry] = await scene.table();
      assert.equal(`${entry!.split(' ')[0]} ${entry!.split(' ').at(-1)}`, expected, flags);
    }
  });

  test(`${name}: an entry lives for its timeout after the last packet, to the millisecond`, async () => {
    const scene = await Scene.open(make);
    await scene.handshake();
    await scene.engine.advance(899_999);
    assert.deepEqual(await scene.table(), ['ESTABLISHED 198.51.100.7:40000 > 10.0.0.1:8080 local 0']);
    assert.equal((await scene.server({ flags: 'A' })).length, 1, 'a reply keeps it alive too');
    await scene.engine.advance(900_000);
    assert.deepEqual(await scene.table(), []);
    assert.match((await scene.client({ flags: 'A' }))[0]!, / R seq/);
    await scene.engine.advance(2000);
    const { establishedConnections } = await scene.counters();
    assert.equal(establishedConnections, 0);
  });

  test(`${name}: a SYN flood pushes out the oldest half-open entries and no established one`, async () => {
    const scene = await Scene.open(make, { limits: { halfOpenMax: 4 } });
    await scene.handshake({ sourcePort: 1 });
    for (let port = 100; port < 104; port += 1) await scene.client({ sourcePort: port });
    // A packet of the client refreshes its entry, which is therefore the last to go.
    await scene.client({ sourcePort: 100 });
    await scene.client({ sourcePort: 200 });
    await scene.client({ sourcePort: 201 });
    const clients = (await scene.table()).map((line) => `${line.split(' ')[0]} ${line.match(/:(\d+) >/)![1]}`);
    assert.deepEqual(clients, ['ESTABLISHED 1', 'SYN_RECV 100', 'SYN_RECV 103', 'SYN_RECV 200', 'SYN_RECV 201']);
    const { halfOpenConnections, establishedConnections, halfOpenEvictions } = await scene.counters();
    assert.deepEqual([halfOpenConnections, establishedConnections, halfOpenEvictions], [4, 1, 2]);
  });

  test(`${name}: real servers' connections are counted right through every change`, async () => {
    const scene = await Scene.open(make, { servers: ['10.0.0.1'], limits: { halfOpenMax: 2 } });
    const counts = async (): Promise<string> => {
      const [server] = (await scene.counters()).services[0]!.realServers;
      return `${server!.activeConnections} ${server!.inactiveConnections}`;
    };
    const steps: [string, () => Promise<unknown>, string][] = [
      ['SYN', () => scene.client({ sourcePort: 1 }), '0 1'],
      ['established', () => scene.client({ sourcePort: 1, flags: 'A' }), '1 0'],
      ['another', () => scene.handshake({ sourcePort: 2 }), '2 0'],
      ['closing', () => scene.client({ sourcePort: 2, flags: 'FA' }), '1 1'],
      ['two half-open', () => scene.client({ sourcePort: 3 }).then(() => scene.client({ sourcePort: 4 })), '1 3'],
      ['one more pushes one out', () => scene.client({ sourcePort: 5 }), '1 3'],
      ['reset', () => scene.client({ sourcePort: 2, flags: 'R' }), '1 3'],
      ['begun again', () => scene.client({ sourcePort: 2, flags: 'S' }), '1 2'],
      ['half-open ones expire', () => scene.engine.advance(62_000), '1 0'],
      ['all expire', () => scene.engine.advance(902_000), '0 0'],
    ];
    for (const [what, step, expected] of steps) {
      await step();
      assert.equal(await counts(), expected, what);
    }
  });

  test(`${name}: replies to a client port that began another connection belong to the new one`, async () => {
    const scene = await Scene.open(make);
    await scene.handshake();
    await scene.client({ flags: 'R' });
    assert.match((await scene.client({ flags: 'S' }))[0]!, /> 10\.0\.0\.2:8080/);
    assert.equal((await scene.server({ source: '10.0.0.2' })).length, 1);
    assert.equal((await scene.server({ source: '10.0.0.1' })).length, 0);
  });
}

async function endpoint(scene: Scene): Promise<{ source: string }> {
  const [entry] = await scene.table();
  return { source: entry!.match(/> ([\d.]+):/)![1]! };
}

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { MonotonicClock } from '../../src/platform/linux/monotonic-clock.ts';
import { configurationOf, describeBatch, Scene } from './scene.ts';
import { makeXdpEngine, type XdpUnderTest } from './xdp-harness.ts';

/** Behaviour that only an engine in the kernel has: it cannot wait for neighbours, and it outlives directors. */
export function xdpStories(): void {
  const opened = async (...options: Parameters<typeof Scene.open> extends [unknown, ...infer Rest] ? Rest : never) => {
    const scene = await Scene.open(makeXdpEngine, ...options);
    return { scene, xdp: scene.engine as XdpUnderTest };
  };

  test('xdp: a frame to a real server without a neighbour is dropped and counted, until there is one', async () => {
    const { scene } = await opened();
    scene.engine.setReachability('10.0.0.1', 'resolving');
    assert.deepEqual(await scene.client({ flags: 'S' }), []);
    assert.deepEqual(await scene.drops(), { neighbourUnresolved: 1 });
    scene.engine.setReachability('10.0.0.1', 'reachable');
    assert.equal((await scene.client({ flags: 'S' })).length, 1);
  });

  test('xdp: a connection is not over for a processor whose clock is behind that of another', async () => {
    const { scene, xdp } = await opened();
    await scene.handshake();
    xdp.lag(4);
    assert.equal((await scene.server({ flags: 'A' })).length, 1);
    assert.equal((await scene.client({ flags: 'A' })).length, 1);
    await scene.engine.advance(0);
    assert.deepEqual(await scene.table(), ['ESTABLISHED 198.51.100.7:40000 > 10.0.0.1:8080 local 900']);
    xdp.lag(4);
    assert.match((await scene.table())[0]!, / local 900$/, 'nor has it been idle for 49 days');
  });

  test('xdp: replies go to where a client’s own packet came from, while the kernel is asked for its MAC address', async () => {
    const { scene, xdp } = await opened();
    xdp.forgetNeighbours();
    await scene.handshake();
    const [reply] = await scene.server({ flags: 'A' });
    assert.match(reply!, /^clients: 02:00:00:00:d0:01 > 02:0c:00:00:00:01 192\.0\.2\.80:80/);
    await scene.engine.advance(10);
    assert.deepEqual([...new Set(xdp.missed)], ['clients 198.51.100.7']);
  });

  test('xdp: a director that starts again finds connections, counters and templates as they were', async () => {
    const service = { persistence: { timeoutMs: 60_000, prefixLength: 32 } };
    const { scene, xdp } = await opened({ service });
    await scene.handshake();
    await scene.client({ flags: 'PA' });
    const before = [await scene.table(), await scene.counters()];
    xdp.restart();
    assert.equal((await scene.server({ flags: 'A' })).length, 1, 'it is not missed');
    assert.equal((await scene.client({ flags: 'A' })).length, 1);
    await scene.engine.configure(configurationOf({ service }));
    const counters = await scene.counters();
    assert.deepEqual(await scene.table(), before[0]);
    assert.deepEqual(
      [counters.services[0]!.packetsIn, counters.services[0]!.packetsOut, counters.connectionTemplates],
      [4, 1, 1],
    );
    // The director starts again with another configuration: services that it lacks are removed as in a reload.
    xdp.restart();
    await scene.engine.configure(configurationOf({ service, servers: ['10.0.0.2'] }));
    assert.match((await scene.client({ flags: 'A' }))[0]!, /> 10\.0\.0\.1:8080/);
    assert.match((await scene.client({ source: '198.51.100.8', flags: 'S' }))[0]!, /> 10\.0\.0\.2:8080/);
    await scene.engine.advance(1_100_000);
    assert.deepEqual((await scene.counters()).services[0]!.packetsIn, 6, 'what it counted is its service’s');
    xdp.restart();
    await scene.engine.configure({ ...configurationOf(), services: [] });
    await scene.engine.advance(5_000);
    assert.deepEqual(await scene.table(), []);
  });

  test('xdp: a reader of events sleeps until the program wakes it', { timeout: 10_000 }, async (t) => {
    const { scene, xdp } = await opened();
    const clock = new MonotonicClock();
    const arrived = new EventTarget();
    const lines: string[] = [];
    const port = xdp.followEvents(clock, (batch) => {
      lines.push(...describeBatch(batch, true));
      arrived.dispatchEvent(new Event('batch'));
    });
    t.after(() => port.close());
    for (let sourcePort = 1; sourcePort <= 3; sourcePort += 1) {
      // Long enough for the reader to be asleep.
      await setTimeout(30);
      const begin = clock.nowMs();
      const next = once(arrived, 'batch');
      await scene.client({ sourcePort, flags: 'S' });
      await next;
      assert.ok(clock.nowMs() - begin < 100, 'woken, not found at the next look');
    }
    assert.deepEqual(
      lines,
      [1, 2, 3].map((port) => `upsert SYN_RECV 198.51.100.7:${port} > 10.0.0.${2 - (port % 2)}:8080 local 60`),
    );
  });
}

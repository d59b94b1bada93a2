// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { MonotonicClock } from '../../../src/platform/linux/monotonic-clock.ts';
import { Poller } from '../../../src/platform/linux/process/poller.ts';
import { Wake } from '../../../src/platform/linux/process/wake.ts';

const clock = new MonotonicClock();

describe('poller and wake', () => {
  test('a wait ends after its time, fractions included, never before', () => {
    const wake = Wake.create();
    const poller = new Poller([wake.fd]);
    const startMs = clock.nowMs();
    assert.equal(poller.wait(2.5), 0);
    assert.ok(clock.nowMs() - startMs >= 2.5);
    assert.equal(poller.ready(0), false);
    wake.close();
  });

  test('a signal makes its descriptor ready until it is drained', () => {
    const [first, second] = [Wake.create(), Wake.create()];
    const poller = new Poller([first.fd, second.fd]);
    second.signal();
    second.signal();
    assert.equal(poller.wait(1000), 1);
    assert.deepEqual([poller.ready(0), poller.ready(1)], [false, true]);
    assert.deepEqual([second.drain(), second.drain(), poller.wait(0)], [true, false, 0]);
    first.close();
    second.close();
  });

  test('a signal from one thread wakes another that has no event loop', async () => {
    const wake = Wake.create();
    const file = (name: string): string =>
      JSON.stringify(new URL(`../../../src/platform/linux/process/${name}.js`, import.meta.url));
    const program = `
      const { parentPort, workerData } = await import('node:worker_threads');
      const { Poller } = await import(${file('poller')});
      const { Wake } = await import(${file('wake')});
      parentPort.postMessage('waiting');
      const ready = new Poller([workerData]).wait(Infinity);
      parentPort.postMessage([ready, new Wake(workerData).drain()]);`;
    const url = new URL(`data:text/javascript,${encodeURIComponent(program)}`);
    const worker = new Worker(url, { workerData: wake.fd });
    assert.deepEqual(await once(worker, 'message'), ['waiting']);
    wake.signal();
    assert.deepEqual(await once(worker, 'message'), [[1, true]]);
    await once(worker, 'exit');
    wake.close();
  });
});

describe('the monotonic clock', () => {
  test('calls at or after the time, never before', async () => {
    const lateness = await Promise.all(
      [0.2, 1, 3.7, 12.3].map((delayMs) => {
        const atMs = clock.nowMs() + delayMs;
        return new Promise<number>((resolve) => clock.callAt(atMs, () => resolve(clock.nowMs() - atMs)));
      }),
    );
    for (const lateMs of lateness) assert.ok(lateMs >= 0, `${lateMs} ms late`);
  });

  test('a cancelled task is not called, and a far one does not fire at once', async () => {
    const called: string[] = [];
    clock.callAt(clock.nowMs() + 1, () => called.push('cancelled'))();
    const cancelFar = clock.callAt(clock.nowMs() + 2 ** 33, () => called.push('far'));
    await new Promise<void>((resolve) => clock.callAt(clock.nowMs() + 5, resolve));
    cancelFar();
    assert.deepEqual(called, []);
  });
});

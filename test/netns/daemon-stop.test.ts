// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { eventually, namespacesUnavailable } from '../support/namespaces.ts';
import { addressesOn, directorAddresses, PairBench, pairConfiguration } from './daemon-bench.ts';

const skip = namespacesUnavailable();
/** On no virtual service: it goes onto the interface. */
const plainAddress = '10.9.0.99';
const withPlainAddress = pairConfiguration({ priority: 100, addresses: [`${plainAddress}/24 dev eth0`] });

describe('a director that is stopped or killed', { skip }, () => {
  let bench: PairBench;
  before(() => {
    bench = new PairBench();
  });
  afterEach(() => bench.clear());
  after(() => bench.remove());

  for (const [name, signal, group] of [
    ['SIGTERM', 'SIGTERM', false],
    ['Ctrl-C, which the whole process group gets,', 'SIGINT', true],
  ] as const) {
    test(`${name} resigns, removes addresses and socket, and exits 0 within 2 s`, async () => {
      const daemon = bench.start('a', withPlainAddress);
      await daemon.active();
      await eventually(() => addressesOn(bench.a, 'eth0').includes(plainAddress));
      const capture = bench.capture();
      const askedAtMs = performance.now();
      process.kill(group ? -daemon.pid : daemon.pid, signal);
      await capture.farewell(directorAddresses.a);
      const { code, stderr } = await daemon.finished;
      assert.ok(performance.now() - askedAtMs < 2000, `${performance.now() - askedAtMs} ms`);
      capture.close();
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
      assert.deepEqual(addressesOn(bench.a, 'eth0'), [directorAddresses.a]);
      assert.deepEqual(readdirSync(daemon.runDirectory), ['lock']);
      assert.throws(() => process.kill(-daemon.pid, 0), { code: 'ESRCH' });
      await daemon.logged(new RegExp(`^stopping on ${signal}$`));
    });
  }

  test('SIGTERM does not wait for a client that reads nothing', async () => {
    const daemon = bench.start('a', withPlainAddress);
    await daemon.running();
    const idle = connect(`${daemon.runDirectory}/control.sock`);
    await new Promise((resolve) => idle.once('connect', resolve));
    idle.write('GET /connections HTTP/1.1\r\nHost: baton\r\n');
    const askedAtMs = performance.now();
    daemon.signal('SIGTERM');
    assert.equal((await daemon.finished).code, 0);
    assert.ok(performance.now() - askedAtMs < 2000);
    idle.destroy();
  });

  test('a closing terminal (SIGHUP to the process group) reloads and kills nothing', async () => {
    const daemon = bench.start('a', withPlainAddress);
    await daemon.active();
    const children = daemon.children;
    process.kill(-daemon.pid, 'SIGHUP');
    await daemon.logged(/^reloaded the configuration$/);
    assert.deepEqual(daemon.children, children);
    assert.equal((await daemon.router()).state, 'active');
  });

  test('kill -9 of all its processes: an address on an interface goes away by itself within 5 s', async () => {
    const daemon = bench.start('a', withPlainAddress);
    await daemon.active();
    await eventually(() => addressesOn(bench.a, 'eth0').includes(plainAddress));
    assert.equal(daemon.children.length, 1);
    process.kill(-daemon.pid, 'SIGKILL');
    await daemon.finished;
    assert.ok(addressesOn(bench.a, 'eth0').includes(plainAddress), 'nobody was left to take it off');
    await eventually(() => !addressesOn(bench.a, 'eth0').includes(plainAddress), 5000);
    // What was left in the run-dir is in nobody's way.
    assert.ok(existsSync(`${daemon.runDirectory}/control.sock`));
  });

  test('kill -9 of the director alone: its vrrp process resigns at once', async () => {
    const daemon = bench.start('a', withPlainAddress);
    await daemon.active();
    await eventually(() => addressesOn(bench.a, 'eth0').includes(plainAddress));
    const capture = bench.capture();
    const [child] = daemon.children;
    daemon.signal('SIGKILL');
    await capture.farewell(directorAddresses.a, 1000);
    capture.close();
    await daemon.finished;
    await eventually(() => !addressesOn(bench.a, 'eth0').includes(plainAddress), 1000);
    await eventually(() => !runs(child!), 1000);
  });
});

/** Whether a process runs. One that has ended and that nobody has asked for its exit code does not. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

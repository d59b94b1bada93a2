// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, existsSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { eventually, namespacesUnavailable } from '../support/namespaces.ts';
import { addressesOn, directorAddresses, PairBench, pairConfiguration } from './daemon-bench.ts';

const skip = namespacesUnavailable();
/** No virtual service has this address, so it is put on the interface. */
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

  test('SIGTERM does not wait for a reader of the log that has stopped reading, and nothing before it does', async () => {
    const path = bench.workplace.directory('log');
    execFileSync('mkfifo', [path]);
    const { O_RDWR, O_NONBLOCK, O_WRONLY } = constants;
    const reader = openSync(path, O_RDWR | O_NONBLOCK);
    const end = openSync(path, O_WRONLY);
    fillPipe(reader);
    const daemon = bench.start('a', withPlainAddress, [end, end]);
    closeSync(end);
    await daemon.active();
    const capture = bench.capture();
    const askedAtMs = performance.now();
    daemon.signal('SIGTERM');
    await capture.farewell(directorAddresses.a);
    const { code } = await daemon.finished;
    const tookMs = performance.now() - askedAtMs;
    assert.equal(code, 0);
    assert.ok(tookMs > 1900 && tookMs < 4000, `${tookMs} ms`);
    capture.close();
    closeSync(reader);
    assert.deepEqual(readdirSync(daemon.runDirectory), ['lock']);
  });

  test('a reader of the log that comes back gets the rest of it before the end', async () => {
    const path = bench.workplace.directory('log-read');
    execFileSync('mkfifo', [path]);
    const { O_RDWR, O_NONBLOCK, O_WRONLY } = constants;
    const reader = openSync(path, O_RDWR | O_NONBLOCK);
    const end = openSync(path, O_WRONLY);
    fillPipe(reader);
    const daemon = bench.start('a', withPlainAddress, [end, 'ignore']);
    closeSync(end);
    await daemon.active();
    daemon.signal('SIGTERM');
    await eventually(() => !existsSync(`${daemon.runDirectory}/control.sock`));
    const bytes = new Uint8Array(1 << 20);
    let text = '';
    await eventually(() => {
      try {
        text += new TextDecoder().decode(bytes.subarray(0, readSync(reader, bytes)));
      } catch {
        // Nothing more can be read now.
      }
      return text.includes('stopping on SIGTERM');
    });
    assert.equal((await daemon.finished).code, 0);
    assert.match(text, /"msg":"running"/);
    closeSync(reader);
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
    // Files left in the run-dir do not prevent the next start.
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

function fillPipe(fd: number): void {
  for (let length = 4096; length > 0; ) {
    try {
      writeSync(fd, '.'.repeat(length));
    } catch {
      length >>= 1;
    }
  }
}

/** True when a process runs. One that has ended but was not waited for does not run. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

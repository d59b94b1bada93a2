// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { HealthRunner } from '../../../src/health/runner.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import type { ConfiguredService, HealthCheck } from '../../../src/model/configuration.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';

type Answer = boolean | 'hang' | Error;

const check: HealthCheck = {
  checker: 'TCP_CHECK',
  parameters: { address: '10.0.0.1', port: 80 },
  timeoutMs: 2_000,
  retry: 1,
  delayBeforeRetryMs: 1_000,
  delayLoopMs: 5_000,
};

function serviceOf(servers: readonly (readonly HealthCheck[])[]): ConfiguredService {
  return {
    address: '192.0.2.1' as IpAddress,
    port: 80,
    protocol: 'tcp',
    scheduler: { name: 'rr', hashPort: false, fallback: false },
    realServers: servers.map((checks, i) => ({
      address: `10.0.0.${i + 1}` as IpAddress,
      port: 80,
      weight: 1,
      forwardingMethod: 'masquerade',
      checks,
    })),
  };
}

/** The same check of another endpoint. */
function checkOf(port: number, address = '10.0.0.1'): HealthCheck {
  return { ...check, parameters: { address, port } };
}

/** A runner on simulated time; `answers` says what connecting to an `address:port` gives. */
class Bench {
  readonly time = new SimulatedTime();
  readonly answers = new Map<string, Answer>();
  readonly attempts: string[] = [];
  readonly changes: string[] = [];
  running = 0;
  runningMax = 0;
  readonly runner = new HealthRunner({
    clock: this.time,
    jitter: () => 0,
    connector: { connect: (address, port) => this.#connect(`${address}:${port}`) },
  });

  constructor() {
    this.runner.onChange(({ realServer, alive, reason }) => {
      this.changes.push(`${this.time.nowMs()} ${realServer} ${alive ? 'up' : 'down'}: ${reason}`);
    });
  }

  async advanceTo(untilMs: number): Promise<void> {
    for (let next = this.time.nextTaskMs(); next !== undefined && next <= untilMs; next = this.time.nextTaskMs()) {
      this.time.advanceTo(next);
      await setImmediate();
    }
    this.time.advanceTo(untilMs);
  }

  async #connect(target: string): Promise<boolean> {
    this.attempts.push(`${this.time.nowMs()} ${target}`);
    this.running += 1;
    this.runningMax = Math.max(this.runningMax, this.running);
    const answer = this.answers.get(target) ?? true;
    if (answer === 'hang') await new Promise(() => {});
    await setImmediate();
    this.running -= 1;
    if (answer instanceof Error) throw answer;
    return answer as boolean;
  }
}

test('a real server that stops accepting goes down after its retries and comes back', async () => {
  const bench = new Bench();
  bench.runner.configure([serviceOf([[check]])]);
  assert.equal(bench.runner.isAlive('tcp 192.0.2.1:80', '10.0.0.1:80'), true);
  await bench.advanceTo(1_500);
  bench.answers.set('10.0.0.1:80', false);
  await bench.advanceTo(8_000);
  assert.equal(bench.runner.isAlive('tcp 192.0.2.1:80', '10.0.0.1:80'), false);
  bench.answers.set('10.0.0.1:80', true);
  await bench.advanceTo(20_000);
  assert.deepEqual(bench.attempts, [
    '1000 10.0.0.1:80',
    '6000 10.0.0.1:80',
    '7000 10.0.0.1:80',
    '12000 10.0.0.1:80',
    '17000 10.0.0.1:80',
  ]);
  assert.deepEqual(bench.changes, [
    '7000 10.0.0.1:80 down: 10.0.0.1:80 did not accept a TCP connection',
    '12000 10.0.0.1:80 up: the check succeeded',
  ]);
});

test('what is down is checked at once when it is asked for; what is up or was never tried keeps its time', async () => {
  const bench = new Bench();
  bench.runner.configure([serviceOf([[check], [{ ...checkOf(81), alpha: true }]])]);
  bench.answers.set('10.0.0.1:80', false);
  bench.runner.checkAgain();
  await bench.advanceTo(3_000);
  assert.deepEqual(bench.attempts, ['1000 10.0.0.1:80', '1000 10.0.0.1:81', '2000 10.0.0.1:80']);
  const before = bench.attempts.length;
  bench.answers.set('10.0.0.1:80', true);
  bench.runner.checkAgain();
  await bench.advanceTo(3_001);
  assert.equal(bench.runner.isAlive('tcp 192.0.2.1:80', '10.0.0.1:80'), true);
  assert.deepEqual(bench.attempts.slice(before), ['3000 10.0.0.1:80']);
  await bench.advanceTo(8_000);
  assert.deepEqual(bench.attempts.slice(before + 1), ['6000 10.0.0.1:81', '8000 10.0.0.1:80']);
});

test('with several checks a real server is alive only while all are up', async () => {
  const bench = new Bench();
  bench.runner.configure([serviceOf([[check, checkOf(81)]])]);
  bench.answers.set('10.0.0.1:81', new Error('connect ECONNREFUSED'));
  await bench.advanceTo(4_000);
  bench.answers.set('10.0.0.1:80', false);
  await bench.advanceTo(8_000);
  bench.answers.set('10.0.0.1:80', true);
  await bench.advanceTo(13_000);
  bench.answers.set('10.0.0.1:81', true);
  await bench.advanceTo(18_000);
  assert.deepEqual(bench.changes, [
    '2000 10.0.0.1:80 down: the TCP connection to 10.0.0.1:81 failed: connect ECONNREFUSED',
    '17000 10.0.0.1:80 up: the check succeeded',
  ]);
});

test('a check that hangs is given up by itself, and no second one is begun beside it', async () => {
  const bench = new Bench();
  bench.runner.configure([serviceOf([[check], [checkOf(80, '10.0.0.2')]])]);
  bench.answers.set('10.0.0.1:80', 'hang');
  await bench.advanceTo(30_000);
  assert.deepEqual(bench.changes, ['5000 10.0.0.1:80 down: an earlier check still has not come back']);
  assert.deepEqual(
    bench.attempts.filter((attempt) => attempt.includes('10.0.0.1:')),
    ['1000 10.0.0.1:80'],
  );
  assert.equal(bench.attempts.filter((attempt) => attempt.includes('10.0.0.2:')).length, 6);
});

test('a reload keeps the verdict of checks that stay, judges without those that go, and forgets removed servers', async () => {
  const bench = new Bench();
  const failing = checkOf(81);
  bench.runner.configure([serviceOf([[check, failing], [check]])]);
  bench.answers.set('10.0.0.1:81', false);
  await bench.advanceTo(2_500);
  bench.runner.configure([serviceOf([[{ ...failing, delayLoopMs: 60_000 }]])]);
  assert.equal(bench.runner.isAlive('tcp 192.0.2.1:80', '10.0.0.1:80'), false);
  assert.equal(bench.time.pendingCount, 1);
  bench.runner.configure([serviceOf([[check]])]);
  assert.deepEqual(bench.changes, [
    '2000 10.0.0.1:80 down: 10.0.0.1:81 did not accept a TCP connection',
    '2500 10.0.0.1:80 up: the configuration of its checks changed',
  ]);
});

test('at most 64 checks run at once, and all of them run', async () => {
  const bench = new Bench();
  const targets = Array.from({ length: 200 }, (_, i) => checkOf(1_000 + i));
  bench.runner.configure([serviceOf(targets.map((target) => [target]))]);
  await bench.advanceTo(1_000);
  while (bench.running > 0) await setImmediate();
  assert.equal(bench.runningMax, 64);
  assert.equal(new Set(bench.attempts).size, 200);
});

test('a virtual service has its quorum while one real server with a weight is alive', async () => {
  const bench = new Bench();
  const { realServers, ...service } = serviceOf([[check], []]);
  const [first, quiesced] = realServers;
  bench.runner.configure([{ ...service, realServers: [first!, { ...quiesced!, weight: 0 }] }]);
  const quorums = [bench.runner.hasQuorum('tcp 192.0.2.1:80')];
  bench.answers.set('10.0.0.1:80', false);
  await bench.advanceTo(2_000);
  quorums.push(bench.runner.hasQuorum('tcp 192.0.2.1:80'));
  bench.answers.set('10.0.0.1:80', true);
  await bench.advanceTo(7_000);
  quorums.push(bench.runner.hasQuorum('tcp 192.0.2.1:80'));
  assert.deepEqual(quorums, [true, false, true]);
});

test('stopping begins none of the checks that wait for their turn', async () => {
  const bench = new Bench();
  const targets = Array.from({ length: 100 }, (_, i) => checkOf(1_000 + i));
  for (let i = 0; i < targets.length; i += 1) bench.answers.set(`10.0.0.1:${1_000 + i}`, 'hang');
  bench.runner.configure([serviceOf(targets.map((target) => [target]))]);
  bench.time.advanceTo(1_000);
  bench.runner.stop();
  await setImmediate();
  assert.equal(bench.attempts.length, 64);
  assert.equal(bench.time.pendingCount, 0);
});

test('a real server that is listed twice is checked once', async () => {
  const bench = new Bench();
  const { realServers, ...service } = serviceOf([[check]]);
  bench.runner.configure([{ ...service, realServers: [...realServers, ...realServers] }]);
  await bench.advanceTo(1_500);
  assert.deepEqual(bench.attempts, ['1000 10.0.0.1:80']);
});

test('after stop nothing is due and nothing is reported', async () => {
  const bench = new Bench();
  bench.runner.configure([serviceOf([[check]])]);
  bench.answers.set('10.0.0.1:80', false);
  bench.time.advanceTo(1_000);
  bench.runner.stop();
  await setImmediate();
  assert.equal(bench.time.pendingCount, 0);
  assert.deepEqual(bench.changes, []);
});

test('with alpha a real server is down until its check has succeeded, and begins so without a report', async () => {
  const bench = new Bench();
  bench.runner.configure([serviceOf([[{ ...check, alpha: true }], []])]);
  assert.equal(bench.runner.isAlive('tcp 192.0.2.1:80', '10.0.0.1:80'), false);
  assert.deepEqual(bench.changes, []);
  await bench.advanceTo(1_500);
  assert.equal(bench.runner.isAlive('tcp 192.0.2.1:80', '10.0.0.1:80'), true);
  assert.deepEqual(bench.changes, ['1000 10.0.0.1:80 up: the check succeeded']);
});

test('the quorum follows the rule, and a reload keeps whether it is held', async () => {
  const bench = new Bench();
  const three = serviceOf([[check], [], []]);
  const rule = { quorum: 2, hysteresis: 1 };
  bench.runner.configure([{ ...three, ...rule }]);
  const held = [bench.runner.hasQuorum('tcp 192.0.2.1:80')];
  bench.answers.set('10.0.0.1:80', false);
  await bench.advanceTo(2_500);
  held.push(bench.runner.hasQuorum('tcp 192.0.2.1:80'));
  bench.runner.configure([{ ...three, ...rule }]);
  held.push(bench.runner.hasQuorum('tcp 192.0.2.1:80'));
  bench.runner.configure([{ ...three, quorum: 3 }]);
  held.push(bench.runner.hasQuorum('tcp 192.0.2.1:80'));
  bench.runner.configure([{ ...three, ...rule }]);
  held.push(bench.runner.hasQuorum('tcp 192.0.2.1:80'));
  assert.deepEqual(held, [true, true, true, false, false]);
});

test('the first check comes within its warmup', async () => {
  const bench = new Bench();
  const late = new HealthRunner({
    clock: bench.time,
    jitter: () => 0.5,
    connector: { connect: async () => true },
  });
  late.configure([serviceOf([[{ ...check, warmupMs: 1_000 }]])]);
  assert.equal(bench.time.nextTaskMs(), 1_500);
  late.stop();
});

test('checks that have stopped are told from those that fail, hang, or wait for their time', async () => {
  const bench = new Bench();
  bench.answers.set('10.0.0.1:80', 'hang');
  bench.runner.configure([serviceOf([[check], [checkOf(81)]])]);
  for (let i = 0; i < 100; i += 1) {
    bench.time.advanceTo(bench.time.nowMs() + 500);
    await setImmediate();
    assert.equal(bench.runner.haveStopped(bench.time.nowMs()), false);
  }
  const stopped = new HealthRunner({
    clock: { nowMs: () => 0, callAt: () => () => undefined },
    jitter: () => 0,
    connector: { connect: () => Promise.resolve(undefined) },
  } as never);
  assert.equal(stopped.haveStopped(1e9), false, 'there is nothing to check');
  stopped.configure([serviceOf([[check]])]);
  assert.equal(stopped.haveStopped(4_000), false);
  assert.equal(stopped.haveStopped(30_000), true);
  stopped.stop();
});

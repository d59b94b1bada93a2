// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Election } from '../../../src/director/election/election.ts';
import { routerStatus } from '../../../src/director/election/running-router.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { advertisementLength, emitAdvertisement } from '../../../vrrp/packet.ts';
import { activeDownIntervalMs, leaseMs } from '../../../vrrp/timers.ts';
import { assign } from '../../support/election.ts';
import { SimulatedHost, SimulatedSegment } from '../../support/simulated-segment.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';
import { defaultRouter } from '../../transcript/vrrp/lab.ts';
import { activeBench, Bench, greater, lesser } from './routers.ts';

const longestMs = 40_950;
const intervalMs = 100;
const forged = { from: greater, intervalMs: longestMs };
/** Of priority 100 at ten own intervals. */
const limitMs = activeDownIntervalMs(100, 10 * intervalMs);

function backupBench(changes: ConstructorParameters<typeof Bench>[0] = {}): Bench {
  const bench = new Bench({ intervalMs, ...changes });
  bench.start();
  return bench.at(1000);
}

describe('a long interval is adopted as far as its sender has been heard for that long', () => {
  test('one advertisement is worth ten own intervals to a backup', () => {
    const bench = backupBench();
    bench.hear(255, forged);
    assert.equal(bench.deadline, 1000 + limitMs);
    assert.deepEqual(bench.at(1000 + limitMs).timer(), ['send 100/100', 'backup to active: active-down']);
    // Its sender may be active under its own lease: it gets the time to answer before the addresses are acquired.
    assert.deepEqual(bench.sent(), []);
    assert.match(
      bench
        .at(1010 + limitMs)
        .timer()
        .join(),
      /acquire/,
    );
  });

  test('and to the active router, which steps down for it', () => {
    const bench = activeBench({ intervalMs });
    const fromMs = bench.nowMs + 50;
    assert.match(bench.at(fromMs).hear(255, forged).join(), /active to backup: outranked/);
    assert.equal(bench.deadline, fromMs + limitMs);
  });

  test('two that are sent at once are worth no more', () => {
    const bench = backupBench();
    bench.hear(255, forged);
    bench.at(1001).hear(255, forged);
    assert.equal(bench.deadline, 1001 + limitMs);
  });

  test('two whose sender was silent for too long between them are worth no more', () => {
    const bench = backupBench();
    bench.hear(255, forged);
    bench.at(1000 + limitMs).timer();
    bench.sent();
    bench.at(1010 + limitMs).timer();
    for (const atMs of [1100, 1200].map((ms) => ms + limitMs)) {
      bench.at(atMs);
      bench.feed({ kind: 'advertisementSent', sentAtMs: atMs, priority: 100, intervalMs });
    }
    bench.at(1250 + limitMs).hear(255, forged);
    assert.equal(bench.deadline, 1250 + 2 * limitMs);
  });

  test('a slow router that answers each takeover is believed more and more, up to its interval', () => {
    const bench = backupBench();
    const slow = { from: greater, intervalMs: 20_000 };
    bench.hear(200, slow);
    let takeovers = 0;
    for (let dueMs = 1000 + 20_000; bench.nowMs < 100_000; ) {
      const deadlineMs = bench.deadline ?? Number.POSITIVE_INFINITY;
      if (dueMs <= deadlineMs) {
        bench.at(dueMs).hear(200, slow);
        dueMs += 20_000;
        continue;
      }
      bench.at(deadlineMs).timer();
      takeovers += 1;
      bench.sent();
      assert.match(
        bench
          .at(deadlineMs + 2)
          .hear(200, slow)
          .join(),
        /active to backup: outranked/,
      );
    }
    assert.ok(takeovers > 0 && takeovers <= 3, `${takeovers} takeovers`);
    assert.equal(bench.deadline, bench.nowMs + activeDownIntervalMs(100, 20_000));
  });

  test('a lesser router that must not be preempted is outwaited, however long that is', () => {
    const bench = backupBench();
    bench.feed({ kind: 'gateClosed' });
    bench.hear(50, { from: lesser, intervalMs: longestMs });
    assert.equal(bench.deadline, 1000 + activeDownIntervalMs(100, longestMs));
  });

  test('a lesser claim holds a takeover up for three of the interval that is adopted at once', () => {
    const bench = new Bench({ intervalMs });
    const lesserForged = { from: lesser, intervalMs: longestMs };
    bench.start();
    bench.at(200).hear(50, lesserForged);
    bench.at(activeDownIntervalMs(100, intervalMs)).timer();
    assert.match(bench.hear(50, lesserForged).join(), /backup to active: preempting/);
    const fromMs = bench.nowMs;
    bench.sent();
    let acquiredMs = Number.POSITIVE_INFINITY;
    for (let nowMs = fromMs + 5; nowMs < fromMs + 4 * longestMs && acquiredMs > nowMs; nowMs += 5) {
      bench.at(nowMs).hear(50, lesserForged);
      const lines = bench.timer();
      if (lines.some((line) => line.startsWith('send'))) bench.sent();
      if (lines.some((line) => line.startsWith('acquire'))) acquiredMs = nowMs;
    }
    assert.equal(acquiredMs, fromMs + 10 + leaseMs(10 * intervalMs));
  });

  test('max_adopted_interval sets the limit, and never one below the own interval', () => {
    for (const [maxAdoptedIntervalMs, adoptedMs] of [
      [5000, 5000],
      [10, intervalMs],
      [60_000, longestMs],
    ] as const) {
      const bench = backupBench({ maxAdoptedIntervalMs });
      bench.hear(255, forged);
      assert.equal(bench.deadline, 1000 + activeDownIntervalMs(100, adoptedMs));
    }
  });
});

test('a pair hears one forged advertisement: somebody is active soon, and log and status name the sender', () => {
  const time = new SimulatedTime();
  const segment = new SimulatedSegment(time);
  const logged: string[] = [];
  const directors = ([150, 100] as const).map((priority, index) => {
    const host = new SimulatedHost(`director ${index}`, time);
    const port = segment.attach(host, `192.0.2.${index + 1}` as IpAddress);
    const election = new Election({
      clock: host,
      transport: port,
      addressKeeper: { add: () => {}, remove: () => {} },
      announcer: { announce: () => {} },
      leaseWriter: { grant: () => {}, revoke: () => {} },
      log: (level, sentence) => level === 'warn' && logged.push(sentence),
      onChange: () => {},
    });
    election.configure([assign({ ...defaultRouter, priority })]);
    election.setGate(true);
    return { port, election };
  });
  const states = () => directors.map(({ election }) => election.view().routers[0]?.state.kind);
  time.advanceTo(2000);
  assert.deepEqual(states(), ['active', 'backup']);
  const forgedMessage = forge();
  for (const { port } of directors) port.hear(forgedMessage);
  assert.deepEqual(states(), ['backup', 'backup']);
  const [running] = directors[1]!.election.view().routers;
  assert.deepEqual(routerStatus(running!, 2000).shortenedInterval, { advertisedMs: longestMs, adoptedMs: 1000 });
  time.advanceTo(2000 + activeDownIntervalMs(100, 1000));
  assert.deepEqual(states(), ['active', 'backup']);
  const sentence = `${greater} says that it advertises every 40.95 s; until it has done so for that long, 1 s are adopted (max_adopted_interval)`;
  assert.deepEqual(
    logged.filter((line) => line.includes('40.95')),
    [sentence, sentence],
  );
});

function forge() {
  const addresses = defaultRouter.addresses.map(({ address }) => address);
  const advertisement = { version: 3, vrid: 51, priority: 255, intervalMs: longestMs, addresses } as const;
  const endpoints = { source: greater, destination: '224.0.0.18' as IpAddress };
  const full = { ...advertisement, authenticationType: 0 };
  const message = new Uint8Array(advertisementLength(full));
  emitAdvertisement(full, endpoints, message);
  return { interface: 'eth0', ...endpoints, ttl: 255, message };
}

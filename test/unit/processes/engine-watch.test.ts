// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { engineLifeSlot } from '../../../src/model/lease.ts';
import { engineSilenceMaxMs, watchEngine } from '../../../src/processes/engine/watch.ts';
import { SimulatedHost } from '../../support/simulated-segment.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';

function bench() {
  const time = new SimulatedTime(1000);
  const host = new SimulatedHost('vrrp', time);
  const told: string[] = [];
  let aliveUntilMs = Number.POSITIVE_INFINITY;
  const tell = (what: string): void => {
    if (told.at(-1) !== what) told.push(what);
  };
  watchEngine({
    clock: host,
    leases: { validUntilMs: (slot) => (slot === engineLifeSlot ? aliveUntilMs : 0) },
    onSilent: () => tell('silent'),
    onAlive: () => tell('alive'),
  });
  return {
    time,
    host,
    told,
    signUntil: (atMs: number) => {
      aliveUntilMs = atMs;
    },
  };
}

test('an engine without a sign of life is told of, and again when it turns', () => {
  const { time, told, signUntil } = bench();
  signUntil(1500);
  time.advanceTo(1450);
  assert.deepEqual(told, []);
  time.advanceTo(1600);
  assert.deepEqual(told, ['silent']);
  signUntil(3000);
  time.advanceTo(1700);
  assert.deepEqual(told, ['silent', 'alive']);
});

test('after a pause of its own the watch gives the engine the time to sign', () => {
  const { time, host, told, signUntil } = bench();
  signUntil(1500);
  host.freeze();
  time.advanceTo(4000);
  host.thaw();
  time.advanceTo(4200);
  assert.deepEqual(told, []);
  signUntil(5000);
  time.advanceTo(4900);
  assert.deepEqual(told, []);
});

test('and no longer than that', () => {
  const { time, host, told, signUntil } = bench();
  signUntil(1500);
  host.freeze();
  time.advanceTo(4000);
  host.thaw();
  time.advanceTo(4000 + engineSilenceMaxMs + 50);
  assert.deepEqual(told, ['silent']);
});

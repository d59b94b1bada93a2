// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PauseWatch } from '../../../src/director/election/pauses.ts';
import { SimulatedHost } from '../../support/simulated-segment.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';
import { Bench, greater } from './routers.ts';

test('a pause is told before the timers that it has made late, with at most its length and a look more', () => {
  const time = new SimulatedTime();
  const host = new SimulatedHost('a', time, { latenessMs: () => 0.4 });
  const told: string[] = [];
  new PauseWatch(host, (forMs) => told.push(`${Math.round(forMs)} ms`));
  host.callAt(1400, () => told.push('a timer'));
  time.advanceTo(1225);
  host.freeze();
  time.advanceTo(1500);
  host.thaw();
  time.advanceTo(3000);
  assert.deepEqual(told, ['290 ms', 'a timer']);
});

test('a pause is told once, to the first that looks', () => {
  const time = new SimulatedTime();
  const host = new SimulatedHost('a', time);
  const told: string[] = [];
  const watch = new PauseWatch(host, (forMs) => told.push(`${forMs} ms`));
  time.advanceTo(1000);
  host.callAt(1010, () => {
    watch.look();
    told.push('a timer that was due before the look');
  });
  host.freeze();
  time.advanceTo(1300);
  host.thaw();
  time.advanceTo(2000);
  assert.deepEqual(told, ['300 ms', 'a timer that was due before the look']);
});

describe('a backup that goes on after a pause', () => {
  /** Of priority 100, at the interval of 1000 ms. */
  const downMs = 3609.375;

  function paused(forMs: number, { silentMs = 500 } = {}): Bench {
    const bench = new Bench();
    bench.start();
    bench.at(1000).hear(150, { from: greater });
    bench.at(1000 + silentMs + forMs);
    return bench;
  }

  test('listens for as long as the active router would that stood still with it', () => {
    const bench = paused(8000);
    assert.deepEqual(bench.feed({ kind: 'stoodStill', forMs: 8000 }), ['(late-timer)']);
    assert.equal(bench.deadline, 9500 + downMs);
  });

  test('then takes over, but settles', () => {
    const bench = paused(8000);
    bench.feed({ kind: 'stoodStill', forMs: 8000 });
    assert.deepEqual(bench.at(bench.deadline!).timer(), ['send 100/1000', 'backup to active: active-down']);
    assert.deepEqual(bench.sent(), []);
  });

  test('also when the timer is not due yet', () => {
    const bench = paused(2500);
    assert.deepEqual(bench.feed({ kind: 'stoodStill', forMs: 2500 }), []);
    assert.equal(bench.deadline, 4000 + downMs);
  });

  test('does not when no lease can have ended meanwhile', () => {
    const bench = paused(1900);
    bench.feed({ kind: 'stoodStill', forMs: 1900 });
    assert.equal(bench.deadline, 1000 + downMs);
  });

  test('does not when the active router was silent before, so that pause upon pause ends', () => {
    const bench = paused(3000, { silentMs: 3700 });
    assert.deepEqual(bench.feed({ kind: 'stoodStill', forMs: 3000 }), []);
    assert.equal(bench.deadline, 1000 + downMs);
  });

  test('does not when the active router has resigned', () => {
    const bench = paused(0);
    bench.hear(0, { from: greater });
    const { deadline } = bench;
    bench.at(9000).feed({ kind: 'stoodStill', forMs: 7000 });
    assert.equal(bench.deadline, deadline);
  });

  test('does not preempt because of what was due before', () => {
    const bench = new Bench({ priority: 200 });
    bench.start();
    bench.at(1000).hear(150, { from: greater });
    bench.at(2000).hear(150, { from: greater });
    bench.at(3000).hear(150, { from: greater });
    bench.at(bench.deadline!).timer();
    assert.equal(bench.state.kind === 'backup' && bench.state.preemptDue, true);
    bench.at(9000).feed({ kind: 'stoodStill', forMs: 5000 });
    assert.deepEqual(bench.hear(150, { from: greater }), []);
  });
});

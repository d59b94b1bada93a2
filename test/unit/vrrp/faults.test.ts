// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { faultReasonsMax, raiseFault } from '../../../vrrp/faults.ts';
import { activeBench, Bench, greater, virtual } from './routers.ts';

// Priority 100 at 1000 ms: active down interval 3609.375.

describe('fault reasons', () => {
  test('two, one cleared: still in fault', () => {
    const bench = activeBench();
    assert.deepEqual(bench.raise('link'), ['revoke', `release ${virtual}`, 'active to fault: fault-raised link']);
    assert.deepEqual(bench.raise('script', 'chk'), []);
    assert.deepEqual(bench.clear('link'), []);
    assert.equal(bench.state.kind, 'fault');
    assert.deepEqual(bench.clear('script', 'chk'), ['fault to backup: fault-cleared script chk']);
    assert.equal(bench.deadline, bench.nowMs + 3609.375);
  });

  test('that leave it a voice: an active router resigns, a backup says nothing', () => {
    assert.deepEqual(activeBench().raise('route'), [
      'revoke',
      `release ${virtual}`,
      'send 100/10',
      'send 0/10',
      'active to fault: fault-raised route',
    ]);
    assert.deepEqual(activeBench({ version: 2 }).raise('route').slice(2, -1), ['send 0/1000']);
    const backup = new Bench();
    backup.start();
    assert.deepEqual(backup.raise('route'), ['backup to fault: fault-raised route']);
  });

  test('that leave it none: an active router is silent', () => {
    assert.deepEqual(activeBench().raise('address').slice(2), ['active to fault: fault-raised address']);
  });

  test('of one kind with two names are two', () => {
    const bench = activeBench();
    bench.raise('script', 'a');
    bench.raise('script', 'b');
    assert.deepEqual(bench.clear('script', 'a'), []);
    assert.deepEqual(bench.clear('script', 'b'), ['fault to backup: fault-cleared script b']);
  });

  test('raised twice, cleared once', () => {
    const bench = activeBench();
    bench.raise('link');
    assert.deepEqual(bench.raise('link'), []);
    assert.deepEqual(bench.clear('link'), ['fault to backup: fault-cleared link']);
  });

  test('raised before startup count at startup', () => {
    const bench = new Bench({ priority: 255 });
    assert.deepEqual(bench.raise('link'), []);
    bench.raise('address');
    bench.clear('link');
    assert.deepEqual(bench.start(), ['initialize to fault: fault-raised address']);
    assert.deepEqual(bench.clear('address'), ['fault to backup: fault-cleared address']);
  });

  test('raised and cleared before startup do not', () => {
    const bench = new Bench();
    bench.raise('link');
    bench.clear('link');
    assert.deepEqual(bench.start(), ['initialize to backup: startup']);
  });

  test('outlast a reload and a shutdown', () => {
    const bench = activeBench();
    bench.raise('link');
    assert.deepEqual(bench.reconfigure({ priority: 120 }), []);
    assert.deepEqual(bench.feed({ kind: 'shutdown' }), ['fault to initialize: shutdown']);
    assert.deepEqual(bench.feed({ kind: 'startup' }), ['initialize to fault: fault-raised link']);
  });

  test('one that is not there is cleared without a word', () => {
    assert.deepEqual(activeBench().clear('link'), []);
  });

  test('have a bound', () => {
    const many = Array.from({ length: faultReasonsMax }, (_, i) => ({ kind: 'script', name: `${i}` }) as const);
    assert.equal(raiseFault(many, { kind: 'script', name: '0' }).length, faultReasonsMax);
    assert.throws(() => raiseFault(many, { kind: 'link' }), RangeError);
  });
});

describe('the effective priority', () => {
  const track = (bench: Bench, effectivePriority: number): string[] =>
    bench.feed({ kind: 'priorityChanged', effectivePriority });

  test('is in the next advertisement, and not in one more', () => {
    const bench = activeBench();
    const dueMs = bench.deadline;
    assert.deepEqual(track(bench, 80), []);
    assert.equal(bench.deadline, dueMs);
    assert.deepEqual(bench.at(dueMs!).timer(), ['send 80/1000']);
  });

  test('decides who yields', () => {
    const bench = activeBench();
    track(bench, 80);
    assert.equal(bench.hear(90).at(-1), 'active to backup: outranked');
  });

  test('is in the next skew time', () => {
    const bench = new Bench();
    bench.start();
    track(bench, 200);
    assert.equal(bench.deadline, 3609.375);
    bench.at(1000).hear(210, { from: greater });
    assert.equal(bench.deadline, 1000 + 3000 + ((256 - 200) * 1000) / 256);
  });

  test('lowered while a backup waits, is waited for', () => {
    const bench = new Bench();
    bench.start();
    bench.at(1000).hear(210, { from: greater });
    track(bench, 1);
    assert.deepEqual(bench.at(4609.375).timer(), []);
    assert.equal(bench.deadline, 1000 + 3000 + (255 * 1000) / 256);
  });

  test('does not end a hold, where a configured one does', () => {
    const bench = activeBench();
    bench.feed({ kind: 'handoverRequested' });
    track(bench, 150);
    assert.equal(bench.state.heldOff, true);
    bench.at(bench.nowMs + 100).hear(120);
    assert.equal(bench.deadline, bench.nowMs + 3000 + ((256 - 150) * 1000) / 256, 'obeyed, though it is lower');
    bench.reconfigure({ priority: 150 });
    assert.equal(bench.state.heldOff, false);
  });

  test('a reload that leaves the configured priority does not end a hold either', () => {
    const bench = activeBench();
    bench.feed({ kind: 'handoverRequested' });
    const { router, primaryAddress } = bench.state;
    bench.feed({ kind: 'configurationChanged', router, primaryAddress, effectivePriority: 50 });
    assert.deepEqual([bench.state.heldOff, bench.state.effectivePriority], [true, 50]);
  });

  test('stays within 1..254, and that of the owner at 255', () => {
    const effective = (bench: Bench, wanted: number): number => {
      track(bench, wanted);
      return bench.state.effectivePriority;
    };
    assert.deepEqual([effective(new Bench(), -50), effective(new Bench(), 300)], [1, 254]);
    assert.equal(effective(new Bench({ priority: 255 }), 205), 255);
  });
});

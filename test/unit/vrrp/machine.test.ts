// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { becomeActive, becomeBackup, becomeFault } from '../../../vrrp/transitions.ts';
import { activeBench, Bench, greater, lesser, own, virtual } from './routers.ts';

// Priority 100 at 1000 ms: skew 609.375, active down interval 3609.375.

describe('startup', () => {
  const table: readonly [string, ConstructorParameters<typeof Bench>[0], boolean, string[], number | undefined][] = [
    ['as a backup', {}, true, ['initialize to backup: startup'], 3609.375],
    ['state MASTER waits one interval', { startAs: 'active' }, true, ['initialize to backup: startup'], 1609.375],
    ['state MASTER behind a closed gate', { startAs: 'active' }, false, ['initialize to backup: startup'], 3609.375],
    ['the owner', { priority: 255 }, true, ['send 255/1000', 'initialize to active: owner'], 10 / 3],
    ['the owner behind a closed gate', { priority: 255 }, false, ['initialize to backup: startup'], 3003.90625],
  ];
  for (const [name, changes, gate, actions, deadline] of table) {
    test(name, () => {
      const bench = new Bench(changes);
      assert.deepEqual(bench.start({ gate }), actions);
      assert.equal(bench.deadline, deadline);
    });
  }

  test('without a link it is in fault until the link comes', () => {
    const bench = new Bench();
    assert.deepEqual(bench.raise('link'), []);
    assert.deepEqual(bench.feed({ kind: 'startup' }), ['initialize to fault: fault-raised link']);
    assert.equal(bench.deadline, undefined);
    assert.deepEqual(bench.hear(50), []);
    assert.deepEqual(bench.at(500).clear('link'), ['fault to backup: fault-cleared link']);
    assert.equal(bench.deadline, 4109.375);
  });
});

describe('backup', () => {
  const table: readonly [string, ConstructorParameters<typeof Bench>[0], boolean, number, number, number][] = [
    // name, configuration, gate, heard priority, heard interval, deadline after hearing it at 1000
    ['a higher priority is obeyed', {}, true, 150, 1000, 4609.375],
    ['an equal priority is obeyed', {}, true, 100, 1000, 4609.375],
    ['the advertised interval is adopted', {}, true, 150, 100, 1360.9375],
    ['version 2 keeps its own interval', { version: 2 }, true, 150, 1000, 4609.375],
    ['a lower priority is ignored', {}, true, 50, 1000, 3609.375],
    ['a lower priority is obeyed with nopreempt', { preempt: false }, true, 50, 1000, 4609.375],
    ['a lower priority is obeyed behind a closed gate', {}, false, 50, 1000, 4609.375],
    ['a lower priority is obeyed during the preempt delay', { preemptDelayMs: 5000 }, true, 50, 1000, 4609.375],
    ['the owner ignores it even with nopreempt', { priority: 255, preempt: false }, true, 50, 1000, 3003.90625],
    ['priority 0 leaves the skew time', {}, true, 0, 1000, 1609.375],
    ["priority 0 with a small interval leaves that one's skew time", {}, true, 0, 10, 1006.09375],
  ];
  for (const [name, changes, gate, priority, intervalMs, deadline] of table) {
    test(name, () => {
      const bench = new Bench(changes);
      bench.start({ gate: gate && changes?.priority !== 255 });
      if (gate) bench.feed({ kind: 'gateOpened' });
      bench.at(1000).hear(priority, { intervalMs });
      assert.equal(bench.deadline, deadline);
    });
  }

  test('the preempt delay runs from the first lower advertisement and ends in a preemption', () => {
    const bench = new Bench({ preemptDelayMs: 2500 });
    bench.start();
    assert.deepEqual(bench.at(1000).hear(50), ['(preempt-delayed)']);
    assert.deepEqual(bench.at(2000).hear(50), []);
    assert.deepEqual(bench.at(3000).hear(50), []);
    assert.equal(bench.deadline, 6609.375);
    bench.at(4000).hear(50);
    assert.equal(bench.deadline, 6609.375);
    bench.at(6000).hear(50);
    assert.deepEqual(bench.at(6609.375).timer(), []);
    assert.deepEqual(bench.at(7000).hear(50), ['send 100/1000', 'backup to active: preempting']);
  });

  test('a better active router ends the preempt delay', () => {
    const bench = new Bench({ preemptDelayMs: 2500 });
    bench.start();
    bench.at(1000).hear(50);
    bench.at(3000).hear(150, { from: greater });
    bench.at(4000);
    assert.deepEqual(bench.hear(50), ['(preempt-delayed)']);
    assert.equal(bench.deadline, 7609.375);
  });

  test('a resignation counts only from the router that is active', () => {
    const bench = new Bench();
    bench.start();
    bench.at(1000).hear(150, { from: greater });
    assert.deepEqual(bench.at(1100).hear(0, { from: lesser }), ['(rival-ignored)']);
    assert.equal(bench.deadline, 4609.375);
    assert.deepEqual(bench.hear(0, { from: greater }), []);
    assert.equal(bench.deadline, 1709.375);
    assert.deepEqual(bench.at(1709.375).timer(), ['send 100/1000', 'backup to active: active-resigned']);
  });

  test('a gate that closes while the timer of a preemption runs stops the preemption', () => {
    const bench = new Bench();
    bench.start();
    for (const atMs of [1000, 2000, 3000]) bench.at(atMs).hear(50);
    bench.feed({ kind: 'gateClosed' });
    assert.deepEqual(bench.at(3609.375).timer(), []);
    assert.equal(bench.deadline, 6609.375);
  });

  test('behind a closed gate it takes over all the same when nobody is alive', () => {
    const bench = new Bench();
    bench.start({ gate: false });
    bench.at(1000).hear(150);
    assert.deepEqual(bench.at(4609.375).timer(), ['send 100/1000', 'backup to active: active-down']);
    assert.deepEqual(bench.sent(), [
      'grant 7609.375',
      `acquire ${virtual}`,
      `announce ${virtual} ${virtual}`,
      '(acquired)',
    ]);
  });

  test('a timer that fires late waits for what lies unread', () => {
    const bench = new Bench();
    bench.start();
    bench.at(1000).hear(150);
    assert.deepEqual(bench.at(9000).timer(), ['(late-timer)']);
    assert.equal(bench.deadline, 9008.09375);
    bench.hear(150);
    assert.equal(bench.deadline, 12609.375);
  });

  test('and takes over when there was nothing', () => {
    const bench = new Bench();
    bench.start();
    bench.at(1000).hear(150);
    bench.at(9000).timer();
    assert.deepEqual(bench.at(9020).timer(), ['send 100/1000', 'backup to active: active-down']);
  });

  test('shutdown sends nothing', () => {
    const bench = new Bench();
    bench.start();
    assert.deepEqual(bench.feed({ kind: 'shutdown' }), ['backup to initialize: shutdown']);
    assert.equal(bench.deadline, undefined);
  });
});

describe('a backup whose preemption was due when it stood still', () => {
  function dueToPreempt(): Bench {
    const bench = new Bench();
    bench.start();
    for (const atMs of [1000, 2000, 3000]) bench.at(atMs).hear(50);
    assert.deepEqual(bench.at(3609.375).timer(), []);
    return bench;
  }

  test('does not take an advertisement that has waited in its socket for a sign that its sender is awake', () => {
    const bench = dueToPreempt();
    // The first advertisement was sent in time and is read late, before any timer.
    assert.deepEqual(bench.at(9000).hear(50), []);
    assert.deepEqual(bench.hear(50), []);
    assert.equal(bench.deadline, 9002);
  });

  test('preempts with the next advertisement, when the gate is still open by then', () => {
    const bench = dueToPreempt();
    bench.at(9000).hear(50);
    assert.deepEqual(bench.at(9002).timer(), []);
    assert.deepEqual(bench.at(9900).hear(50), ['send 100/1000', 'backup to active: preempting']);
  });

  test('does not preempt when sync has closed the gate meanwhile', () => {
    const bench = dueToPreempt();
    bench.at(9000).hear(50);
    bench.feed({ kind: 'gateClosed' });
    assert.deepEqual(bench.at(9002).timer(), []);
    assert.deepEqual(bench.at(9900).hear(50), []);
  });
});

describe('a backup that has heard more than one active router', () => {
  /** A slow active router, and a fast rival of it that has yielded without a word. */
  function afterRival(): Bench {
    const bench = new Bench({ priority: 50 });
    bench.start();
    bench.at(1000).hear(200, { from: greater });
    bench.at(1100).hear(100, { intervalMs: 10 });
    return bench;
  }

  test('settles when it takes over at the pace of the rival', () => {
    const bench = afterRival();
    assert.ok(bench.deadline! < 1140);
    bench.at(bench.deadline!).timer();
    assert.deepEqual(bench.sent(), []);
    assert.deepEqual(bench.hear(200, { from: greater }), ['revoke', 'active to backup: outranked']);
  });

  test('takes over at once when the slow one is silent for its own active down interval', () => {
    const bench = afterRival();
    for (let atMs = 1110; atMs <= 5000; atMs += 10) bench.at(atMs).hear(100, { intervalMs: 10 });
    bench.at(bench.deadline!).timer();
    assert.equal(bench.sent().at(-1), '(acquired)');
  });

  test('takes the resignation of the lesser one for what makes way for the better one', () => {
    const bench = new Bench({ version: 2, priority: 50 });
    bench.start();
    bench.at(1000).hear(100);
    // The better one preempts; an advertisement that the lesser one has sent before is read after that.
    bench.at(2001).hear(200, { from: greater });
    bench.at(2002).hear(100);
    assert.deepEqual(bench.at(2003).hear(0), ['(rival-ignored)']);
    assert.equal(bench.deadline, 2001 + 3000 + (206 / 256) * 1000);
    assert.deepEqual(bench.at(2100).hear(0, { from: greater }), []);
    assert.equal(bench.deadline, 2100 + (206 / 256) * 1000);
  });

  test('but not when the other one has fallen silent, or is the lesser one', () => {
    const bench = new Bench({ priority: 50 });
    bench.start();
    bench.at(1000).hear(200, { from: greater });
    for (const atMs of [2000, 3000, 4000, 5000]) bench.at(atMs).hear(100);
    assert.deepEqual(bench.hear(0), []);
    assert.equal(bench.deadline, 5000 + (206 / 256) * 1000);
    const preempted = new Bench({ priority: 50 });
    preempted.start();
    preempted.at(1000).hear(100);
    preempted.at(1100).hear(200, { from: greater });
    for (const copy of ['first', 'second']) {
      assert.deepEqual(preempted.at(1200).hear(0, { from: greater }), [], copy);
      assert.equal(preempted.deadline, 1200 + (206 / 256) * 1000);
    }
  });

  test('settles when it stood still and its socket was full of old advertisements', () => {
    const bench = new Bench();
    bench.start();
    bench.at(1000).hear(200, { from: greater, intervalMs: 10 });
    assert.deepEqual(bench.at(3000).timer(), ['(late-timer)']);
    bench.hear(200, { from: greater, intervalMs: 10 });
    bench.at(bench.deadline!).timer();
    assert.deepEqual(bench.sent(), []);
  });
});

describe('preemption', () => {
  function preempting(changes: ConstructorParameters<typeof Bench>[0] = {}): Bench {
    const bench = new Bench(changes);
    bench.start();
    for (const atMs of [1000, 2000, 3000]) assert.deepEqual(bench.at(atMs).hear(50), []);
    assert.deepEqual(bench.at(3609.375).timer(), []);
    assert.deepEqual(bench.at(4000).hear(50), ['send 100/1000', 'backup to active: preempting']);
    assert.deepEqual(bench.sent(), []);
    return bench;
  }

  test('acquires after the settle time, with two more advertisements on the way', () => {
    const bench = preempting();
    assert.deepEqual(bench.at(bench.deadline!).timer(), ['send 100/1000']);
    assert.deepEqual(bench.at(bench.deadline!).timer(), ['send 100/1000']);
    assert.ok(bench.nowMs < 4008);
    assert.equal(bench.deadline, 4010);
    assert.deepEqual(bench.at(4010).timer(), [
      'grant 7000',
      `acquire ${virtual}`,
      `announce ${virtual} ${virtual}`,
      '(acquired)',
    ]);
  });

  test('acquires at once when the other one resigns', () => {
    const bench = preempting();
    assert.deepEqual(bench.at(4002).hear(0), [
      'send 100/1000',
      'grant 7000',
      `acquire ${virtual}`,
      `announce ${virtual} ${virtual}`,
      '(acquired)',
    ]);
  });

  test('goes back without ever having acquired when a better one speaks', () => {
    const bench = preempting();
    assert.deepEqual(bench.at(4002).hear(150, { from: greater }), ['revoke', 'active to backup: outranked']);
  });

  test('waits on while the other one has not stepped down, but not for ever', () => {
    const bench = preempting();
    assert.deepEqual(bench.at(4006).hear(50), ['send 100/1000', '(settling-extended)']);
    while (bench.deadline! < 4016) assert.ok(!bench.at(bench.deadline!).timer().includes('(acquired)'));
    assert.equal(bench.deadline, 4016);
    for (let atMs = 4011; atMs < 7000; atMs += 5) {
      assert.deepEqual(bench.at(atMs).hear(50).at(-1), '(settling-extended)');
      bench.sent();
    }
    assert.deepEqual(bench.at(7010).timer().at(-1), '(acquired)');
  });

  test('an advertisement from before a pause does not bring a preemption that was due', () => {
    const bench = new Bench();
    bench.start();
    for (const atMs of [1000, 2000, 3000]) bench.at(atMs).hear(50);
    bench.at(bench.deadline!).timer();
    bench.at(9000).timer();
    assert.deepEqual(bench.hear(50), []);
    assert.equal(bench.state.kind, 'backup');
  });

  test('a rival that has just fallen silent is not preempted but outwaited', () => {
    const bench = new Bench();
    bench.start();
    for (const atMs of [1000, 2000, 3000]) bench.at(atMs).hear(50);
    bench.at(3609.375).timer();
    assert.equal(bench.deadline, 6609.375);
    assert.deepEqual(bench.at(6609.375).timer(), ['send 100/1000', 'backup to active: active-down']);
  });

  test('a better router that appears in between ends it', () => {
    const bench = new Bench();
    bench.start();
    for (const atMs of [1000, 2000, 3000]) bench.at(atMs).hear(50);
    bench.at(3609.375).timer();
    bench.at(3700).hear(150);
    assert.deepEqual(bench.at(4000).hear(50), []);
  });

  test('yields to anybody while nothing of it gets out', () => {
    const bench = new Bench();
    bench.start();
    bench.at(3609.375).timer();
    assert.deepEqual(bench.at(3625).hear(50), ['revoke', 'active to backup: cannot-advertise']);
  });

  test('acquires nothing before an advertisement has left, and settles from then', () => {
    const bench = new Bench();
    bench.start();
    bench.at(3609.375).timer();
    assert.deepEqual(bench.at(3625).timer(), ['send 100/1000']);
    assert.deepEqual(bench.at(3626).sent(100, 1000, 3625), []);
    while (bench.deadline! < 3635) assert.deepEqual(bench.at(bench.deadline!).timer(), ['send 100/1000']);
    assert.deepEqual(bench.at(3635).timer(), [
      'grant 6625',
      `acquire ${virtual}`,
      `announce ${virtual} ${virtual}`,
      '(acquired)',
    ]);
  });
});

describe('active', () => {
  test('advertises on a fixed cadence, without a burst after a pause', () => {
    const bench = activeBench();
    const beganMs = bench.nowMs;
    assert.deepEqual(bench.at(beganMs + 1003).timer(), ['send 100/1000']);
    bench.sent();
    assert.equal(bench.deadline, beganMs + 2000);
    assert.deepEqual(bench.at(beganMs + 3900).timer(), ['send 100/1000']);
    bench.sent();
    assert.equal(bench.deadline, beganMs + 4900);
  });

  test('each advertisement that has left extends the lease, counted from when it was handed over', () => {
    const bench = activeBench();
    const beganMs = bench.nowMs;
    bench.at(beganMs + 1000).timer();
    assert.deepEqual(bench.at(beganMs + 1400).sent(100, 1000, beganMs + 1000), [`grant ${beganMs + 4000}`]);
    assert.deepEqual(bench.sent(100, 1000, beganMs + 500), [], 'an older one after a newer');
    assert.deepEqual(bench.sent(0, 10), [], 'a resignation');
    assert.deepEqual(bench.sent(100, 1000, beganMs - 1), [], 'one from before');
  });

  test('a lapsed router says nothing, whatever wakes it', () => {
    const lapse = ['revoke', `release ${virtual}`, 'active to backup: lease-expired'];
    const wakers: readonly [string, (bench: Bench) => string[]][] = [
      ['timer', (bench) => bench.timer()],
      ['a losing advertisement', (bench) => bench.hear(50)],
      ['priority 0', (bench) => bench.hear(0)],
      ['a stale confirmation', (bench) => bench.sent(100, 1000, bench.nowMs - 9000)],
      ['a fresh confirmation', (bench) => bench.sent()],
      ['handover', (bench) => bench.feed({ kind: 'handoverRequested' })],
      ['reload', (bench) => bench.reconfigure({ priority: 99 })],
    ];
    for (const [name, wake] of wakers) {
      const bench = activeBench();
      assert.deepEqual(wake(bench.at(bench.nowMs + 3000)), lapse, name);
    }
    const stopped = activeBench();
    assert.deepEqual(stopped.at(stopped.nowMs + 3000).feed({ kind: 'shutdown' }), [
      ...lapse,
      'backup to initialize: shutdown',
    ]);
  });

  test('an instant before, it is not lapsed', () => {
    const bench = activeBench();
    assert.deepEqual(bench.at(bench.nowMs + 2999).timer(), ['send 100/1000']);
  });

  test('a confirmation that comes after a freeze earns no lease', () => {
    const bench = activeBench();
    const beganMs = bench.nowMs;
    bench.at(beganMs + 1000).timer();
    assert.deepEqual(bench.at(beganMs + 2999).sent(100, 1000, beganMs - 100), []);
  });

  const rivals: readonly [string, number, IpAddress, string[]][] = [
    [
      'a higher priority wins',
      101,
      lesser,
      ['revoke', `release ${virtual}`, 'send 0/1000', 'active to backup: outranked'],
    ],
    [
      'equal, greater address wins',
      100,
      greater,
      ['revoke', `release ${virtual}`, 'send 0/1000', 'active to backup: outranked'],
    ],
    [
      'equal, lesser address loses',
      100,
      lesser,
      ['send 100/1000', `announce ${virtual} ${virtual}`, '(rival-answered)'],
    ],
    ['a lower priority loses', 99, greater, ['send 100/1000', `announce ${virtual} ${virtual}`, '(rival-answered)']],
    ['a resignation is answered', 0, greater, ['send 100/1000', `announce ${virtual} ${virtual}`]],
  ];
  for (const [name, priority, from, actions] of rivals) {
    test(name, () => assert.deepEqual(activeBench().hear(priority, { from }), actions));
  }

  test('addresses compare as unsigned bytes', () => {
    const low = 'fe80::7f' as IpAddress;
    const high = 'fe80::80' as IpAddress;
    const bench = activeBench({ primaryAddress: low });
    assert.equal(bench.hear(100, { from: high }).at(-1), 'active to backup: outranked');
    assert.equal(activeBench({ primaryAddress: high }).hear(100, { from: low }).at(-1), '(rival-answered)');
  });

  test('version 2 does not answer, but announces', () => {
    assert.deepEqual(activeBench({ version: 2 }).hear(99), [`announce ${virtual} ${virtual}`, '(rival-ignored)']);
  });

  test('stepping down adopts the interval of the winner', () => {
    const bench = activeBench();
    bench.hear(200, { intervalMs: 100 });
    assert.equal(bench.deadline, bench.nowMs + 360.9375);
  });

  test('handover: the lease goes first, then the addresses, then two farewells', () => {
    const bench = activeBench();
    assert.deepEqual(bench.feed({ kind: 'handoverRequested' }), [
      'revoke',
      `release ${virtual}`,
      'send 100/10',
      'send 0/10',
      'active to backup: handover',
    ]);
    // Held off: it obeys the router that took over, though that has a lower priority, until it is released.
    bench.at(bench.nowMs + 100).hear(50);
    assert.equal(bench.deadline, bench.nowMs + 3609.375);
    bench.feed({ kind: 'holdReleased' });
    const dueMs = bench.deadline;
    bench.at(bench.nowMs + 1000).hear(50);
    assert.equal(bench.deadline, dueMs);
  });

  test('handover in version 2 sends priority 0 alone', () => {
    assert.deepEqual(activeBench({ version: 2 }).feed({ kind: 'handoverRequested' }).slice(2), [
      'send 0/1000',
      'active to backup: handover',
    ]);
  });

  test('shutdown resigns alike', () => {
    assert.deepEqual(activeBench().feed({ kind: 'shutdown' }), [
      'revoke',
      `release ${virtual}`,
      'send 100/10',
      'send 0/10',
      'active to initialize: shutdown',
    ]);
  });

  test('a link that goes down takes the lease with it, in silence', () => {
    assert.deepEqual(activeBench().raise('link'), [
      'revoke',
      `release ${virtual}`,
      'active to fault: fault-raised link',
    ]);
  });
});

describe('announcements', () => {
  const second = '198.51.100.11' as IpAddress;

  test('a set at once, a second after the delay, refreshes after that', () => {
    const announcement = { repeat: 2, delayMs: 1500, refreshMs: 2000, refreshRepeat: 1, intervalMs: 0 };
    const bench = activeBench({ announcement });
    const beganMs = bench.nowMs;
    const announced: string[] = [];
    while (bench.nowMs < beganMs + 6000) {
      bench.at(bench.deadline!);
      const actions = bench.timer();
      if (actions.includes('send 100/1000')) bench.sent();
      for (const action of actions)
        if (action.startsWith('announce')) announced.push(`${bench.nowMs - beganMs} ${action}`);
    }
    assert.deepEqual(announced, [
      `1500 announce ${virtual} ${virtual}`,
      `3500 announce ${virtual}`,
      `5500 announce ${virtual}`,
    ]);
  });

  test('with an interval they go out one by one', () => {
    const announcement = { repeat: 2, delayMs: 0, refreshMs: 0, refreshRepeat: 1, intervalMs: 20 };
    const bench = activeBench({ announcement, addresses: [virtual, second] });
    const beganMs = bench.nowMs;
    assert.deepEqual(bench.at(beganMs + 20).timer(), [`announce ${second}`]);
    assert.deepEqual(bench.at(beganMs + 40).timer(), [`announce ${virtual}`]);
    assert.deepEqual(bench.at(beganMs + 60).timer(), [`announce ${second}`]);
    assert.equal(bench.deadline, beganMs + 1000);
  });
});

describe('reload', () => {
  test('addresses come and go in place, the rest is told at once', () => {
    const added = '198.51.100.20' as IpAddress;
    const bench = activeBench();
    assert.deepEqual(bench.reconfigure({ priority: 120, intervalMs: 500, addresses: [added] }), [
      'send 120/500',
      `release ${virtual}`,
      `acquire ${added}`,
      `announce ${added} ${added}`,
    ]);
    assert.equal(bench.deadline, bench.nowMs + 500);
  });

  test('a longer interval does not stretch the lease before the backups can know it', () => {
    const bench = activeBench();
    bench.reconfigure({ intervalMs: 5000 });
    assert.deepEqual(bench.sent(), [`grant ${bench.nowMs + 3000}`]);
    assert.equal(bench.deadline, bench.nowMs + 1000);
    bench.at(bench.nowMs + 1000).timer();
    assert.deepEqual(bench.sent(), [`grant ${bench.nowMs + 15000}`]);
  });

  test('nothing that matters changed: nothing is said', () => {
    const bench = activeBench();
    assert.deepEqual(bench.reconfigure({ preempt: false }), []);
  });

  test('a priority set anew ends a hold', () => {
    const bench = activeBench();
    bench.feed({ kind: 'handoverRequested' });
    bench.reconfigure({});
    assert.equal(bench.state.heldOff, true);
    bench.reconfigure({ priority: 101 });
    assert.equal(bench.state.heldOff, false);
  });
});

test('impossible transitions are refused', () => {
  const active = activeBench().state;
  const backup = becomeBackup(active, 0, 'outranked').state;
  const fault = becomeFault(backup, 0, { kind: 'link' }).state;
  assert.equal(active.primaryAddress, own);
  assert.throws(() => becomeActive(active, 0, 'active-down'), /cannot go from active to active/);
  assert.throws(() => becomeBackup(backup, 0, 'startup'), /cannot go from backup to backup/);
  assert.throws(() => becomeActive(fault, 0, 'active-down'), /cannot go from fault to active/);
});

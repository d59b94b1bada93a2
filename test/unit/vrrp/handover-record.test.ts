// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Election } from '../../../src/director/election/election.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { emitHandoverRecord, parseHandoverRecord } from '../../../src/succession/handover-record.ts';
import { handoverRecordOf } from '../../../vrrp/handover-record.ts';
import type { HandoverRecord } from '../../../vrrp/state.ts';
import { assign, type FlatRouter, factsOf } from '../../support/election.ts';
import { SimulatedHost, SimulatedSegment } from '../../support/simulated-segment.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';
import { defaultRouter } from '../../transcript/vrrp/lab.ts';
import { activeBench, Bench, greater, lesser, type Setting, virtual } from './routers.ts';

/** A machine that goes on from the handover record of another one, over plain text. */
function successor(handed: HandoverRecord | undefined, nowMs: number, changes: Partial<Setting> = {}) {
  const bench = new Bench(changes).at(nowMs);
  const record = JSON.parse(JSON.stringify(handed)) as HandoverRecord;
  return { bench, actions: bench.feed({ kind: 'succession', record }) };
}

describe('a virtual router in a further process', () => {
  test('goes on as active: advertises at once, under the lease that it finds', () => {
    const predecessor = activeBench();
    const { sinceMs } = predecessor.state;
    predecessor.at(predecessor.nowMs + 700);
    const nowMs = predecessor.nowMs;
    const { bench, actions } = successor(handoverRecordOf(predecessor.state), nowMs);
    assert.deepEqual(actions, [
      'send 100/1000',
      `grant ${nowMs - 700 + 3000}`,
      `acquire ${virtual}`,
      `announce ${virtual} ${virtual}`,
      'initialize to active: succession',
    ]);
    assert.equal(bench.state.sinceMs, sinceMs);
    assert.equal(bench.deadline, nowMs + 1000);
    // Neither the gate nor a settle time is waited for: the advertisement that leaves extends the lease.
    assert.deepEqual(bench.at(nowMs + 1).sent(100, 1000, nowMs), [`grant ${nowMs + 3000}`]);
  });

  test('whose lease has run out waits as backup, and holds nothing', () => {
    const predecessor = activeBench();
    const { bench, actions } = successor(handoverRecordOf(predecessor.state), predecessor.nowMs + 3000);
    assert.deepEqual(actions, ['revoke', `release ${virtual}`, 'initialize to backup: lease-expired']);
    assert.equal(bench.deadline, predecessor.nowMs + 3000 + 3609.375);
  });

  test('takes no lease longer than an advertisement can have earned', () => {
    const predecessor = activeBench();
    const record = { ...handoverRecordOf(predecessor.state), leaseUntilMs: 1e12 } as HandoverRecord;
    const { actions } = successor(record, predecessor.nowMs);
    assert.equal(actions[1], `grant ${predecessor.nowMs + 3000}`);
  });

  test('settles to the end before it acquires', () => {
    const predecessor = new Bench();
    predecessor.start();
    const deadline = predecessor.deadline!;
    predecessor.at(deadline).timer();
    predecessor.sent();
    assert.ok(predecessor.state.kind === 'active' && !predecessor.state.holding);
    const { bench, actions } = successor(handoverRecordOf(predecessor.state), deadline + 4);
    assert.deepEqual(actions, ['send 100/1000', 'initialize to active: succession']);
    assert.deepEqual(bench.sent(), []);
    assert.deepEqual(
      bench
        .at(deadline + 10)
        .timer()
        .slice(-4),
      [`grant ${deadline + 4 + 3000}`, `acquire ${virtual}`, `announce ${virtual} ${virtual}`, '(acquired)'],
    );
  });

  test('goes on as backup: waits for the active router no longer than before, and knows it', () => {
    const predecessor = new Bench();
    predecessor.start();
    predecessor.at(1000).hear(150, { from: greater, intervalMs: 100 });
    const { bench, actions } = successor(handoverRecordOf(predecessor.state), 1100);
    assert.deepEqual(actions, ['initialize to backup: succession']);
    assert.equal(bench.deadline, 1000 + 360.9375);
    assert.deepEqual(bench.at(1360.9375).timer(), ['send 100/1000', 'backup to active: active-down']);
  });

  test('keeps a hold and a preempt delay', () => {
    const predecessor = new Bench({ preemptDelayMs: 5000 });
    predecessor.start();
    predecessor.at(1000).hear(50, { from: lesser });
    const held = { ...predecessor.state, heldOff: true } as Bench['state'];
    const { bench } = successor(handoverRecordOf(held), 2000, { preemptDelayMs: 5000 });
    assert.ok(bench.state.kind === 'backup' && bench.state.heldOff);
    assert.equal(bench.state.preemptDelayUntilMs, 6000);
  });

  test('has nothing to go on from where there was no election', () => {
    const bench = new Bench();
    assert.equal(handoverRecordOf(bench.state), undefined);
    bench.raise('link');
    bench.feed({ kind: 'startup' });
    assert.equal(handoverRecordOf(bench.state), undefined);
  });
});

/** Two processes of one host on a segment, one after the other. */
class Host {
  readonly time = new SimulatedTime();
  readonly segment = new SimulatedSegment(this.time);
  readonly calls: string[] = [];
  readonly sent: string[] = [];

  constructor() {
    this.segment.onSend = (from, message) => this.sent.push(`${from} ${message[2]}`);
  }

  elect(name: string) {
    const host = new SimulatedHost(name, this.time);
    const port = this.segment.attach(host, '192.0.2.1' as IpAddress);
    const call = (text: string): void => void this.calls.push(`${name} ${text}`);
    const election = new Election({
      clock: host,
      transport: port,
      addressKeeper: {
        add: (address, length, place) => call(`add ${address}/${length} ${place}`),
        remove: (address, length, place) => call(`remove ${address}/${length} ${place}`),
      },
      announcer: { announce: (address) => call(`announce ${address}`) },
      leaseWriter: {
        grant: (slot, untilMs) => call(`grant ${slot} ${untilMs.toFixed(1)}`),
        revoke: (slot) => call(`revoke ${slot}`),
      },
      log: () => {},
      onChange: () => {},
    });
    return { host, port, election };
  }

  /** `old` is active and holds at 1000 ms. */
  active(routers: readonly FlatRouter[] = [defaultRouter]) {
    const old = this.elect('old');
    old.election.configure(routers.map(assign));
    this.time.advanceTo(1000);
    this.calls.length = 0;
    this.sent.length = 0;
    return old;
  }

  /** From `old` to `new` at this moment, then the reload. */
  succeed(old: ReturnType<Host['elect']>, routers: readonly FlatRouter[]) {
    const next = this.elect('new');
    const parsed = parseHandoverRecord(emitHandoverRecord(old.election.handoverRecord()));
    assert.ok(parsed.ok);
    old.election.fallSilent();
    next.election.continueFrom(parsed.value);
    next.election.configure(routers.map(assign));
    return next;
  }
}

describe('an election in a further process', () => {
  test('holds what was held, and the predecessor says and touches nothing more', () => {
    const run = new Host();
    const old = run.active();
    const next = run.succeed(old, [defaultRouter]);
    assert.deepEqual(run.calls, [
      'new grant 0 1267.6',
      'new add 192.0.2.254/24 eth0',
      'new announce 198.51.100.10',
      'new announce 192.0.2.254',
    ]);
    run.time.advanceTo(1250);
    assert.deepEqual(run.sent, ['new 100', 'new 100', 'new 100']);
    assert.deepEqual(run.calls.slice(4), ['new grant 0 1300.0', 'new grant 0 1400.0', 'new grant 0 1500.0']);
    assert.equal(old.host.timersArmed, 0);
    assert.equal(factsOf(next.election)[0]?.state, 'active');
  });

  test('an advertisement of the predecessor that leaves late earns nothing', () => {
    const run = new Host();
    const old = run.active();
    run.time.advanceTo(1067);
    const timer = run.time.runUntil(() => run.sent.length > 0);
    assert.ok(timer);
    run.succeed(old, [defaultRouter]);
    run.calls.length = 0;
    run.time.advanceBy(5);
    assert.deepEqual(
      run.calls.filter((call) => call.startsWith('old')),
      [],
    );
  });

  test('a configuration that has changed is a reload; what is gone resigns', () => {
    const second = {
      ...defaultRouter,
      name: 'mail',
      vrid: 52,
      leaseSlot: 1,
      addresses: defaultRouter.addresses.slice(1),
    };
    const run = new Host();
    const old = run.active([defaultRouter, second]);
    const [served] = defaultRouter.addresses;
    assert.ok(served);
    run.succeed(old, [{ ...defaultRouter, priority: 120, addresses: [served] }]);
    assert.deepEqual(run.calls.slice(-3), [
      'new revoke 1',
      'new remove 192.0.2.254/24 eth0',
      'new remove 192.0.2.254/24 eth0',
    ]);
    assert.deepEqual(run.sent, ['new 100', 'new 100', 'new 100', 'new 0', 'new 120']);
  });

  test('without a link it gives all up and stands in fault', () => {
    const run = new Host();
    const old = run.active();
    const next = run.elect('new');
    next.port.openError = new Error('interface eth0 has no IPv4 address');
    next.election.continueFrom(old.election.handoverRecord());
    assert.deepEqual(run.calls, ['new revoke 0', 'new remove 198.51.100.10/32 eth0', 'new remove 192.0.2.254/24 eth0']);
    assert.equal(factsOf(next.election)[0]?.state, 'fault');
  });

  test('its handover record survives being written down', () => {
    const full: FlatRouter = {
      ...defaultRouter,
      sourceAddress: '192.0.2.1' as IpAddress,
      unicastPeers: [{ address: '192.0.2.2' as IpAddress, minTtl: 254, maxTtl: 255 }],
      checksumForm: 'message-only',
      addresses: [
        {
          address: '192.0.2.254' as IpAddress,
          prefixLength: 24,
          interface: 'eth0',
          install: true,
          broadcast: '192.0.2.255' as IpAddress,
          scope: 253,
          label: 'eth0:v',
        },
      ],
    };
    const run = new Host();
    const record = run.active([full]).election.handoverRecord();
    const parsed = parseHandoverRecord(emitHandoverRecord(record));
    assert.deepEqual(parsed, { ok: true, value: record });
    const { leaseSlot, ...router } = full;
    const addresses = full.addresses.map(({ install, ...address }) => address);
    assert.deepEqual(
      record.routers.map(({ assignment }) => assignment),
      [{ router: { ...router, addresses }, leaseSlot, installed: new Set(['192.0.2.254']) }],
    );
    assert.deepEqual(assign(full), record.routers[0]?.assignment);
  });
});

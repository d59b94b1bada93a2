// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Election } from '../../../src/director/election/election.ts';
import type { TrackedObject, Verdict } from '../../../src/director/election/tracking/tracked-object.ts';
import { Tracking } from '../../../src/director/election/tracking/tracking.ts';
import type { ElectionPorts } from '../../../src/director/ports.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { assign, type FlatRouter, factsOf } from '../../support/election.ts';
import { SimulatedHost, SimulatedSegment } from '../../support/simulated-segment.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';
import { defaultRouter } from '../../transcript/vrrp/lab.ts';

/** Says whatever a test lets it say. */
class TrackedByHand implements TrackedObject {
  verdicts: readonly Verdict[] = [];

  observe(): void {}

  judge(): readonly Verdict[] {
    return this.verdicts;
  }
}

function elect(...routers: readonly FlatRouter[]) {
  const time = new SimulatedTime();
  const segment = new SimulatedSegment(time);
  const host = new SimulatedHost('a', time);
  const port = segment.attach(host, '192.0.2.1' as IpAddress);
  const logged: string[] = [];
  const sent: (number | undefined)[] = [];
  segment.onSend = (_from, message) => sent.push(message[2]);
  const ports: ElectionPorts = {
    clock: host,
    transport: port,
    addressKeeper: { add: () => {}, remove: () => {} },
    announcer: { announce: () => {} },
    leaseWriter: { grant: () => {}, revoke: () => {} },
    log: (_level, sentence) => logged.push(sentence),
    onChange: () => {},
  };
  const byHand = new TrackedByHand();
  const election = new Election(ports, new Tracking(ports, [byHand]));
  const link = (up: boolean): void => election.observe({ kind: 'link', interface: 'eth0', up });
  const poll = (): void => election.observe({ kind: 'poll' });
  const start = (): void => void election.configure(routers.map(assign));
  const state = (): string | undefined => factsOf(election)[0]?.state;
  return { time, port, election, byHand, logged, sent, link, poll, start, state };
}

describe('what every virtual router tracks', () => {
  test('an address that comes does not end the fault of a link that is down', () => {
    const { port, link, poll, start, state } = elect(defaultRouter);
    port.openError = new Error('interface eth0 has no IPv4 address');
    link(false);
    start();
    port.openError = undefined;
    poll();
    assert.equal(state(), 'fault');
    link(true);
    assert.equal(state(), 'backup');
  });

  test('nor does looking for addresses where only the link is down', () => {
    const { link, poll, start, state, logged } = elect(defaultRouter);
    start();
    link(false);
    poll();
    assert.equal(state(), 'fault');
    assert.equal(logged.at(-1), 'is now fault: the interface is down');
  });

  test('an address that comes late is found by looking again', () => {
    const { port, poll, start, state, logged, time } = elect(defaultRouter);
    port.openError = new Error('interface eth0 has no IPv4 address');
    start();
    poll();
    assert.equal(state(), 'fault');
    port.openError = undefined;
    poll();
    assert.equal(state(), 'backup');
    time.advanceBy(400);
    assert.equal(state(), 'active');
    assert.deepEqual(logged.slice(0, 3), [
      'cannot take part in the election: interface eth0 has no IPv4 address',
      'is now fault: the interface has no address to send from',
      'is now backup: the interface has an address to send from',
    ]);
  });

  test('a link that comes back without an address: never in the election in between', () => {
    const { port, link, start, state, logged } = elect(defaultRouter);
    start();
    link(false);
    port.openError = new Error('interface eth0 has no IPv4 address');
    link(true);
    assert.equal(state(), 'fault');
    assert.deepEqual(
      logged.filter((sentence) => sentence.startsWith('is now')),
      ['is now backup: it has started', 'is now fault: the interface is down'],
    );
  });

  test('another interface is nobody’s business here', () => {
    const { election, start, state } = elect(defaultRouter);
    start();
    election.observe({ kind: 'link', interface: 'eth1', up: false });
    assert.equal(state(), 'backup');
  });
});

describe('weights', () => {
  test('change what is advertised next, and with the configured priority', () => {
    const { time, election, byHand, poll, start, sent } = elect(defaultRouter);
    byHand.verdicts = [
      { kind: 'weight', weight: -30 },
      { kind: 'weight', weight: 10 },
    ];
    start();
    time.advanceTo(500);
    assert.equal(sent.at(-1), 80);
    byHand.verdicts = [];
    sent.length = 0;
    poll();
    assert.deepEqual(sent, [], 'no advertisement out of turn');
    time.advanceBy(100);
    assert.equal(sent.at(-1), 100);
    byHand.verdicts = [{ kind: 'weight', weight: -30 }];
    election.configure([assign({ ...defaultRouter, priority: 120 })]);
    time.advanceBy(1);
    assert.equal(sent.at(-1), 90);
  });

  test('release no hold', () => {
    const { time, election, byHand, poll, start } = elect(defaultRouter);
    start();
    time.advanceTo(500);
    election.handOver();
    byHand.verdicts = [{ kind: 'weight', weight: 50 }];
    poll();
    assert.equal(factsOf(election)[0]?.heldOff, true);
  });

  test('a fault among them is a fault', () => {
    const { byHand, start, state, poll, logged } = elect(defaultRouter);
    byHand.verdicts = [{ kind: 'fault', reason: { kind: 'script', name: 'chk_haproxy' } }];
    start();
    assert.equal(state(), 'fault');
    assert.equal(logged.at(-1), 'is now fault: a tracked script fails (chk_haproxy)');
    byHand.verdicts = [];
    poll();
    assert.equal(logged.at(-1), 'is now backup: the tracked script succeeds again (chk_haproxy)');
  });
});

test('a change of the version is another virtual router: it resigns and starts over', () => {
  const { time, election, start, sent } = elect(defaultRouter);
  start();
  time.advanceTo(500);
  sent.length = 0;
  election.configure([assign({ ...defaultRouter, version: 2, advertIntervalMs: 1000 })]);
  assert.deepEqual(sent, [100, 0]);
  const [router] = factsOf(election);
  assert.deepEqual([router?.state, router?.becameActive, router?.transitions], ['backup', 0, 1]);
});

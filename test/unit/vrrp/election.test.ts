// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Election } from '../../../src/director/election/election.ts';
import type { ElectionChange } from '../../../src/director/election/election-view.ts';
import { routerStatus } from '../../../src/director/election/running-router.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { zeroRejections } from '../../../vrrp/ladder.ts';
import { assign, type FlatRouter, factsOf, routerFacts } from '../../support/election.ts';
import { SimulatedHost, SimulatedSegment } from '../../support/simulated-segment.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';
import { defaultRouter } from '../../transcript/vrrp/lab.ts';

const ip = (text: string): IpAddress => text as IpAddress;

function makeElection() {
  const time = new SimulatedTime();
  const segment = new SimulatedSegment(time);
  const host = new SimulatedHost('a', time);
  const port = segment.attach(host, ip('192.0.2.1'));
  const calls: string[] = [];
  const changes: ElectionChange[] = [];
  const election = new Election({
    clock: host,
    transport: port,
    addressKeeper: {
      add: (address, length, name) => calls.push(`add ${address}/${length} ${name}`),
      remove: (address, length, name) => calls.push(`remove ${address}/${length} ${name}`),
    },
    announcer: { announce: (address, name) => calls.push(`announce ${address} ${name}`) },
    leaseWriter: {
      grant: (slot, untilMs) => calls.push(`grant ${slot} ${untilMs.toFixed(1)}`),
      revoke: (slot) => calls.push(`revoke ${slot}`),
    },
    log: () => {},
    onChange: (_router, change) => changes.push(change),
  });
  /** Everything called since it was asked last. */
  const since = (): string[] => calls.splice(0);
  return { time, segment, host, port, election, changes, since };
}

function holding(routers: readonly FlatRouter[] = [defaultRouter]) {
  const made = makeElection();
  made.election.configure(routers.map(assign));
  made.time.advanceTo(400);
  made.since();
  return made;
}

test('starting clears what a predecessor may have left, then elects itself', () => {
  const { election, time, since, changes } = makeElection();
  assert.deepEqual(election.configure([assign(defaultRouter)]), []);
  assert.deepEqual(since(), ['revoke 0', 'remove 198.51.100.10/32 eth0', 'remove 192.0.2.254/24 eth0']);
  time.advanceTo(400);
  assert.deepEqual(since(), [
    'grant 0 667.6',
    'add 192.0.2.254/24 eth0',
    'announce 198.51.100.10 eth0',
    'announce 192.0.2.254 eth0',
  ]);
  assert.deepEqual(changes, [
    { kind: 'transition', from: 'initialize', reason: 'startup' },
    { kind: 'transition', from: 'backup', reason: 'active-down' },
    { kind: 'acquired' },
  ]);
});

test('the read model', () => {
  const { election, time } = holding();
  time.advanceTo(1000);
  const [running] = election.view().routers;
  assert.ok(running);
  const router = routerFacts(running);
  assert.deepEqual(
    { ...router, sinceMs: Math.round(router.sinceMs), leaseUntilMs: Math.round(router.leaseUntilMs ?? 0) },
    {
      name: 'web',
      interface: 'eth0',
      family: 'ipv4',
      vrid: 51,
      leaseSlot: 0,
      state: 'active',
      sinceMs: 361,
      reason: 'active-down',
      priority: 100,
      advertIntervalMs: 100,
      addresses: ['198.51.100.10', '192.0.2.254'],
      holding: true,
      leaseUntilMs: 1268,
      heldOff: false,
      activeAddress: '192.0.2.1',
      advertisementsSent: 9,
      advertisementsReceived: 0,
      sendErrors: 0,
      becameActive: 1,
      transitions: 2,
      addressListMismatches: 0,
      rejections: zeroRejections(),
    },
  );
  assert.deepEqual(routerStatus(running, router.sinceMs + 5), {
    name: 'web',
    vrid: 51,
    interface: 'eth0',
    state: 'active',
    stateAgeMs: 5,
    priority: 100,
    addresses: ['198.51.100.10', '192.0.2.254'],
    activeRouter: undefined,
    transitions: 2,
    advertisementsSent: 9,
    advertisementsReceived: 0,
    rejected: zeroRejections(),
  });
});

test('rejections are counted at the virtual router meant, or else at the segment', () => {
  const { election, port } = holding();
  const received = { interface: 'eth0', source: ip('192.0.2.9'), destination: ip('224.0.0.18'), ttl: 255 };
  port.hear({ ...received, ttl: 1, message: new Uint8Array(8) });
  port.hear({ ...received, message: new Uint8Array(3) });
  // Version 2 for VRID 51, which speaks version 3; a message of its own checksum.
  const message = Uint8Array.from(Buffer.from('213396000001', 'hex'));
  const sealed = new Uint8Array(16);
  sealed.set(message);
  const sum = 0x2133 + 0x9600 + 0x0001;
  sealed[6] = (sum ^ 0xffff) >>> 8;
  sealed[7] = sum ^ 0xffff;
  port.hear({ ...received, message: sealed });
  port.hear({ ...received, interface: 'eth9', message: sealed });
  const { routers, unattributed } = election.view();
  assert.deepEqual(routers[0]?.rejections, { ...zeroRejections(), 'version-mismatch': 1 });
  assert.deepEqual(unattributed, [
    { interface: 'eth0', family: 'ipv4', rejections: { ...zeroRejections(), ttl: 1, 'too-short': 1 } },
  ]);
});

test('a reload changes prefix, place and kind of an address, and the lease slot, in place', () => {
  const { election, since } = holding();
  const [served, gateway] = defaultRouter.addresses;
  assert.ok(served && gateway);
  const addresses = [
    { ...served, install: true },
    { ...gateway, prefixLength: 25, interface: 'eth1' },
  ];
  election.configure([assign({ ...defaultRouter, leaseSlot: 3, addresses })]);
  assert.deepEqual(since(), [
    'revoke 0',
    'grant 3 667.6',
    'add 198.51.100.10/32 eth0',
    'remove 192.0.2.254/24 eth0',
    'add 192.0.2.254/25 eth1',
  ]);
  assert.equal(factsOf(election)[0]?.becameActive, 1);
});

test('a virtual router that is no longer configured resigns, the others stay', () => {
  const other: FlatRouter = { ...defaultRouter, name: 'mail', vrid: 52, leaseSlot: 1, addresses: [] };
  const { election, segment, since } = holding([defaultRouter, other]);
  const sent: (number | undefined)[][] = [];
  segment.onSend = (_from, message) => sent.push([message[1], message[2]]);
  election.configure([assign(other)]);
  assert.deepEqual(since(), ['revoke 0', 'remove 192.0.2.254/24 eth0']);
  assert.deepEqual(sent, [
    [51, 100],
    [51, 0],
  ]);
  assert.deepEqual(
    factsOf(election).map(({ name, state }) => [name, state]),
    [['mail', 'active']],
  );
});

test('an interface that cannot be used is a sentence, and joins when its link comes up', () => {
  const { election, port, time } = makeElection();
  port.openError = new Error('interface eth0 does not exist; create it or correct the configuration');
  assert.deepEqual(election.configure([assign(defaultRouter)]), [
    { router: 'web', sentence: 'interface eth0 does not exist; create it or correct the configuration' },
  ]);
  assert.equal(factsOf(election)[0]?.state, 'fault');
  port.openError = undefined;
  election.observe({ kind: 'link', interface: 'eth0', up: true });
  assert.equal(factsOf(election)[0]?.state, 'backup');
  time.advanceBy(400);
  assert.equal(factsOf(election)[0]?.activeAddress, '192.0.2.1');
});

test('hand-over names what was active; stop resolves when the farewells have left', async () => {
  const { election, time } = holding();
  assert.deepEqual(election.handOver(), ['web']);
  assert.deepEqual(election.handOver(), []);
  time.advanceBy(400);
  let stopped = false;
  const stop = election.stop().then(() => {
    stopped = true;
  });
  await Promise.resolve();
  assert.equal(stopped, false);
  time.advanceBy(0);
  await stop;
  assert.equal(stopped, true);
  assert.equal(time.nextTaskMs(), undefined);
});

test('an address that cannot be put in place does not stop the election', () => {
  const { time, host, port } = makeElection();
  const logged: string[] = [];
  const election = new Election({
    clock: host,
    transport: port,
    addressKeeper: {
      add: () => {
        throw new Error('not permitted');
      },
      remove: () => {},
    },
    announcer: { announce: () => {} },
    leaseWriter: { grant: () => {}, revoke: () => {} },
    log: (level, sentence) => level === 'error' && logged.push(sentence),
    onChange: () => {},
  });
  election.configure([assign(defaultRouter)]);
  time.advanceTo(1000);
  assert.deepEqual(logged, ['not permitted']);
  assert.equal(factsOf(election)[0]?.holding, true);
});

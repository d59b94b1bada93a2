// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Election } from '../../../src/director/election/election.ts';
import { RealServerRoutes, routeHoldMs } from '../../../src/director/election/tracking/real-server-routes.ts';
import { Tracking } from '../../../src/director/election/tracking/tracking.ts';
import type { ElectionPorts } from '../../../src/director/ports.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { assign, type FlatRouter, factsOf } from '../../support/election.ts';
import { SimulatedHost, SimulatedSegment } from '../../support/simulated-segment.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';
import { defaultRouter } from '../../transcript/vrrp/lab.ts';

const ip = (text: string): IpAddress => text as IpAddress;
const [one, two] = [ip('10.0.0.21'), ip('10.0.0.22')];
const many = Array.from({ length: 1000 }, (_, index) => ip(`10.1.${index >> 8}.${index & 255}`));

/** A director alone: its real servers have the routes that a test gives them. */
function direct(realServers: readonly IpAddress[], routed: readonly IpAddress[] = realServers) {
  const time = new SimulatedTime();
  const segment = new SimulatedSegment(time);
  const host = new SimulatedHost('a', time);
  const logged: string[] = [];
  const sent: (number | undefined)[] = [];
  segment.onSend = (_from, message) => sent.push(message[2]);
  const ports: ElectionPorts = {
    clock: host,
    transport: segment.attach(host, ip('192.0.2.1')),
    addressKeeper: { add: () => {}, remove: () => {} },
    announcer: { announce: () => {} },
    leaseWriter: { grant: () => {}, revoke: () => {} },
    log: (_level, sentence) => logged.push(`${time.nowMs()} ${sentence}`),
    onChange: () => {},
  };
  const world = { routed: new Set(routed), asked: 0 };
  const routes = new RealServerRoutes({
    clock: host,
    hasRoute: (address) => {
      world.asked += 1;
      return world.routed.has(address);
    },
    onChange: () => election.observe({ kind: 'verdict' }),
  });
  const election: Election = new Election(ports, new Tracking(ports, [routes]));
  const configure = (...routers: readonly FlatRouter[]): void => void election.configure(routers.map(assign));
  const web = (servers: readonly IpAddress[] = realServers): FlatRouter => ({ ...defaultRouter, realServers: servers });
  configure(web());
  return {
    time,
    world,
    sent,
    election,
    configure,
    web,
    routesBecome: (...addresses: readonly IpAddress[]): void => {
      world.routed = new Set(addresses);
      election.observe({ kind: 'routes' });
    },
    link: (up: boolean): void => election.observe({ kind: 'link', interface: 'eth0', up }),
    poll: (): void => election.observe({ kind: 'poll' }),
    state: (): string | undefined => factsOf(election)[0]?.state,
    transitions: (): string[] => logged.filter((line) => line.includes('is now')),
  };
}

const lost = 'is now fault: no route leads to any of its real servers';
const back = 'is now backup: a route leads to its real servers again';

describe('a route to the real servers of a virtual router', () => {
  test('is lost: the fault comes after one and a half intervals, with priority 0', () => {
    const { time, sent, state, routesBecome, transitions } = direct([one, two]);
    time.advanceTo(1000);
    routesBecome();
    time.advanceTo(1149);
    assert.equal(state(), 'active');
    time.advanceTo(1150);
    assert.equal(state(), 'fault');
    time.advanceTo(1200);
    assert.equal(sent.at(-1), 0);
    routesBecome(two);
    assert.deepEqual(transitions().slice(2), [`1150 ${lost}`, `1200 ${back}`]);
  });

  test('is replaced within that time: nothing happens', () => {
    const { time, routesBecome, transitions } = direct([one, two]);
    time.advanceTo(1000);
    for (let atMs = 1000; atMs < 5000; atMs += 200) {
      routesBecome();
      time.advanceTo(atMs + 149);
      routesBecome(one);
      time.advanceTo(atMs + 200);
    }
    assert.equal(transitions().length, 2);
  });

  test('is found by asking again when no report said that it is back', () => {
    const { time, world, routesBecome, transitions } = direct([one]);
    time.advanceTo(1000);
    routesBecome();
    world.routed.add(one);
    time.advanceTo(3000);
    assert.equal(transitions().length, 2);
  });

  test('to one of them is enough', () => {
    const { time, state, routesBecome } = direct([one, two]);
    time.advanceTo(1000);
    routesBecome(two);
    time.advanceTo(3000);
    assert.equal(state(), 'active');
  });

  test('is not there at the start: in fault from the start, a backup once it is', () => {
    const { time, routesBecome, transitions, sent } = direct([one], []);
    time.advanceTo(2000);
    routesBecome(one);
    assert.deepEqual(transitions(), [`0 ${lost}`, `2000 ${back}`]);
    assert.deepEqual(sent, []);
  });

  test('does not count without real servers', () => {
    const { time, world, state, routesBecome, poll } = direct([]);
    time.advanceTo(1000);
    routesBecome();
    poll();
    time.advanceTo(3000);
    assert.deepEqual([state(), world.asked], ['active', 0]);
  });

  test('goes with the link and comes back a little later: the link alone is the fault', () => {
    const { time, world, link, poll, transitions, routesBecome } = direct([one]);
    time.advanceTo(1000);
    world.routed.clear();
    link(false);
    poll();
    time.advanceTo(2000);
    poll();
    link(true);
    time.advanceTo(2140);
    routesBecome(one);
    time.advanceTo(2200);
    assert.deepEqual(transitions().slice(2), [
      '1000 is now fault: the interface is down',
      '2000 is now backup: the interface is up again',
    ]);
  });

  test('goes with the link for good: the fault follows before the router is active', () => {
    const { time, world, link, transitions } = direct([one]);
    time.advanceTo(1000);
    world.routed.clear();
    link(false);
    link(true);
    time.advanceTo(5000);
    assert.equal(transitions().at(-1), `1150 ${lost}`);
  });

  test('is lost before the link is: the fault stays until it is back', () => {
    const { time, link, state, routesBecome } = direct([one]);
    time.advanceTo(1000);
    routesBecome();
    time.advanceTo(2000);
    link(false);
    link(true);
    assert.equal(state(), 'fault');
    routesBecome(one);
    assert.equal(state(), 'backup');
  });

  test('a reload with real servers that have none waits as well; one without any ends the fault', () => {
    const { time, configure, web, state, transitions } = direct([one], [one]);
    time.advanceTo(1000);
    configure(web([two]));
    assert.equal(state(), 'active');
    time.advanceTo(2000);
    assert.equal(transitions().at(-1), `1150 ${lost}`);
    configure(web([]));
    assert.equal(state(), 'backup');
  });

  test('a virtual router that is gone is not asked about any more', () => {
    const { time, world, configure, poll } = direct([one]);
    time.advanceTo(1000);
    configure();
    poll();
    const { asked } = world;
    poll();
    assert.equal(world.asked, asked);
  });
});

describe('a thousand real servers', () => {
  test('cost one question while the first has a route', () => {
    const { world, poll } = direct(many);
    world.asked = 0;
    poll();
    assert.equal(world.asked, 1);
  });

  test('are asked about in turns; the fault comes with the end of a round', () => {
    const { time, world, routesBecome, transitions } = direct(many);
    time.advanceTo(1000);
    world.asked = 0;
    routesBecome();
    assert.equal(world.asked, 128);
    for (let atMs = 1001; atMs <= 1400; atMs += 1) {
      const before = world.asked;
      time.advanceTo(atMs);
      assert.ok(world.asked - before <= 128);
    }
    assert.equal(transitions().at(-1), `1290 ${lost}`);
  });

  test('a route that comes behind the question is found by the next round', () => {
    const { time, world, routesBecome, state } = direct(many);
    time.advanceTo(1000);
    routesBecome();
    world.routed.add(many[0]!);
    routesBecome(many[0]!);
    time.advanceTo(3000);
    assert.equal(state(), 'active');
  });

  test('without a route at the start: a fault once all have been asked about', () => {
    const { time, transitions } = direct(many, []);
    time.advanceTo(1000);
    assert.deepEqual(transitions(), ['0 is now backup: it has started', `70 ${lost}`]);
  });
});

test('the time without a route that is no fault yet', () => {
  const holds = [10, 30, 100, 1000, 2000, 40_950].map((advertIntervalMs) => routeHoldMs({ advertIntervalMs }));
  assert.deepEqual(holds, [100, 100, 150, 1500, 3000, 3000]);
});

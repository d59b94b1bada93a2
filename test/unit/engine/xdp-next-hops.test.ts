// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KernelEvent, KernelHop, KernelLink, KernelRoute } from '../../../src/engine/xdp/kernel-routes.ts';
import { NextHops } from '../../../src/engine/xdp/next-hops.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { parsePrefix } from '../../../src/lib/prefix.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';
import { describeHop, NextHopTables } from './xdp-next-hops-tables.ts';

const address = (text: string): IpAddress => text as IpAddress;
const mac = (last: number): Uint8Array => Uint8Array.of(2, 0, 0, 0, 0, last);

/** Interface n has the MAC address 02:00:00:00:00:0n. */
function link(interfaceIndex: number, overrides: Partial<KernelLink> = {}): KernelEvent {
  const macAddress = mac(interfaceIndex);
  return {
    kind: 'link',
    link: { interfaceIndex, name: `eth${interfaceIndex}`, macAddress, mtu: 1500, up: true, ...overrides },
  };
}

/** Each route is written `[gateway]%interface ...`, or `unreachable`. */
function routes(prefix: string, ...texts: (string | KernelRoute)[]): KernelEvent {
  const all = texts.map((text, i) => (typeof text === 'string' ? route(text, { metric: i }) : text));
  return { kind: 'routes', prefix: parsePrefix(prefix)!, routes: all };
}

function route(text: string, overrides: Partial<KernelRoute> = {}): KernelRoute {
  if (text === 'unreachable') return { kind: 'unreachable', metric: 0, hops: [], mtu: 0, ...overrides };
  const hops = text.split(' ').map((each): KernelHop => {
    const [gateway, interfaceIndex] = each.split('%');
    return { interfaceIndex: Number(interfaceIndex), gateway: gateway === '' ? undefined : address(gateway!) };
  });
  return { kind: 'unicast', metric: 0, hops, mtu: 0, ...overrides };
}

/** `address%interface`, and the last byte of its MAC address. */
function neighbour(text: string, last: number | 'unresolved', state: 'usable' | 'stale' = 'usable'): KernelEvent {
  const [where, interfaceIndex] = text.split('%');
  return {
    kind: 'neighbour',
    neighbour: {
      interfaceIndex: Number(interfaceIndex),
      address: address(where!),
      state: last === 'unresolved' ? last : state,
      macAddress: last === 'unresolved' ? new Uint8Array(0) : mac(last),
    },
  };
}

function forgotten(text: string): KernelEvent {
  const [where, interfaceIndex] = text.split('%');
  return { kind: 'neighbourGone', interfaceIndex: Number(interfaceIndex), address: address(where!) };
}

class Bench {
  readonly tables = new NextHopTables();
  readonly time = new SimulatedTime();
  readonly asked: string[] = [];
  /** Those of `asked` that begin the kernel's attempt again; never taken away. */
  readonly startedOver: string[] = [];
  readonly changes: string[] = [];
  readonly nextHops: NextHops;

  /** Ports 1 and 2 of the links 1, 2 and 3. */
  constructor(limits: Partial<{ outstandingMax: number; guestsMax: number }> = {}) {
    this.nextHops = new NextHops({
      sink: this.tables,
      clock: this.time,
      ask: (interfaceIndex, neighbourAddress, startOver) => {
        const question = `${this.time.nowMs()} ${neighbourAddress}%${interfaceIndex}`;
        this.asked.push(question);
        if (startOver) this.startedOver.push(question);
      },
      onHopChanged: (server, hop) => this.changes.push(`${server}: ${describeHop(hop)}`),
      limits: { outstandingMax: 4, guestsMax: 8, missesPerSecond: 10, missesBurst: 100, ...limits },
    });
    this.nextHops.setPorts([1, 2]);
    this.nextHops.apply([link(1), link(2), link(3)]);
  }

  /** Lets what is due happen, and gives the questions that were asked since the last time, as `ms address%interface`. */
  askedAfter(durationMs: number): string[] {
    this.time.advanceBy(durationMs);
    return this.asked.splice(0);
  }
}

const own1 = 'from 02:00:00:00:00:01';
const own2 = 'from 02:00:00:00:00:02';

describe('what stands in the route table', () => {
  const onLink1 = `1 on the link ${own1} mtu 1500`;
  const via = (last: string, mtu = 1500): string => `1 via 02:00:00:00:00:${last} ${own1} mtu ${mtu}`;
  const cases: readonly [what: string, events: KernelEvent[], expected: string | undefined][] = [
    ['on the link', [routes('10.0.0.0/8', '%1')], onLink1],
    ['a gateway that is not resolved', [routes('10.0.0.0/8', '10.1.1.1%1')], `1 via ? ${own1} mtu 1500`],
    ['a gateway', [routes('10.0.0.0/8', '10.1.1.1%1'), neighbour('10.1.1.1%1', 0xaa)], via('aa')],
    ['in the other order', [neighbour('10.1.1.1%1', 0xaa), routes('10.0.0.0/8', '10.1.1.1%1')], via('aa')],
    ['stale is good', [neighbour('10.1.1.1%1', 0xaa, 'stale'), routes('10.0.0.0/8', '10.1.1.1%1')], via('aa')],
    [
      'another gateway on the same link',
      [neighbour('10.1.1.2%1', 0xaa), routes('10.0.0.0/8', '10.1.1.1%1'), routes('10.0.0.0/8', '10.1.1.2%1')],
      via('aa'),
    ],
    [
      'a link that came back without its neighbours',
      [
        routes('10.0.0.0/8', '10.1.1.1%1'),
        neighbour('10.1.1.1%1', 0xaa),
        { kind: 'linkGone', interfaceIndex: 1 },
        link(1),
      ],
      `1 via ? ${own1} mtu 1500`,
    ],
    ['an IPv6 gateway', [neighbour('fe80::1%1', 0xaa), routes('10.0.0.0/8', 'fe80::1%1')], via('aa')],
    [
      'the gateway of that name on another link is another',
      [neighbour('fe80::1%2', 0xbb), neighbour('fe80::1%1', 0xaa), routes('10.0.0.0/8', 'fe80::1%1')],
      via('aa'),
    ],
    ['blackhole', [routes('10.0.0.0/8', 'unreachable', '%1')], 'unreachable'],
    ['a blackhole in reserve', [routes('10.0.0.0/8', '%1', 'unreachable')], onLink1],
    ['an interface that is no port', [routes('10.0.0.0/8', '%3')], 'unreachable'],
    ['an interface that is unknown', [routes('10.0.0.0/8', '%9')], 'unreachable'],
    ['the preferred route leads to no port', [routes('10.0.0.0/8', '%3', '%1')], 'unreachable'],
    ['the preferred link is down', [link(3, { up: false }), routes('10.0.0.0/8', '%3', '%1')], onLink1],
    ['all links are down', [link(1, { up: false }), routes('10.0.0.0/8', '%1')], 'unreachable'],
    ['several hops: the first', [routes('10.0.0.0/8', '%1 %2')], onLink1],
    ['the first hop is down', [link(2, { up: false }), routes('10.0.0.0/8', '%2 %1')], onLink1],
    ['the first hop leads to no port', [routes('10.0.0.0/8', '%3 %1')], onLink1],
    [
      'a link without an Ethernet address',
      [link(1, { macAddress: new Uint8Array(0) }), routes('10.0.0.0/8', '%1')],
      'unreachable',
    ],
    [
      'a smaller MTU of the route',
      [routes('10.0.0.0/8', route('%1', { mtu: 1280 }))],
      `1 on the link ${own1} mtu 1280`,
    ],
    ['a larger MTU of the route', [routes('10.0.0.0/8', route('%1', { mtu: 9000 }))], onLink1],
    ['MTU of the link', [routes('10.0.0.0/8', '%1'), link(1, { mtu: 1400 })], `1 on the link ${own1} mtu 1400`],
    [
      'own MAC address',
      [routes('10.0.0.0/8', '%1'), link(1, { macAddress: mac(0x99) })],
      '1 on the link from 02:00:00:00:00:99 mtu 1500',
    ],
    ['the last route is gone', [routes('10.0.0.0/8', '%1'), routes('10.0.0.0/8')], undefined],
    ['gone and back in one report', [routes('10.0.0.0/8'), routes('10.0.0.0/8', '%1')], onLink1],
    ['the preferred one is gone', [routes('10.0.0.0/8', '%2', '%1'), routes('10.0.0.0/8', '%1')], onLink1],
  ];
  for (const [what, events, expected] of cases) {
    test(what, () => {
      const together = new Bench();
      together.nextHops.apply(events);
      assert.equal(together.tables.routes.get('10.0.0.0/8'), expected, 'in one report');
      const apart = new Bench();
      for (const event of events) apart.nextHops.apply([event]);
      assert.equal(apart.tables.routes.get('10.0.0.0/8'), expected, 'in a report each');
    });
  }
});

test('a story of one gateway: the table hears of what differs, and of nothing else', () => {
  const { nextHops, tables } = new Bench();
  nextHops.apply([routes('0.0.0.0/0', '10.1.1.1%1'), routes('10.5.0.0/16', '10.1.1.1%1'), routes('10.1.1.0/24', '%1')]);
  assert.deepEqual(tables.takeCalls(), [
    `0.0.0.0/0: 1 via ? ${own1} mtu 1500`,
    `10.5.0.0/16: 1 via ? ${own1} mtu 1500`,
    `10.1.1.0/24: 1 on the link ${own1} mtu 1500`,
  ]);
  nextHops.apply([neighbour('10.1.1.1%1', 0xaa)]);
  assert.deepEqual(tables.takeCalls(), [
    '10.1.1.1%1: 02:00:00:00:00:aa',
    `0.0.0.0/0: 1 via 02:00:00:00:00:aa ${own1} mtu 1500`,
    `10.5.0.0/16: 1 via 02:00:00:00:00:aa ${own1} mtu 1500`,
  ]);
  nextHops.apply([
    neighbour('10.1.1.1%1', 0xaa, 'stale'),
    routes('10.5.0.0/16', '10.1.1.1%1'),
    link(1),
    link(3, { mtu: 9000 }),
  ]);
  nextHops.setPorts([2, 1]);
  assert.deepEqual(tables.takeCalls(), []);
  nextHops.apply([neighbour('10.1.1.1%1', 0xbb)]);
  assert.deepEqual(tables.takeCalls(), [
    '10.1.1.1%1: 02:00:00:00:00:bb',
    `0.0.0.0/0: 1 via 02:00:00:00:00:bb ${own1} mtu 1500`,
    `10.5.0.0/16: 1 via 02:00:00:00:00:bb ${own1} mtu 1500`,
  ]);
  nextHops.apply([forgotten('10.1.1.1%1'), routes('10.5.0.0/16')]);
  assert.deepEqual(tables.takeCalls(), [
    '10.1.1.1%1: removed',
    `0.0.0.0/0: 1 via ? ${own1} mtu 1500`,
    '10.5.0.0/16: removed',
  ]);
  nextHops.apply([{ kind: 'linkGone', interfaceIndex: 1 }]);
  assert.deepEqual(tables.takeCalls().sort(), ['0.0.0.0/0: unreachable', '10.1.1.0/24: unreachable']);
});

test('an interface that is recreated under another index', () => {
  const { nextHops, tables } = new Bench();
  nextHops.apply([routes('10.0.0.0/8', '%1'), neighbour('10.0.0.7%1', 0xaa)]);
  const hop = nextHops.hopFor(address('10.0.0.7'));
  assert.equal(describeHop(hop), `1 to 02:00:00:00:00:aa ${own1} mtu 1500`);
  tables.takeCalls();
  nextHops.apply([{ kind: 'linkGone', interfaceIndex: 1 }, routes('10.0.0.0/8')]);
  assert.equal(describeHop(hop), 'unreachable');
  nextHops.apply([link(4), routes('10.0.0.0/8', '%4'), neighbour('10.0.0.7%4', 0xaa)]);
  assert.equal(describeHop(hop), 'unreachable');
  nextHops.setPorts([2, 4]);
  assert.equal(describeHop(hop), '4 to 02:00:00:00:00:aa from 02:00:00:00:00:04 mtu 1500');
  assert.deepEqual(tables.takeCalls(), [
    '10.0.0.7%1: removed',
    '10.0.0.0/8: removed',
    '10.0.0.0/8: unreachable',
    '10.0.0.7%4: 02:00:00:00:00:aa',
    '10.0.0.0/8: 4 on the link from 02:00:00:00:00:04 mtu 1500',
  ]);
});

test('everything read again: what is no longer named is gone', () => {
  const { nextHops, tables } = new Bench();
  nextHops.apply([routes('10.0.0.0/8', '%1'), neighbour('10.0.0.7%1', 0xaa), neighbour('10.0.0.8%1', 0xab)]);
  const kept = neighbour('10.0.0.8%1', 0xac) as Extract<KernelEvent, { kind: 'neighbour' }>;
  const links = [link(2), link(1)].map((each) => (each as Extract<KernelEvent, { kind: 'link' }>).link);
  tables.takeCalls();
  nextHops.apply([
    { kind: 'links', links },
    { kind: 'neighbours', neighbours: [kept.neighbour] },
  ]);
  assert.deepEqual(tables.takeCalls(), ['10.0.0.7%1: removed', '10.0.0.8%1: 02:00:00:00:00:ac']);
  nextHops.apply([{ kind: 'links', links: [] }]);
  assert.deepEqual(tables.takeCalls(), ['10.0.0.8%1: removed', '10.0.0.0/8: unreachable']);
});

describe('the hop of a real server', () => {
  test('follows the longest prefix, the neighbour and the link; same address, same object', () => {
    const { nextHops, changes } = new Bench();
    const hop = nextHops.hopFor(address('10.5.0.7'));
    assert.equal(describeHop(hop), 'unreachable');
    nextHops.apply([routes('0.0.0.0/0', '10.1.1.1%1')]);
    nextHops.apply([neighbour('10.1.1.1%1', 0xaa)]);
    nextHops.apply([routes('10.5.0.0/16', '%2')]);
    nextHops.apply([neighbour('10.5.0.7%2', 0xbb)]);
    nextHops.apply([
      neighbour('10.5.0.8%2', 0xcc),
      neighbour('10.5.0.7%2', 0xbb, 'stale'),
      routes('10.6.0.0/16', '%1'),
    ]);
    nextHops.apply([link(2, { mtu: 1400 })]);
    nextHops.apply([routes('10.5.0.7/32', 'unreachable')]);
    nextHops.apply([routes('10.5.0.7/32')]);
    nextHops.apply([forgotten('10.5.0.7%2')]);
    nextHops.apply([routes('10.5.0.0/16')]);
    assert.deepEqual(changes, [
      `10.5.0.7: 1 to ? ${own1} mtu 1500`,
      `10.5.0.7: 1 to 02:00:00:00:00:aa ${own1} mtu 1500`,
      `10.5.0.7: 2 to ? ${own2} mtu 1500`,
      `10.5.0.7: 2 to 02:00:00:00:00:bb ${own2} mtu 1500`,
      `10.5.0.7: 2 to 02:00:00:00:00:bb ${own2} mtu 1400`,
      '10.5.0.7: unreachable',
      `10.5.0.7: 2 to 02:00:00:00:00:bb ${own2} mtu 1400`,
      `10.5.0.7: 2 to ? ${own2} mtu 1400`,
      `10.5.0.7: 1 to 02:00:00:00:00:aa ${own1} mtu 1500`,
    ]);
    assert.equal(nextHops.hopFor(address('10.5.0.7')), hop);
  });

  test('released, it is asked for no more', () => {
    const bench = new Bench();
    bench.nextHops.apply([routes('10.0.0.0/8', '%1')]);
    bench.nextHops.hopFor(address('10.0.0.7'));
    assert.deepEqual(bench.askedAfter(0), ['0 10.0.0.7%1']);
    bench.nextHops.release(address('10.0.0.7'));
    assert.deepEqual(bench.askedAfter(5000), []);
    bench.nextHops.apply([neighbour('10.0.0.7%1', 0xaa)]);
    assert.deepEqual(bench.changes, []);
  });
});

describe('asking the kernel', () => {
  test('a gateway that gives no answer is asked for with back-off, for ever', () => {
    const bench = new Bench();
    bench.nextHops.apply([routes('0.0.0.0/0', '10.1.1.1%1')]);
    assert.deepEqual(bench.askedAfter(3000), [
      '0 10.1.1.1%1',
      '100 10.1.1.1%1',
      '300 10.1.1.1%1',
      '700 10.1.1.1%1',
      '1500 10.1.1.1%1',
      '2500 10.1.1.1%1',
    ]);
    bench.nextHops.apply([neighbour('10.1.1.1%1', 'unresolved')]);
    assert.equal(bench.askedAfter(100_000).length, 100);
    bench.nextHops.apply([neighbour('10.1.1.1%1', 0xaa)]);
    assert.deepEqual(bench.askedAfter(100_000), []);
    // A neighbour that fails is asked for after a while, one that is forgotten at once.
    bench.nextHops.apply([neighbour('10.1.1.1%1', 'unresolved')]);
    assert.deepEqual(bench.askedAfter(199), ['203100 10.1.1.1%1']);
    bench.nextHops.apply([neighbour('10.1.1.1%1', 0xaa)]);
    bench.nextHops.apply([forgotten('10.1.1.1%1')]);
    assert.deepEqual(bench.askedAfter(1), ['203199 10.1.1.1%1']);
  });

  test('a stale gateway is confirmed, a stale stranger is not', () => {
    const bench = new Bench();
    bench.nextHops.apply([
      neighbour('10.1.1.1%1', 0xaa),
      neighbour('10.1.1.9%1', 0xbb),
      routes('0.0.0.0/0', '10.1.1.1%1'),
    ]);
    assert.deepEqual(bench.askedAfter(30_000), []);
    bench.nextHops.apply([neighbour('10.1.1.1%1', 0xaa, 'stale'), neighbour('10.1.1.9%1', 0xbb, 'stale')]);
    assert.deepEqual(bench.askedAfter(10_000), ['30000 10.1.1.1%1', '40000 10.1.1.1%1']);
    bench.nextHops.apply([neighbour('10.1.1.1%1', 0xaa)]);
    assert.deepEqual(bench.askedAfter(20_000), []);
  });

  test('a gateway that no route leads through any more is left alone', () => {
    const bench = new Bench();
    bench.nextHops.apply([routes('0.0.0.0/0', '10.1.1.1%1'), routes('10.5.0.0/16', '10.1.1.1%1')]);
    bench.nextHops.apply([routes('0.0.0.0/0')]);
    assert.deepEqual(bench.askedAfter(50), ['0 10.1.1.1%1']);
    bench.nextHops.apply([link(1, { up: false })]);
    assert.deepEqual(bench.askedAfter(5000), []);
    bench.nextHops.apply([link(1)]);
    assert.deepEqual(bench.askedAfter(50), ['5050 10.1.1.1%1']);
    bench.nextHops.close();
    assert.deepEqual(bench.askedAfter(5000), []);
  });
});

describe("beginning the kernel's attempt again", () => {
  test('for a real server while its questions back off, and from the beginning when its link has come back', () => {
    const { nextHops, time, startedOver } = new Bench();
    nextHops.apply([routes('10.0.0.0/8', '%1')]);
    nextHops.hopFor(address('10.0.0.7'));
    time.advanceBy(5000);
    assert.deepEqual(startedOver.splice(0), ['0 10.0.0.7%1', '100 10.0.0.7%1', '300 10.0.0.7%1', '700 10.0.0.7%1']);
    nextHops.apply([link(1, { up: false })]);
    time.advanceBy(5000);
    nextHops.apply([link(1)]);
    time.advanceBy(50);
    assert.deepEqual(startedOver.splice(0), ['10000 10.0.0.7%1']);
    nextHops.apply([neighbour('10.0.0.7%1', 0xaa)]);
    nextHops.apply([neighbour('10.0.0.7%1', 0xaa, 'stale')]);
    time.advanceBy(50_000);
    assert.deepEqual(startedOver, []);
  });

  test('never for a client, who may not exist', () => {
    const { nextHops, time, asked, startedOver } = new Bench();
    nextHops.apply([routes('10.0.0.0/8', '%1')]);
    nextHops.missing(1, address('10.0.0.9'));
    time.advanceBy(5000);
    assert.ok(asked.length > 1);
    assert.deepEqual(startedOver, []);
  });
});

describe('clients that the data path misses', () => {
  test('one is resolved, kept confirmed while it is wanted, then left to the kernel', () => {
    const bench = new Bench();
    const { nextHops } = bench;
    assert.equal(nextHops.missing(1, address('10.0.0.7')), true);
    assert.deepEqual(bench.asked, ['0 10.0.0.7%1'], 'at once');
    assert.equal(nextHops.missing(1, address('10.0.0.7')), true);
    assert.deepEqual(bench.askedAfter(10), ['0 10.0.0.7%1']);
    nextHops.apply([neighbour('10.0.0.7%1', 0xaa)]);
    assert.deepEqual(bench.tables.takeCalls(), ['10.0.0.7%1: 02:00:00:00:00:aa']);
    bench.askedAfter(60_000);
    nextHops.apply([neighbour('10.0.0.7%1', 0xaa, 'stale')]);
    assert.deepEqual(bench.askedAfter(10), ['60010 10.0.0.7%1']);
    nextHops.apply([neighbour('10.0.0.7%1', 0xaa)]);
    bench.askedAfter(600_000);
    nextHops.apply([neighbour('10.0.0.7%1', 0xaa, 'stale')]);
    assert.deepEqual(bench.askedAfter(60_000), []);
    nextHops.apply([forgotten('10.0.0.7%1')]);
    assert.deepEqual(bench.askedAfter(60_000), []);
    assert.deepEqual(bench.tables.takeCalls(), ['10.0.0.7%1: removed']);
  });

  test('one that does not exist is given up, and makes room', () => {
    const bench = new Bench();
    const miss = (last: number): boolean => bench.nextHops.missing(1, address(`10.0.0.${last}`));
    assert.deepEqual([1, 2, 3, 4, 5].map(miss), [true, true, true, true, false]);
    const asked = bench.askedAfter(10_000).filter((each) => each.includes('10.0.0.1%1'));
    assert.deepEqual(
      asked.map((each) => each.split(' ')[0]),
      ['0', '100', '300', '700', '1500', '2500', '3500'],
    );
    assert.deepEqual([6, 7, 8, 9, 10].map(miss), [true, true, true, true, false]);
    bench.nextHops.apply([neighbour('10.0.0.6%1', 0xaa)]);
    assert.deepEqual([10, 11].map(miss), [true, false]);
  });

  test('the one that was admitted first makes room for others', () => {
    const bench = new Bench({ guestsMax: 2 });
    for (const last of [1, 2, 3]) {
      assert.equal(bench.nextHops.missing(1, address(`10.0.0.${last}`)), true);
      bench.nextHops.apply([neighbour(`10.0.0.${last}%1`, last)]);
    }
    bench.askedAfter(10_000);
    bench.nextHops.apply([1, 2, 3].map((last) => neighbour(`10.0.0.${last}%1`, last, 'stale')));
    assert.deepEqual(bench.askedAfter(0), ['10000 10.0.0.2%1', '10000 10.0.0.3%1']);
  });

  test('the rate is bounded', () => {
    const bench = new Bench({ outstandingMax: 1000, guestsMax: 1000 });
    const admitted = (): number =>
      Array.from({ length: 200 }, (_, i) =>
        bench.nextHops.missing(1, address(`10.0.${i}.${bench.time.nowMs() % 251}`)),
      ).filter(Boolean).length;
    assert.equal(admitted(), 100);
    bench.askedAfter(1001);
    assert.equal(admitted(), 10);
  });

  test('an interface that is no port, or that is down, has no clients', () => {
    const bench = new Bench();
    bench.nextHops.apply([link(2, { up: false })]);
    assert.deepEqual(
      [1, 2, 3, 9].map((each) => bench.nextHops.missing(each, address('10.0.0.7'))),
      [true, false, false, false],
    );
  });
});

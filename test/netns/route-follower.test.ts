// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { NextHops } from '../../src/engine/xdp/next-hops.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { MonotonicClock } from '../../src/platform/linux/monotonic-clock.ts';
import { interfaceFacts } from '../../src/platform/linux/netlink/interface-facts.ts';
import { RouteFollower } from '../../src/platform/linux/netlink/route-follower.ts';
import { eventually, type Namespace, Network, namespacesUnavailable } from '../support/namespaces.ts';
import { describeHop, NextHopTables } from '../unit/engine/xdp-next-hops-tables.ts';

const address = (text: string): IpAddress => text as IpAddress;
const indexOf = (namespace: Namespace, name: string): number => namespace.enter(() => interfaceFacts(name)).index;

/** The engine's next hops in one namespace. */
class Following {
  readonly tables = new NextHopTables();
  readonly warnings: string[] = [];
  readonly nextHops: NextHops;
  readonly follower: RouteFollower;

  constructor(namespace: Namespace) {
    const clock = new MonotonicClock();
    this.nextHops = new NextHops({
      sink: this.tables,
      clock,
      ask: (interfaceIndex, neighbour, startOver) => this.follower.ask(interfaceIndex, neighbour, startOver),
    });
    this.follower = namespace.enter(
      () =>
        new RouteFollower({
          clock,
          onEvents: (events) => this.nextHops.apply(events),
          onWarning: (sentence) => this.warnings.push(sentence),
        }),
    );
    this.follower.start();
  }

  async untilRoute(prefix: string, expected: string | undefined): Promise<void> {
    await this.#until(() => this.tables.routes.get(prefix), expected);
  }

  async untilHop(server: string, expected: string): Promise<void> {
    const hop = this.nextHops.hopFor(address(server));
    await this.#until(() => describeHop(hop), expected);
  }

  async untilNeighbour(key: string, expected: string | undefined): Promise<void> {
    await this.#until(() => this.tables.neighbours.get(key), expected);
  }

  async close(): Promise<void> {
    this.nextHops.close();
    await this.follower.close();
  }

  async #until(actual: () => string | undefined, expected: string | undefined): Promise<void> {
    await eventually(() => actual() === expected).catch(() => assert.equal(actual(), expected));
  }
}

describe('next hops followed from the kernel', { skip: namespacesUnavailable() }, () => {
  const network = new Network();
  let here: Namespace;
  let left: Namespace;
  let right: Namespace;
  let following: Following;
  let eth0: number;
  let eth1: number;

  /** A route or hop through an interface of `here`, to a MAC address or on the link. */
  const through = (name: string, index: number, to: string, mtu = 1500): string =>
    `${index} ${to} from ${here.macAddress(name)} mtu ${mtu}`;

  before(() => {
    [here, left, right] = ['here', 'left', 'right'].map((label) => network.namespace(label)) as [
      Namespace,
      Namespace,
      Namespace,
    ];
    network.join([here, 'eth0'], [left, 'eth0']);
    network.join([here, 'eth1'], [right, 'eth0']);
    network.join([here, 'eth2'], [right, 'eth1']);
    here.ip('addr', 'add', '10.1.0.1/24', 'dev', 'eth0');
    here.ip('addr', 'add', '10.2.0.1/24', 'dev', 'eth1');
    here.ip('addr', 'add', '10.3.0.1/24', 'dev', 'eth2');
    left.ip('addr', 'add', '10.1.0.2/24', 'dev', 'eth0');
    right.ip('addr', 'add', '10.2.0.2/24', 'dev', 'eth0');
    here.ip('route', 'add', 'default', 'via', '10.1.0.2');
    here.ip('route', 'add', 'blackhole', '192.0.2.0/24');
    for (const [namespace, name, ...addresses] of [
      [here, 'eth0', 'fe80::1/64', '2001:db8:1::1/64'],
      [left, 'eth0', 'fe80::2/64', '2001:db8:1::2/64'],
    ] as const) {
      namespace.ip('link', 'set', name, 'addrgenmode', 'none');
      namespace.run('sysctl', '-qw', `net.ipv6.conf.${name}.disable_ipv6=0`);
      for (const each of addresses) namespace.ip('addr', 'add', each, 'dev', name, 'nodad');
    }
    here.ip('-6', 'route', 'add', 'default', 'via', 'fe80::2', 'dev', 'eth0');
    eth0 = indexOf(here, 'eth0');
    eth1 = indexOf(here, 'eth1');
    following = new Following(here);
    following.nextHops.setPorts([eth0, eth1]);
  });
  after(async () => {
    await following?.close();
    network.remove();
  });

  test('the whole table, with gateways that the kernel resolves without a packet from this process', async () => {
    const leftMac = left.macAddress('eth0');
    await following.untilRoute('0.0.0.0/0', through('eth0', eth0, `via ${leftMac}`));
    await following.untilRoute('::/0', through('eth0', eth0, `via ${leftMac}`));
    assert.deepEqual([...following.tables.routes].sort(), [
      ['0.0.0.0/0', through('eth0', eth0, `via ${leftMac}`)],
      ['10.1.0.0/24', through('eth0', eth0, 'on the link')],
      ['10.1.0.1/32', 'unreachable'],
      ['10.1.0.255/32', 'unreachable'],
      ['10.2.0.0/24', through('eth1', eth1, 'on the link')],
      ['10.2.0.1/32', 'unreachable'],
      ['10.2.0.255/32', 'unreachable'],
      ['10.3.0.0/24', 'unreachable'],
      ['10.3.0.1/32', 'unreachable'],
      ['10.3.0.255/32', 'unreachable'],
      ['127.0.0.0/8', 'unreachable'],
      ['127.0.0.1/32', 'unreachable'],
      ['127.255.255.255/32', 'unreachable'],
      ['192.0.2.0/24', 'unreachable'],
      ['2001:db8:1::/64', through('eth0', eth0, 'on the link')],
      ['2001:db8:1::1/128', 'unreachable'],
      ['::/0', through('eth0', eth0, `via ${leftMac}`)],
      ['::1/128', 'unreachable'],
      ['fe80::/64', through('eth0', eth0, 'on the link')],
      ['fe80::1/128', 'unreachable'],
      ['ff00::/8', 'unreachable'],
    ]);
    assert.deepEqual([...following.tables.neighbours].sort(), [
      [`10.1.0.2%${eth0}`, leftMac],
      [`fe80::2%${eth0}`, leftMac],
    ]);
    assert.deepEqual(following.warnings, []);
  });

  test('a client on the link is resolved when the data path misses it', async () => {
    assert.equal(following.nextHops.missing(eth1, address('10.2.0.2')), true);
    await following.untilNeighbour(`10.2.0.2%${eth1}`, right.macAddress('eth0'));
    assert.equal(following.nextHops.missing(eth1 + 100, address('10.2.0.2')), false);
  });

  test('routes come, are replaced, preferred and go', async () => {
    const viaLeft = through('eth0', eth0, `via ${left.macAddress('eth0')}`);
    const viaRight = through('eth1', eth1, `via ${right.macAddress('eth0')}`);
    const prefix = '198.51.100.0/24';
    here.ip('route', 'add', prefix, 'via', '10.2.0.2', 'metric', '20');
    await following.untilRoute(prefix, viaRight);
    here.ip('route', 'add', prefix, 'via', '10.1.0.2', 'metric', '10');
    await following.untilRoute(prefix, viaLeft);
    here.ip('route', 'replace', prefix, 'via', '10.1.0.2', 'metric', '10', 'mtu', '1400');
    await following.untilRoute(prefix, through('eth0', eth0, `via ${left.macAddress('eth0')}`, 1400));
    here.ip('route', 'del', prefix, 'metric', '10');
    await following.untilRoute(prefix, viaRight);
    here.ip('route', 'replace', 'unreachable', prefix, 'metric', '20');
    await following.untilRoute(prefix, 'unreachable');
    here.ip('route', 'del', 'unreachable', prefix, 'metric', '20');
    await following.untilRoute(prefix, undefined);
    here.ip('route', 'add', prefix, 'nexthop', 'via', '10.2.0.2', 'nexthop', 'via', '10.1.0.2');
    await following.untilRoute(prefix, viaRight);
    here.ip('route', 'del', prefix);
    await following.untilRoute(prefix, undefined);
  });

  test('IPv6 routes of one metric, which the kernel merges', async () => {
    const prefix = '2001:db8:9::/48';
    here.ip('-6', 'route', 'add', prefix, 'via', '2001:db8:1::2');
    await following.untilRoute(prefix, through('eth0', eth0, `via ${left.macAddress('eth0')}`));
    here.ip('-6', 'route', 'append', prefix, 'via', 'fe80::2', 'dev', 'eth0');
    here.ip('-6', 'route', 'del', prefix, 'via', '2001:db8:1::2');
    here.ip('-6', 'neigh', 'replace', 'fe80::2', 'lladdr', '02:00:00:00:00:66', 'dev', 'eth0', 'nud', 'permanent');
    await following.untilRoute(prefix, through('eth0', eth0, 'via 02:00:00:00:00:66'));
    here.ip('-6', 'neigh', 'del', 'fe80::2', 'dev', 'eth0');
    await following.untilRoute(prefix, through('eth0', eth0, `via ${left.macAddress('eth0')}`));
    here.ip('-6', 'route', 'del', prefix);
    await following.untilRoute(prefix, undefined);
  });

  test('routes through a nexthop object follow it', async () => {
    const prefix = '198.51.100.0/24';
    here.ip('nexthop', 'add', 'id', '7', 'via', '10.1.0.2', 'dev', 'eth0');
    here.ip('route', 'add', prefix, 'nhid', '7');
    await following.untilRoute(prefix, through('eth0', eth0, `via ${left.macAddress('eth0')}`));
    here.ip('nexthop', 'replace', 'id', '7', 'via', '10.2.0.2', 'dev', 'eth1');
    await following.untilRoute(prefix, through('eth1', eth1, `via ${right.macAddress('eth0')}`));
    here.ip('nexthop', 'del', 'id', '7');
    await following.untilRoute(prefix, undefined);
  });

  test('an IPv4 route through an IPv6 gateway', async () => {
    const prefix = '198.51.100.0/24';
    here.ip('route', 'add', prefix, 'via', 'inet6', 'fe80::2', 'dev', 'eth0');
    await following.untilRoute(prefix, through('eth0', eth0, `via ${left.macAddress('eth0')}`));
    here.ip('route', 'del', prefix);
    await following.untilRoute(prefix, undefined);
  });

  test('a real server follows its route', async () => {
    const viaLeft = `to ${left.macAddress('eth0')}`;
    await following.untilHop('203.0.113.7', through('eth0', eth0, viaLeft));
    here.ip('route', 'add', '203.0.113.0/24', 'via', '10.2.0.2');
    await following.untilHop('203.0.113.7', through('eth1', eth1, `to ${right.macAddress('eth0')}`));
    here.ip('route', 'del', '203.0.113.0/24');
    await following.untilHop('203.0.113.7', through('eth0', eth0, viaLeft));
    await following.untilHop('10.3.0.9', 'unreachable');
  });

  test("a gateway's MAC address changes, and all its routes with it", async () => {
    here.ip('route', 'add', '198.51.100.0/24', 'via', '10.1.0.2');
    left.ip('link', 'set', 'eth0', 'address', '02:00:00:00:00:77');
    // As a gratuitous ARP would announce it; the kernel confirms it.
    here.ip('neigh', 'replace', '10.1.0.2', 'lladdr', '02:00:00:00:00:77', 'dev', 'eth0', 'nud', 'stale');
    for (const prefix of ['0.0.0.0/0', '198.51.100.0/24']) {
      await following.untilRoute(prefix, through('eth0', eth0, 'via 02:00:00:00:00:77'));
    }
    await following.untilHop('203.0.113.7', through('eth0', eth0, 'to 02:00:00:00:00:77'));
    here.ip('route', 'del', '198.51.100.0/24');
  });

  test('a gateway that the kernel has forgotten is found again, a silent one is asked for repeatedly', async () => {
    here.run('sysctl', '-qw', 'net.ipv4.neigh.eth0.mcast_solicit=1', 'net.ipv4.neigh.eth0.retrans_time_ms=100');
    const changes = (): string[] => following.tables.calls.filter((call) => call.startsWith('0.0.0.0/0: '));
    following.tables.takeCalls();
    here.ip('neigh', 'del', '10.1.0.2', 'dev', 'eth0');
    await eventually(() => changes().length === 2);
    assert.deepEqual(changes(), [
      `0.0.0.0/0: ${through('eth0', eth0, 'via ?')}`,
      `0.0.0.0/0: ${through('eth0', eth0, 'via 02:00:00:00:00:77')}`,
    ]);
    left.ip('addr', 'del', '10.1.0.2/24', 'dev', 'eth0');
    here.ip('neigh', 'del', '10.1.0.2', 'dev', 'eth0');
    await following.untilRoute('0.0.0.0/0', through('eth0', eth0, 'via ?'));
    await eventually(() => here.ip('neigh', 'show', '10.1.0.2').includes('FAILED'));
    left.run('sysctl', '-qw', 'net.ipv4.conf.eth0.arp_notify=0', 'net.ipv4.conf.all.arp_notify=0');
    left.ip('addr', 'add', '10.1.0.2/24', 'dev', 'eth0');
    await following.untilRoute('0.0.0.0/0', through('eth0', eth0, 'via 02:00:00:00:00:77'));
  });

  test('MTU and MAC address of an interface', async () => {
    here.ip('link', 'set', 'eth1', 'mtu', '1400');
    await following.untilRoute('10.2.0.0/24', through('eth1', eth1, 'on the link', 1400));
    here.ip('link', 'set', 'eth1', 'mtu', '1500');
    here.ip('link', 'set', 'eth1', 'address', '02:00:00:00:00:11');
    await following.untilRoute('10.2.0.0/24', `${eth1} on the link from 02:00:00:00:00:11 mtu 1500`);
  });

  test('an interface goes down with its routes, and comes back; a carrier that is lost', async () => {
    await following.untilHop('10.2.0.2', through('eth1', eth1, `to ${right.macAddress('eth0')}`));
    here.ip('link', 'set', 'eth1', 'down');
    await following.untilRoute('10.2.0.0/24', undefined);
    await following.untilNeighbour(`10.2.0.2%${eth1}`, undefined);
    // The kernel chooses the default route too.
    await following.untilHop('10.2.0.2', through('eth0', eth0, 'to 02:00:00:00:00:77'));
    here.ip('link', 'set', 'eth1', 'up');
    await following.untilHop('10.2.0.2', through('eth1', eth1, `to ${right.macAddress('eth0')}`));
    right.ip('link', 'set', 'eth0', 'down');
    await following.untilRoute('10.2.0.0/24', 'unreachable');
    right.ip('link', 'set', 'eth0', 'up');
    await following.untilHop('10.2.0.2', through('eth1', eth1, `to ${right.macAddress('eth0')}`));
  });

  test('a neighbour that was used while the carrier was lost is resolved as soon as it is back', async () => {
    await following.untilHop('10.2.0.2', through('eth1', eth1, `to ${right.macAddress('eth0')}`));
    right.ip('link', 'set', 'eth0', 'down');
    await following.untilRoute('10.2.0.0/24', 'unreachable');
    // As a health check does. The kernel's requests are lost, and the next one is due in a second.
    here.ip('neigh', 'replace', '10.2.0.2', 'dev', 'eth1', 'use');
    const upMs = performance.now();
    right.ip('link', 'set', 'eth0', 'up');
    await following.untilHop('10.2.0.2', through('eth1', eth1, `to ${right.macAddress('eth0')}`));
    const tookMs = performance.now() - upMs;
    assert.ok(tookMs < 500, `after ${tookMs} ms`);
  });

  test('a recreated interface has another index', async () => {
    here.ip('link', 'del', 'eth1');
    await following.untilRoute('10.2.0.0/24', undefined);
    network.join([here, 'eth1'], [right, 'eth0']);
    here.ip('addr', 'add', '10.2.0.1/24', 'dev', 'eth1');
    right.ip('addr', 'add', '10.2.0.2/24', 'dev', 'eth0');
    await following.untilRoute('10.2.0.0/24', 'unreachable');
    const anew = indexOf(here, 'eth1');
    assert.notEqual(anew, eth1);
    following.nextHops.setPorts([eth0, anew]);
    assert.equal(following.tables.routes.get('10.2.0.0/24'), through('eth1', anew, 'on the link'));
    await following.untilHop('10.2.0.2', through('eth1', anew, `to ${right.macAddress('eth0')}`));
  });

  test('policy rules are reported once', async () => {
    here.ip('rule', 'add', 'from', '10.1.0.0/24', 'lookup', '100', 'priority', '1000');
    here.ip('rule', 'add', 'from', '10.2.0.0/24', 'lookup', '100', 'priority', '1001');
    await eventually(() => following.warnings.length > 0);
    here.ip('route', 'add', '198.51.100.0/24', 'via', '10.1.0.2');
    await following.untilRoute('198.51.100.0/24', through('eth0', eth0, 'via 02:00:00:00:00:77'));
    assert.deepEqual(following.warnings, [
      'this host has policy routing rules (one of priority 1000), which the engine does not follow: it forwards by the ' +
        'tables local, main and default; make sure that clients and real servers are reached by these (see "ip rule")',
    ]);
  });

  test('10 000 routes: dumped, and added one by one faster than they are read', async (context) => {
    const prefixes = Array.from(
      { length: 10_000 },
      (_, i) => `100.${64 + (i >> 12)}.${(i >> 4) & 0xff}.${(i & 15) << 4}/28`,
    );
    const batch = (word: string): string => prefixes.map((prefix) => `route ${word} ${prefix} via 10.1.0.2\n`).join('');
    const run = (word: string): void => {
      execFileSync('ip', ['-n', here.name, '-batch', '-'], { input: batch(word), stdio: ['pipe', 'ignore', 'pipe'] });
    };
    const before = following.tables.routes.size;
    // The event loop is blocked meanwhile, and the kernel reports more than the socket can hold.
    for (const word of ['add', 'del', 'add', 'del']) run(word);
    await eventually(() => following.tables.routes.size === before, 20_000);
    let start = performance.now();
    run('add');
    const added = performance.now();
    await eventually(() => following.tables.routes.size === before + prefixes.length, 20_000);
    context.diagnostic(
      `followed ${(performance.now() - added).toFixed(1)} ms after the last was added, which took ${(added - start).toFixed(0)} ms`,
    );
    start = performance.now();
    const second = new Following(here);
    context.diagnostic(`dumped and applied in ${(performance.now() - start).toFixed(1)} ms`);
    second.nextHops.setPorts([eth0, indexOf(here, 'eth1')]);
    await eventually(() => following.tables.routes.size === second.tables.routes.size);
    assert.deepEqual(new Map([...second.tables.routes].sort()), new Map([...following.tables.routes].sort()));
    await second.close();
    run('del');
    await eventually(() => following.tables.routes.size === before, 20_000);
  });
});

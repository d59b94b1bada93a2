// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { NextHop } from '../../src/engine/portable/next-hop.ts';
import type { PacketPort } from '../../src/engine/portable/packet-port.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { MonotonicClock } from '../../src/platform/linux/monotonic-clock.ts';
import { interfaceFacts } from '../../src/platform/linux/netlink/interface-facts.ts';
import { RtnetlinkNextHopResolver } from '../../src/platform/linux/netlink/next-hop-resolver.ts';
import { Poller } from '../../src/platform/linux/process/poller.ts';
import { type Namespace, Network, namespacesUnavailable } from '../support/namespaces.ts';

/** The part of a port that a resolver reads: its identity. */
function portOf(namespace: Namespace, name: string): PacketPort {
  const { index, macAddress, mtu } = namespace.enter(() => interfaceFacts(name));
  return { interface: name, interfaceIndex: index, macAddress, mtu } as PacketPort;
}

const address = (text: string): IpAddress => text as IpAddress;
const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString('hex')
    .replace(/..(?!$)/g, '$&:');

describe('the next hop resolver', { skip: namespacesUnavailable() }, () => {
  const network = new Network();
  const clock = new MonotonicClock();
  let here: Namespace;
  let left: Namespace;
  let right: Namespace;
  let resolver: RtnetlinkNextHopResolver;

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
    resolver = here.enter(() => new RtnetlinkNextHopResolver([portOf(here, 'eth0'), portOf(here, 'eth1')], clock));
  });
  after(() => {
    resolver?.close();
    network.remove();
  });

  const until = (hop: NextHop, expected: string): void => driveUntil(resolver, clock, hop, expected);

  test('a destination on the link is resolved by the kernel, without a packet of ours', () => {
    const hop = resolver.resolve(address('10.1.0.2'));
    assert.equal(hop.state, 'resolving');
    assert.equal(hop.port?.interface, 'eth0');
    until(hop, `eth0 ${left.macAddress('eth0')}`);
    assert.equal(resolver.resolve(address('10.1.0.2')), hop);
  });

  test('destinations that lead nowhere', () => {
    const states = ['192.0.2.7', '10.1.0.1', '127.0.0.1', '10.3.0.9', '2001:db8::1'].map(
      (text) => [text, resolver.resolve(address(text)).state] as const,
    );
    assert.deepEqual(states, [
      ['192.0.2.7', 'unreachable'], // blackhole
      ['10.1.0.1', 'unreachable'], // an own address
      ['127.0.0.1', 'unreachable'],
      ['10.3.0.9', 'unreachable'], // an interface without a port
      ['2001:db8::1', 'unreachable'], // no route
    ]);
  });

  test('a next hop that is held follows the route, and the MAC address of its neighbour', () => {
    const hop = resolver.resolve(address('198.51.100.7'));
    until(hop, `eth0 ${left.macAddress('eth0')}`);
    here.ip('route', 'add', '198.51.100.0/24', 'via', '10.2.0.2');
    until(hop, `eth1 ${right.macAddress('eth0')}`);
    here.ip('route', 'replace', '198.51.100.0/24', 'via', '10.1.0.2');
    until(hop, `eth0 ${left.macAddress('eth0')}`);
    here.ip('route', 'del', '198.51.100.0/24');
    here.ip('neigh', 'replace', '10.1.0.2', 'lladdr', '02:00:00:00:00:99', 'dev', 'eth0', 'nud', 'reachable');
    until(hop, 'eth0 02:00:00:00:00:99');
    here.ip('neigh', 'del', '10.1.0.2', 'dev', 'eth0');
    until(hop, `eth0 ${left.macAddress('eth0')}`);
  });

  test('an interface that goes down takes its routes along, and brings them back', () => {
    const hop = resolver.resolve(address('10.2.0.2'));
    until(hop, `eth1 ${right.macAddress('eth0')}`);
    here.ip('link', 'set', 'eth1', 'down');
    // The default route remains, although its neighbour has no route to the destination: the kernel chooses it too.
    until(hop, `eth0 ${left.macAddress('eth0')}`);
    here.ip('link', 'set', 'eth1', 'up');
    until(hop, `eth1 ${right.macAddress('eth0')}`);
  });

  test('a neighbour that was used while the carrier was lost is resolved as soon as it is back', () => {
    const hop = resolver.resolve(address('10.2.0.2'));
    until(hop, `eth1 ${right.macAddress('eth0')}`);
    right.ip('link', 'set', 'eth0', 'down');
    until(hop, 'unreachable');
    // As a health check does. The kernel's requests are lost, and the next one is due in a second.
    here.ip('neigh', 'replace', '10.2.0.2', 'dev', 'eth1', 'use');
    const upMs = clock.nowMs();
    right.ip('link', 'set', 'eth0', 'up');
    until(hop, `eth1 ${right.macAddress('eth0')}`);
    const tookMs = clock.nowMs() - upMs;
    assert.ok(tookMs < 500, `after ${tookMs} ms`);
  });

  test('a stale neighbour stays usable and is confirmed again', () => {
    const hop = resolver.resolve(address('10.1.0.2'));
    until(hop, `eth0 ${left.macAddress('eth0')}`);
    here.run('sysctl', '-qw', 'net.ipv4.neigh.eth0.delay_first_probe_time=0');
    here.ip('neigh', 'change', '10.1.0.2', 'dev', 'eth0', 'lladdr', left.macAddress('eth0'), 'nud', 'stale');
    const poller = new Poller([resolver.fd]);
    const deadline = clock.nowMs() + 3000;
    const kernelState = (): string => here.ip('neigh', 'show', '10.1.0.2').trim().split(' ').at(-1)!;
    while (kernelState() !== 'REACHABLE') {
      assert.ok(clock.nowMs() < deadline, `still ${kernelState()}`);
      assert.equal(hop.state, 'resolved');
      poller.wait(20);
      resolver.update();
    }
  });

  test('a neighbour that does not answer is asked for again until it appears', () => {
    // Quick failures: one probe of 100 ms.
    here.run('sysctl', '-qw', 'net.ipv4.neigh.eth0.mcast_solicit=1', 'net.ipv4.neigh.eth0.retrans_time_ms=100');
    const hop = resolver.resolve(address('10.1.0.3'));
    assert.equal(hop.state, 'resolving');
    const poller = new Poller([resolver.fd]);
    const deadline = clock.nowMs() + 3000;
    while (!here.ip('neigh', 'show', '10.1.0.3').includes('FAILED')) {
      assert.ok(clock.nowMs() < deadline);
      poller.wait(50);
      resolver.update();
    }
    assert.equal(hop.state, 'resolving');
    left.run('sysctl', '-qw', 'net.ipv4.conf.all.arp_notify=0', 'net.ipv4.conf.eth0.arp_notify=0');
    left.ip('addr', 'add', '10.1.0.3/24', 'dev', 'eth0');
    until(hop, `eth0 ${left.macAddress('eth0')}`);
  });
});

describe('the next hop resolver over IPv6', { skip: namespacesUnavailable() }, () => {
  const network = new Network();
  const clock = new MonotonicClock();
  let here: Namespace;
  let left: Namespace;
  let right: Namespace;
  let resolver: RtnetlinkNextHopResolver;

  before(() => {
    [here, left, right] = ['here', 'left', 'right'].map((label) => network.namespace(label)) as [
      Namespace,
      Namespace,
      Namespace,
    ];
    network.join([here, 'eth0'], [left, 'eth0']);
    network.join([here, 'eth1'], [right, 'eth0']);
    for (const [namespace, name, ...addresses] of [
      [here, 'eth0', 'fe80::1/64', '2001:db8:1::1/64'],
      [here, 'eth1', 'fe80::1/64', '2001:db8:2::1/64'],
      [left, 'eth0', 'fe80::2/64', '2001:db8:1::2/64'],
      [right, 'eth0', 'fe80::2/64', '2001:db8:2::2/64'],
    ] as const) {
      namespace.ip('link', 'set', name, 'addrgenmode', 'none');
      namespace.run('sysctl', '-qw', `net.ipv6.conf.${name}.disable_ipv6=0`);
      for (const each of addresses) namespace.ip('addr', 'add', each, 'dev', name, 'nodad');
    }
    here.ip('-6', 'route', 'add', 'default', 'via', 'fe80::2', 'dev', 'eth0');
    here.ip('-6', 'route', 'add', 'unreachable', '2001:db8:dead::/48');
    resolver = here.enter(() => new RtnetlinkNextHopResolver([portOf(here, 'eth0'), portOf(here, 'eth1')], clock));
  });
  after(() => {
    resolver?.close();
    network.remove();
  });

  const until = (hop: NextHop, expected: string): void => driveUntil(resolver, clock, hop, expected);

  test('a destination on the link, by neighbour discovery of the kernel', () => {
    const hop = resolver.resolve(address('2001:db8:1::2'));
    assert.equal(hop.state, 'resolving');
    until(hop, `eth0 ${left.macAddress('eth0')}`);
  });

  test('a link-local gateway is asked for on the interface of its route, though both links have one of that address', () => {
    const hop = resolver.resolve(address('2001:db8:9::9'));
    until(hop, `eth0 ${left.macAddress('eth0')}`);
    here.ip('-6', 'route', 'add', '2001:db8:9::/48', 'via', 'fe80::2', 'dev', 'eth1');
    until(hop, `eth1 ${right.macAddress('eth0')}`);
    here.ip('-6', 'route', 'del', '2001:db8:9::/48');
    until(hop, `eth0 ${left.macAddress('eth0')}`);
  });

  test('destinations that lead nowhere', () => {
    const states = ['2001:db8:dead::1', '2001:db8:1::1', '::1', 'ff02::1'].map(
      (text) => [text, resolver.resolve(address(text)).state] as const,
    );
    assert.deepEqual(states, [
      ['2001:db8:dead::1', 'unreachable'],
      ['2001:db8:1::1', 'unreachable'], // an own address
      ['::1', 'unreachable'],
      ['ff02::1', 'unreachable'], // a group has no next hop
    ]);
  });

  test('unreachability detection: a neighbour that is gone is unresolved, and found again with another MAC address', () => {
    here.run('sysctl', '-qw', ...neighbourSettings('eth1'));
    const hop = resolver.resolve(address('2001:db8:2::2'));
    until(hop, `eth1 ${right.macAddress('eth0')}`);
    right.ip('addr', 'del', '2001:db8:2::2/64', 'dev', 'eth0');
    here.ip('neigh', 'change', '2001:db8:2::2', 'dev', 'eth1', 'lladdr', right.macAddress('eth0'), 'nud', 'probe');
    until(hop, 'resolving');
    right.ip('link', 'set', 'eth0', 'address', '02:00:00:00:00:77');
    right.ip('addr', 'add', '2001:db8:2::2/64', 'dev', 'eth0', 'nodad');
    until(hop, 'eth1 02:00:00:00:00:77');
  });

  test('an interface that goes down takes its routes along, and brings them back', () => {
    const hop = resolver.resolve(address('2001:db8:2::2'));
    here.ip('link', 'set', 'eth1', 'down');
    until(hop, `eth0 ${left.macAddress('eth0')}`);
    here.ip('link', 'set', 'eth1', 'up');
    // IPv6 addresses went with the link; the kernel solicits from the link-local one.
    here.ip('addr', 'replace', 'fe80::1/64', 'dev', 'eth1', 'nodad');
    here.ip('addr', 'replace', '2001:db8:2::1/64', 'dev', 'eth1', 'nodad');
    until(hop, 'eth1 02:00:00:00:00:77');
  });
});

/** Quick verdicts: one probe of 100 ms each. */
function neighbourSettings(name: string): string[] {
  const settings = { ucast_solicit: 1, mcast_solicit: 1, mcast_resolicit: 0, retrans_time_ms: 100 };
  return Object.entries(settings).map(([key, value]) => `net.ipv6.neigh.${name}.${key}=${value}`);
}

/** Drives the resolver as the engine's loop does, until the next hop is as described. */
function driveUntil(
  resolver: RtnetlinkNextHopResolver,
  clock: MonotonicClock,
  hop: NextHop,
  expected: string,
  timeoutMs = 4000,
): void {
  const poller = new Poller([resolver.fd]);
  const deadline = clock.nowMs() + timeoutMs;
  while (describeHop(hop) !== expected) {
    assert.ok(clock.nowMs() < deadline, `still ${describeHop(hop)}, not ${expected}`);
    poller.wait(Math.max(0, Math.min(deadline, resolver.nextUpdateMs()) - clock.nowMs()));
    resolver.update();
  }
}

function describeHop(hop: NextHop): string {
  return hop.state === 'resolved' ? `${hop.port?.interface} ${hex(hop.macAddress)}` : hop.state;
}

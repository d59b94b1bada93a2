// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { RouteLookup } from '../../src/platform/linux/netlink/route-lookup.ts';
import { eventually, type Namespace, Network, namespacesUnavailable } from '../support/namespaces.ts';

describe('whether the kernel has a route', { skip: namespacesUnavailable() }, () => {
  const network = new Network();
  let host: Namespace;
  let peer: Namespace;
  let routes: RouteLookup;

  before(() => {
    host = network.namespace('host');
    peer = network.namespace('peer');
    network.join([host, 'eth0'], [peer, 'eth0']);
    host.ip('link', 'set', 'eth0', 'addrgenmode', 'none');
    host.run('sysctl', '-qw', 'net.ipv6.conf.eth0.disable_ipv6=0');
    host.ip('addr', 'add', '10.9.0.2/24', 'dev', 'eth0');
    host.ip('addr', 'add', '2001:db8::2/64', 'dev', 'eth0', 'nodad');
    const added = [
      '10.9.2.0/24 via 10.9.0.1',
      '10.9.3.0/24 nexthop via 10.9.0.1 nexthop via 10.9.0.9',
      'unreachable 10.9.4.0/24',
      'blackhole 10.9.5.0/24',
      'prohibit 10.9.6.0/24',
      '2001:db8:2::/64 via 2001:db8::1',
      'unreachable 2001:db8:4::/64',
      'blackhole 2001:db8:5::/64',
      'prohibit 2001:db8:6::/64',
    ];
    for (const route of added) host.ip('route', 'add', ...route.split(' '));
    host.ip('nexthop', 'add', 'id', '7', 'via', '10.9.0.1', 'dev', 'eth0');
    host.ip('route', 'add', '10.9.7.0/24', 'nhid', '7');
    routes = host.enter(() => new RouteLookup());
  });
  after(() => {
    routes.close();
    network.remove();
  });

  const cases: Readonly<Record<string, readonly [string, boolean]>> = {
    'on the link': ['10.9.0.21', true],
    'through a gateway': ['10.9.2.21', true],
    'through one of two gateways': ['10.9.3.21', true],
    'by a nexthop object': ['10.9.7.21', true],
    'of the type unreachable': ['10.9.4.21', false],
    'of the type blackhole': ['10.9.5.21', false],
    'of the type prohibit': ['10.9.6.21', false],
    'to nowhere': ['10.8.0.21', false],
    'to an address of this host': ['10.9.0.2', false],
    'on the link, IPv6': ['2001:db8::21', true],
    'through a gateway, IPv6': ['2001:db8:2::21', true],
    'of the type unreachable, IPv6': ['2001:db8:4::21', false],
    'of the type blackhole, IPv6': ['2001:db8:5::21', false],
    'of the type prohibit, IPv6': ['2001:db8:6::21', false],
    'to nowhere, IPv6': ['2001:db8:9::21', false],
  };
  for (const [name, [address, expected]] of Object.entries(cases)) {
    test(name, () => assert.equal(routes.hasRoute(address as IpAddress), expected));
  }

  test('by a nexthop object whose hops the kernel does not list', () => {
    host.run('sysctl', '-qw', 'net.ipv4.nexthop_compat_mode=0');
    assert.equal(routes.hasRoute('10.9.7.21' as IpAddress), true);
    host.run('sysctl', '-qw', 'net.ipv4.nexthop_compat_mode=1');
  });

  test('a change is heard, and the look after it is asked for as well', async () => {
    await eventually(() => !routes.changed());
    host.ip('route', 'del', '10.9.2.0/24');
    assert.deepEqual([routes.changed(), routes.changed(), routes.changed()], [true, true, false]);
    assert.equal(routes.hasRoute('10.9.2.21' as IpAddress), false);
  });

  test('none over a link without a carrier', async () => {
    peer.ip('link', 'set', 'eth0', 'down');
    await eventually(() => !routes.hasRoute('10.9.0.21' as IpAddress));
    assert.equal(routes.hasRoute('2001:db8::21' as IpAddress), false);
    peer.ip('link', 'set', 'eth0', 'up');
    await eventually(() => routes.hasRoute('10.9.0.21' as IpAddress));
  });
});

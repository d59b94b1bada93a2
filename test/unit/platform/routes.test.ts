// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { familyOf, type IpAddress, ipAddressBytes } from '../../../src/lib/ip-address.ts';
import { RouteTable } from '../../../src/platform/linux/netlink/routes.ts';
import type { Route } from '../../../src/platform/linux/netlink/rtnetlink.ts';

const main = 254;
const local = 255;

function route(prefix: string, interfaceIndex: number | undefined, overrides: Partial<Route> = {}): Route {
  const [address, length] = prefix.split('/') as [IpAddress, string];
  return {
    table: main,
    family: familyOf(address),
    destination: ipAddressBytes(address),
    prefixLength: Number(length),
    metric: 0,
    unicast: true,
    hops: interfaceIndex === undefined ? [] : [{ interfaceIndex, gateway: undefined }],
    ...overrides,
  };
}

const table = new RouteTable([
  route('0.0.0.0/0', 1),
  route('10.0.0.0/8', 2),
  route('10.1.0.0/16', 3, { metric: 100 }),
  route('10.1.0.0/16', 4, { metric: 10 }),
  route('10.1.2.128/25', 5),
  route('10.1.2.200/32', undefined, { unicast: false }),
  route('10.2.0.0/16', undefined, { metric: 1 }),
  route('10.2.0.0/16', 6, { metric: 2 }),
  route('10.1.2.129/32', undefined, { table: local, unicast: false }),
  route('10.3.0.0/16', 9, { table: 100 }),
  route('2001:db8::/32', 7),
  route('2001:db8:1::/48', 8),
]);

describe('the route table', () => {
  const cases: readonly [destination: string, leadsTo: number | 'nowhere' | 'no route', why: string][] = [
    ['192.0.2.1', 1, 'the default route'],
    ['10.9.9.9', 2, 'a shorter prefix'],
    ['10.1.9.9', 4, 'the lower metric'],
    ['10.1.2.127', 4, 'just outside an odd prefix'],
    ['10.1.2.128', 5, 'just inside'],
    ['10.1.2.200', 'nowhere', 'an unreachable host'],
    ['10.2.0.1', 6, 'the preferred route has lost its hop'],
    ['10.1.2.129', 'nowhere', 'a local address comes first'],
    ['10.3.0.1', 2, 'another table is not looked at'],
    ['2001:db8::1', 7, 'IPv6'],
    ['2001:db8:1::1', 8, 'IPv6, longer prefix'],
    ['2001:db9::1', 'no route', 'IPv6 without a default route'],
  ];
  for (const [destination, leadsTo, why] of cases) {
    test(`${destination}: ${why}`, () => {
      const found = table.lookup(destination as IpAddress);
      const given = found === undefined ? 'no route' : (found.hops[0]?.interfaceIndex ?? 'nowhere');
      assert.equal(given, leadsTo);
    });
  }
});

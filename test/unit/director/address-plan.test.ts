// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AddressPlan, type Locate, planAddresses } from '../../../src/director/address-plan.ts';
import { engineLifeSlot, leaseSlots, routerLeaseSlotsMax } from '../../../src/model/lease.ts';
import { configuration, router, service } from './configurations.ts';

/** 192.0.2.0/24 is behind eth0, 10.0.0.0/24 behind eth1; `held` is what the host itself has. */
const host =
  (...held: string[]): Locate =>
  (address) => {
    const place = address.startsWith('192.0.2.') ? 'eth0' : address.startsWith('10.0.0.') ? 'eth1' : undefined;
    return place === undefined ? undefined : { interface: place, held: held.includes(address) };
  };

const plan = (...given: Parameters<typeof configuration>): AddressPlan =>
  planAddresses(configuration(...given), undefined, host());

function summary({ routers, addresses, interfaces }: AddressPlan): object {
  return {
    routers: routers.map(
      ({ router, leaseSlot, installed }) => `${router.name} slot ${leaseSlot} installs ${[...installed]}`,
    ),
    answers: addresses.map((each) => `${each.address} ${each.interface} slot ${each.leaseSlot} ${each.answer}`),
    interfaces,
  };
}

test('the engine answers for addresses with a virtual service; the others go onto the interface', () => {
  const web = router('web', 51, ['192.0.2.10', '192.0.2.99']);
  assert.deepEqual(summary(plan([web], [service('192.0.2.10', ['192.0.2.21'])])), {
    routers: ['web slot 0 installs 192.0.2.99'],
    answers: ['192.0.2.10 eth0 slot 0 true'],
    interfaces: ['eth0'],
  });
});

test('without virtual services every address goes onto its interface and the engine has none', () => {
  assert.deepEqual(summary(plan([router('web', 51, ['192.0.2.10'])])), {
    routers: ['web slot 0 installs 192.0.2.10'],
    answers: [],
    interfaces: [],
  });
});

test('the gateway of masqueraded real servers is answered by the engine, under the lease of its virtual router', () => {
  const web = router('web', 51, ['192.0.2.10', '10.0.0.1 eth1', '192.0.2.99']);
  assert.deepEqual(summary(plan([web], [service('192.0.2.10', ['10.0.0.21'], 'masquerade')])), {
    routers: ['web slot 0 installs 192.0.2.99'],
    answers: ['192.0.2.10 eth0 slot 0 true', '10.0.0.1 eth1 slot 0 true'],
    interfaces: ['eth0', 'eth1'],
  });
  const direct = plan([web], [service('192.0.2.10', ['10.0.0.21'], 'direct-route')]);
  assert.deepEqual([...direct.routers[0]!.installed], ['10.0.0.1', '192.0.2.99']);
});

test('a virtual address of no virtual router is answered where its route points, under an endless lease', () => {
  assert.deepEqual(summary(plan([], [service('192.0.2.10', ['192.0.2.21'])])), {
    routers: [],
    answers: ['192.0.2.10 eth0 slot -1 true'],
    interfaces: ['eth0'],
  });
  assert.throws(() => plan([], [service('203.0.113.1', ['192.0.2.21'])]), {
    message: 'no interface has a route to virtual_server 203.0.113.1; put the address into a vrrp_instance',
  });
});

test('a virtual address that the host holds already is refused, unless this director has put it there', () => {
  const services = [service('192.0.2.10', ['192.0.2.21'])];
  const given = configuration([router('web', 51, ['192.0.2.10'])], services);
  assert.throws(() => planAddresses(given, undefined, host('192.0.2.10')), {
    message:
      '192.0.2.10 is on eth0 already, whose kernel would reset its connections; take it off: ' +
      'ip address del 192.0.2.10/LENGTH dev eth0',
  });
  const before = plan([router('web', 51, ['192.0.2.10'])]);
  assert.deepEqual(
    summary(planAddresses(given, before, host('192.0.2.10'))),
    summary(plan(given.virtualRouters, services)),
  );
});

test('an address without virtual service may be on the interface already: a director that was killed left it', () => {
  const given = configuration([router('web', 51, ['192.0.2.99'])]);
  assert.deepEqual([...planAddresses(given, undefined, host('192.0.2.99')).routers[0]!.installed], ['192.0.2.99']);
});

test('a real server on this host is refused; one without a route is left to the engine', () => {
  const given = (realServer: string) =>
    configuration([router('web', 51, ['192.0.2.10'])], [service('192.0.2.10', [realServer])]);
  assert.throws(() => planAddresses(given('192.0.2.2'), undefined, host('192.0.2.2')), {
    message:
      'real_server 192.0.2.2 is an address of this director itself (eth0), ' +
      'and no engine forwards to its own host yet; move the real server to another host',
  });
  assert.deepEqual(planAddresses(given('203.0.113.5'), undefined, host()).interfaces, ['eth0']);
});

test('a reload never moves a lease: slots stay, and a freed one is given to the next', () => {
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name, i) => router(name, i + 1, [`192.0.2.${i + 10}`]));
  const slots = ({ routers }: AddressPlan): string =>
    routers.map(({ router, leaseSlot }) => `${router.name} ${leaseSlot}`).join(', ');
  const first = plan([a!, b!, c!]);
  assert.equal(slots(first), 'a 0, b 1, c 2');
  const second = planAddresses(configuration([c!, d!, b!]), first, host());
  assert.equal(slots(second), 'c 2, d 0, b 1');
  const renamed = { ...c!, name: 'renamed', priority: 200, advertIntervalMs: 1000 };
  assert.equal(slots(planAddresses(configuration([renamed]), second, host())), 'renamed 2');
  assert.equal(slots(planAddresses(configuration([{ ...c!, vrid: 9 }]), second, host())), 'c 0');
});

test('more virtual routers than lease slots are refused', () => {
  const many = (count: number) =>
    Array.from({ length: count }, (_, i) =>
      router(`r${i}`, (i % 255) + 1, ['192.0.2.10'], `eth${Math.floor(i / 255)}`),
    );
  assert.equal(plan(many(routerLeaseSlotsMax)).routers.at(-1)!.leaseSlot, routerLeaseSlotsMax - 1);
  assert.throws(() => plan(many(routerLeaseSlotsMax + 1)), {
    message: 'there are more than 255 vrrp_instances; remove some',
  });
});

test('the slots of virtual routers leave one of the lease memory to the engine', () => {
  assert.equal(routerLeaseSlotsMax, leaseSlots - 1);
  assert.equal(engineLifeSlot, leaseSlots - 1);
});

test('a virtual router follows the routes to the real servers of its services; one without services those of its family', () => {
  const followed = (given: Parameters<typeof configuration>, changes = {}): object => {
    const { routers } = planAddresses({ ...configuration(...given), ...changes }, undefined, host());
    return Object.fromEntries(routers.map(({ router: { name, realServers } }) => [name, realServers]));
  };
  const routers = [
    router('web', 51, ['192.0.2.10']),
    router('mail', 52, ['192.0.2.11']),
    router('inside', 53, ['10.0.0.1'], 'eth1'),
    router('web6', 51, ['2001:db8::10']),
  ];
  const web = service('192.0.2.10', ['10.0.0.21', '10.0.0.22']);
  const sorry = { ...web, port: 81, sorryServer: { ...web.realServers[0]!, address: web.realServers[1]!.address } };
  const mail = service('192.0.2.11', ['10.0.0.23']);
  assert.deepEqual(followed([routers, [web, sorry, mail]]), {
    web: ['10.0.0.21', '10.0.0.22'],
    mail: ['10.0.0.23'],
    inside: ['10.0.0.21', '10.0.0.22', '10.0.0.23'],
    web6: undefined,
  });
  assert.deepEqual(followed([routers.slice(0, 1), [web]], { trackRoutes: false }), { web: undefined });
});

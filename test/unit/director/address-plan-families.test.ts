// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type AddressPlan, type Locate, planAddresses } from '../../../src/director/address-plan.ts';
import { address, configuration, realServer, router, serviceOf } from './configurations.ts';

/** Clients before eth0, real servers behind eth1; `held` are addresses of the host, each `ADDRESS INTERFACE`. */
function host(held: readonly string[] = []): Locate {
  const own = new Map(held.map((text) => text.split(' ') as [string, string]));
  return (address) => {
    const interfaceName = own.get(address);
    if (interfaceName !== undefined) return { interface: interfaceName, held: true };
    if (/^(10\.|2001:db8:2:)/.test(address)) return { interface: 'eth1', held: false };
    return address.startsWith('198.') ? undefined : { interface: 'eth0', held: false };
  };
}

function describePlan({ routers, addresses, interfaces, families }: AddressPlan): object {
  return {
    answered: addresses.map(({ address, interface: name, leaseSlot }) => `${address} on ${name}, slot ${leaseSlot}`),
    installed: routers.flatMap(({ installed }) => [...installed]),
    interfaces,
    families: [...families],
  };
}

const web4 = serviceOf();
const web6 = serviceOf({ address: address('2001:db8:1::10'), realServers: [realServer('2001:db8:2::1')] });

describe('the address plan', () => {
  it('answers for services and gateways of both families, each under the lease of its router', () => {
    const four = router('four', 51, ['192.0.2.10', '10.0.0.254 eth1', '192.0.2.11']);
    const six = router('six', 51, ['fe80::51', '2001:db8:1::10', '2001:db8:2::fe eth1', 'fe80::fe eth1']);
    assert.deepEqual(describePlan(planAddresses(configuration([four, six], [web4, web6]), undefined, host())), {
      answered: [
        '192.0.2.10 on eth0, slot 0',
        '10.0.0.254 on eth1, slot 0',
        '2001:db8:1::10 on eth0, slot 1',
        '2001:db8:2::fe on eth1, slot 1',
        'fe80::fe on eth1, slot 1',
      ],
      installed: ['192.0.2.11', 'fe80::51'],
      interfaces: ['eth0', 'eth1'],
      families: ['ipv4', 'ipv6'],
    });
  });
  it('leaves an address beside the real servers to the kernel when it is no gateway of theirs', () => {
    const routers = [router('six', 51, ['2001:db8:2::fe eth1']), router('four', 52, ['10.0.0.254 eth1'])];
    const direct = serviceOf({ realServers: [realServer('10.0.0.1', { forwardingMethod: 'direct-route' })] });
    const plans = [[web4], [direct]].map((services) =>
      describePlan(planAddresses(configuration(routers, services), undefined, host())),
    );
    assert.deepEqual(
      plans.map((plan) => (plan as { installed: string[] }).installed),
      [['2001:db8:2::fe'], ['2001:db8:2::fe', '10.0.0.254']],
    );
  });
  it('knows the way to a sorry server, and its gateway', () => {
    const service = serviceOf({
      realServers: [realServer('192.0.2.21', { forwardingMethod: 'direct-route' })],
      sorryServer: { address: address('10.0.0.9'), port: 80, weight: 1, forwardingMethod: 'masquerade' },
    });
    const virtualRouters = [router('four', 51, ['192.0.2.10', '10.0.0.254 eth1'])];
    assert.deepEqual(describePlan(planAddresses(configuration(virtualRouters, [service]), undefined, host())), {
      answered: ['192.0.2.10 on eth0, slot 0', '10.0.0.254 on eth1, slot 0'],
      installed: [],
      interfaces: ['eth0', 'eth1'],
      families: ['ipv4'],
    });
  });
  it('serves an address without election all the time, where it is routed to', () => {
    const plan = planAddresses(configuration([], [web6]), undefined, host());
    assert.deepEqual(describePlan(plan), {
      answered: ['2001:db8:1::10 on eth0, slot -1'],
      installed: [],
      interfaces: ['eth0', 'eth1'],
      families: ['ipv6'],
    });
    const unrouted = configuration([], [serviceOf({ address: address('198.51.100.1') })]);
    assert.throws(() => planAddresses(unrouted, undefined, host()), {
      message: 'no interface has a route to virtual_server 198.51.100.1; put the address into a vrrp_instance',
    });
  });
  it('refuses an address that the host holds, but not its own, nor a link-local one of another interface', () => {
    const given = configuration([router('six', 51, ['2001:db8:1::10', 'fe80::fe eth1'])], [web6]);
    assert.throws(() => planAddresses(given, undefined, host(['2001:db8:1::10 eth0'])), {
      message:
        '2001:db8:1::10 is on eth0 already, whose kernel would reset its connections; take it off: ' +
        'ip address del 2001:db8:1::10/LENGTH dev eth0',
    });
    assert.throws(() => planAddresses(given, undefined, host(['fe80::fe eth1'])), /^Error: fe80::fe is on eth1/);
    planAddresses(given, undefined, host(['fe80::fe eth7']));
    const former = planAddresses({ ...given, services: [] }, undefined, host());
    planAddresses(given, former, host(['2001:db8:1::10 eth0']));
  });
  it('refuses a real or sorry server that is the host itself', () => {
    const sorry = serviceOf({ sorryServer: { ...realServer('10.0.0.9'), port: 80 } });
    assert.throws(() => planAddresses(configuration([], [sorry]), undefined, host(['10.0.0.9 eth1'])), {
      message:
        'sorry_server 10.0.0.9 is an address of this director itself (eth1), ' +
        'and no engine forwards to its own host yet; move the sorry server to another host',
    });
    assert.throws(
      () => planAddresses(configuration([], [web4]), undefined, host(['10.0.0.2 eth1'])),
      /^Error: real_server 10\.0\.0\.2 is an address/,
    );
  });
});

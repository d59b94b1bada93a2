// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { RtnetlinkAddressKeeper } from '../../src/platform/linux/netlink/address-keeper.ts';
import { primaryAddress } from '../../src/platform/linux/netlink/interface-facts.ts';
import { InterfaceFollower } from '../../src/platform/linux/netlink/interface-follower.ts';
import { eventually, type Namespace, Network, namespacesUnavailable } from '../support/namespaces.ts';

const virtual = '10.9.0.100' as IpAddress;

describe('the facts of interfaces', { skip: namespacesUnavailable() }, () => {
  const network = new Network();
  let host: Namespace;
  let follower: InterfaceFollower;
  let reports: string[] = [];
  const facts = () => host.enter(() => follower.facts('eth0'));
  const texts = (): string[] => facts().addresses.map(({ address }) => address);

  before(() => {
    host = network.namespace('host');
    const peer = network.namespace('peer');
    network.join([host, 'eth0'], [peer, 'eth0']);
    host.ip('addr', 'add', '10.9.0.2/24', 'dev', 'eth0');
    follower = host.enter(() => new InterfaceFollower());
    follower.start({
      onLink: (name, up) => reports.push(`${name} ${up ? 'up' : 'down'}`),
      onAddresses: (name) => reports.push(`${name} addresses`),
    });
    facts();
  });
  beforeEach(() => {
    reports = [];
  });
  after(() => {
    follower.close();
    network.remove();
  });

  const reported = (report: string): Promise<unknown> => eventually(() => reports.includes(report));

  test('are read once, however often they are asked for', () => {
    assert.equal(facts(), facts());
  });

  test('follow addresses that come and go', async () => {
    host.ip('addr', 'add', '10.9.1.3/24', 'dev', 'eth0');
    await reported('eth0 addresses');
    assert.deepEqual(texts(), ['10.9.0.2', '10.9.1.3']);
    reports = [];
    host.ip('addr', 'del', '10.9.1.3/24', 'dev', 'eth0');
    await reported('eth0 addresses');
    assert.deepEqual(texts(), ['10.9.0.2']);
  });

  test('follow the MAC address, the router flag and the link', async () => {
    const before = facts();
    host.ip('link', 'set', 'eth0', 'address', '02:00:00:00:09:09');
    assert.equal(await eventually(() => facts().macAddress[5] === 9), true);
    host.run('sysctl', '-qw', 'net.ipv4.conf.eth0.forwarding=1');
    await eventually(() => facts().forwarding && !before.forwarding);
    host.ip('link', 'set', 'eth0', 'down');
    await reported('eth0 down');
    host.ip('link', 'set', 'eth0', 'up');
    await reported('eth0 up');
  });

  test('a virtual address is no source, and its renewal is no change', async () => {
    const keeper = host.enter(() => new RtnetlinkAddressKeeper());
    keeper.add(virtual, 24, 'eth0');
    await reported('eth0 addresses');
    host.ip('addr', 'del', '10.9.0.2/24', 'dev', 'eth0');
    host.run('sysctl', '-qw', 'net.ipv4.conf.eth0.promote_secondaries=1');
    await eventually(() => !texts().includes('10.9.0.2'));
    keeper.add(virtual, 24, 'eth0');
    await eventually(() => texts().includes(virtual));
    assert.equal(primaryAddress(facts(), 'ipv4', new Set([virtual])), undefined);
    // Comes second to the virtual address, in the kernel's order too.
    host.ip('addr', 'add', '10.9.0.2/24', 'dev', 'eth0');
    await eventually(() => texts().length === 2);
    assert.equal(primaryAddress(facts(), 'ipv4', new Set([virtual]))?.address, '10.9.0.2');
    await new Promise((resolve) => setTimeout(resolve, 60));
    reports = [];
    keeper.renew();
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.deepEqual(reports, []);
    keeper.close();
  });
});

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { openSyncDescriptors, type SyncSocketOptions } from '../../src/platform/linux/datagram/sync-descriptors.ts';
import { UdpSyncSocket } from '../../src/platform/linux/datagram/sync-socket.ts';
import { InterfaceFollower } from '../../src/platform/linux/netlink/interface-follower.ts';
import { eventually, type Namespace, Network, namespacesUnavailable } from '../support/namespaces.ts';

const group = '224.0.0.81' as IpAddress;

describe('the sync socket', { skip: namespacesUnavailable() }, () => {
  const network = new Network();
  const sockets: UdpSyncSocket[] = [];
  let left: Namespace;
  let right: Namespace;

  before(() => {
    left = network.namespace('left');
    right = network.namespace('right');
    network.join([left, 'eth0'], [right, 'eth0']);
    network.join([left, 'eth1'], [right, 'eth1']);
    left.ip('addr', 'add', '10.6.0.1/24', 'dev', 'eth0');
    right.ip('addr', 'add', '10.6.0.2/24', 'dev', 'eth0');
  });
  after(() => {
    for (const socket of sockets) socket.close();
    network.remove();
  });

  const open = (namespace: Namespace, overrides: { interface?: string; group?: IpAddress; port?: number } = {}) => {
    const options = { interface: 'eth0', group, port: 8848, ttl: 1, ...overrides };
    const socket = namespace.enter(() => new UdpSyncSocket(options));
    sockets.push(socket);
    return socket;
  };

  test('carries datagrams both ways, and receives neither its own nor those of other groups', async () => {
    const a = open(left);
    const b = open(right);
    const other = open(left, { group: '224.0.0.82' as IpAddress, port: 8848 });
    const heard: string[] = [];
    const listen = (name: string, socket: UdpSyncSocket): void =>
      socket.onReceive((datagram, source) => heard.push(`${name} hears ${Buffer.from(datagram)} from ${source}`));
    listen('a', a);
    listen('b', b);
    listen('other', other);
    a.send(Buffer.from('one'));
    await eventually(() => heard.length === 1);
    b.send(Buffer.from('two'));
    await eventually(() => heard.length === 2);
    other.send(Buffer.from('stray'));
    a.send(Buffer.from('three'));
    await eventually(() => heard.length === 3);
    assert.deepEqual(heard, ['b hears one from 10.6.0.1', 'a hears two from 10.6.0.2', 'b hears three from 10.6.0.1']);
    assert.deepEqual(a.counters, { sent: 2, unsent: 0, received: 1, strangers: 0, errors: 0 });
  });

  test('takes a burst of 4 000 datagrams of 1 400 bytes', async () => {
    const a = open(left, { port: 8849 });
    const b = open(right, { port: 8849 });
    let received = 0;
    b.onReceive(() => {
      received += 1;
    });
    for (let i = 0; i < 4000; i += 1) a.send(new Uint8Array(1400));
    await eventually(() => received === 4000);
    assert.equal(a.counters.unsent, 0);
  });

  test('a failing interface is counted, never thrown', async () => {
    const a = open(left, { port: 8850 });
    left.ip('link', 'set', 'eth0', 'down');
    a.send(Buffer.from('lost'));
    await eventually(() => a.counters.unsent === 1);
    left.ip('link', 'set', 'eth0', 'up');
    await eventually(() => {
      a.send(Buffer.from('back'));
      return a.counters.sent > 0;
    });
    a.close();
    a.send(Buffer.from('after closing'));
  });

  test('says in one sentence what is wrong', () => {
    open(left, { port: 8851 });
    assert.throws(() => open(left, { port: 8851 }), {
      message:
        'UDP port 8851 of 224.0.0.81 on eth0 is in use; stop the other director or sync daemon, or set another port in lvs_sync_daemon',
    });
    assert.throws(() => open(left, { interface: 'eth1' }), {
      message: 'interface eth1 has no address of the family of 224.0.0.81; sync needs one',
    });
    assert.throws(() => open(left, { interface: 'eth9' }), {
      message: 'there is no interface eth9; create it, or correct the name in the configuration',
    });
  });
});

describe('the sync socket between peers, and over IPv6', { skip: namespacesUnavailable() }, () => {
  const network = new Network();
  const sockets: UdpSyncSocket[] = [];
  const ip = (text: string): IpAddress => text as IpAddress;
  let left: Namespace;
  let right: Namespace;

  before(() => {
    left = network.namespace('left');
    right = network.namespace('right');
    network.join([left, 'sync6'], [right, 'sync6']);
    for (const [namespace, host] of [
      [left, '1'],
      [right, '2'],
    ] as const) {
      namespace.ip('link', 'set', 'sync6', 'addrgenmode', 'none');
      namespace.run('sysctl', '-qw', 'net.ipv6.conf.sync6.disable_ipv6=0');
      namespace.ip('addr', 'add', `fe80::${host}/64`, 'dev', 'sync6', 'nodad');
      namespace.ip('addr', 'add', `2001:db8::${host}/64`, 'dev', 'sync6', 'nodad');
      namespace.ip('addr', 'add', `10.6.1.${host}/24`, 'dev', 'sync6');
    }
    right.ip('addr', 'add', '10.6.1.3/24', 'dev', 'sync6');
  });
  after(() => {
    for (const socket of sockets) socket.close();
    network.remove();
  });

  const open = (namespace: Namespace, options: Partial<SyncSocketOptions>): UdpSyncSocket => {
    const complete = { interface: 'sync6', group, port: 8848, ttl: 1, ...options };
    const socket = namespace.enter(() => new UdpSyncSocket(complete));
    sockets.push(socket);
    return socket;
  };

  const cases: Readonly<Record<string, readonly [Partial<SyncSocketOptions>, Partial<SyncSocketOptions>, string]>> = {
    'an IPv6 group': [{ group: ip('ff02::81') }, { group: ip('ff02::81') }, 'fe80::1'],
    'IPv4 peers': [{ unicastPeers: [ip('10.6.1.2')] }, { unicastPeers: [ip('10.6.1.1')] }, '10.6.1.1'],
    'IPv6 peers': [
      { unicastPeers: [ip('2001:db8::2')], unicastSource: ip('2001:db8::1') },
      { unicastPeers: [ip('2001:db8::1')] },
      '2001:db8::1',
    ],
    'link-local peers': [{ unicastPeers: [ip('fe80::2')] }, { unicastPeers: [ip('fe80::1')] }, 'fe80::1'],
  };
  for (const [name, [ours, theirs, source]] of Object.entries(cases)) {
    test(name, async () => {
      const a = open(left, ours);
      const b = open(right, theirs);
      const heard: string[] = [];
      a.onReceive((datagram) => heard.push(`a hears ${Buffer.from(datagram)}`));
      b.onReceive((datagram, from) => heard.push(`b hears ${Buffer.from(datagram)} from ${from}`));
      a.send(Buffer.from('one'));
      await eventually(() => heard.length === 1);
      b.send(Buffer.from('two'));
      await eventually(() => heard.length === 2);
      assert.deepEqual(heard, [`b hears one from ${source}`, 'a hears two']);
      a.close();
      b.close();
    });
  }

  test('datagrams of strangers are counted and dropped', async () => {
    const a = open(left, { unicastPeers: [ip('10.6.1.2')] });
    const peer = open(right, { unicastPeers: [ip('10.6.1.1')] });
    const stranger = open(right, { unicastPeers: [ip('10.6.1.1')], unicastSource: ip('10.6.1.3') });
    const heard: string[] = [];
    a.onReceive((datagram) => heard.push(`${Buffer.from(datagram)}`));
    stranger.send(Buffer.from('intrusion'));
    await eventually(() => a.counters.strangers === 1);
    peer.send(Buffer.from('welcome'));
    await eventually(() => heard.length === 1);
    assert.deepEqual(heard, ['welcome']);
    assert.deepEqual(a.counters, { sent: 0, unsent: 0, received: 1, strangers: 1, errors: 0 });
  });

  test('every peer gets a copy', async () => {
    const a = open(left, { port: 8849, unicastPeers: [ip('10.6.1.2'), ip('10.6.1.3')] });
    const others = ['10.6.1.2', '10.6.1.3'].map((address) =>
      open(right, { port: 8849, unicastPeers: [ip('10.6.1.1')], unicastSource: ip(address) }),
    );
    const heard: string[] = [];
    for (const other of others) other.onReceive((datagram) => heard.push(`${Buffer.from(datagram)}`));
    a.send(Buffer.from('copy'));
    await eventually(() => heard.length === 2);
    assert.deepEqual(heard, ['copy', 'copy']);
    assert.equal(a.counters.sent, 2);
  });

  test('a source that the interface does not have', () => {
    assert.throws(() => open(left, { unicastPeers: [ip('10.6.1.2')], unicastSource: ip('10.6.1.9') }), {
      message: 'interface sync6 does not have the address 10.6.1.9 that sync is to send from; add it',
    });
  });
});

describe('the sync socket on an interface that changes', { skip: namespacesUnavailable() }, () => {
  const ip = (text: string): IpAddress => text as IpAddress;
  const network = new Network();
  const sockets: UdpSyncSocket[] = [];
  const followers: InterfaceFollower[] = [];
  let left: Namespace;
  let right: Namespace;

  before(() => {
    left = network.namespace('left');
    right = network.namespace('right');
  });
  beforeEach(() => {
    network.join([left, 'sync0'], [right, 'sync0']);
    furnish(left, '1');
    furnish(right, '2');
  });
  afterEach(() => {
    for (const follower of followers.splice(0)) follower.close();
    for (const socket of sockets.splice(0)) socket.close();
    left.ip('link', 'del', 'sync0');
  });
  after(() => network.remove());

  const furnish = (namespace: Namespace, host: string): void => {
    namespace.ip('link', 'set', 'sync0', 'addrgenmode', 'none');
    namespace.run('sysctl', '-qw', 'net.ipv6.conf.sync0.disable_ipv6=0');
    namespace.ip('addr', 'add', `fe80::${host}/64`, 'dev', 'sync0', 'nodad');
    namespace.ip('addr', 'add', `10.6.2.${host}/24`, 'dev', 'sync0');
  };

  /** A socket that follows the reports of its interface, as the sync thread does. */
  const openFollowing = (namespace: Namespace, options: Partial<SyncSocketOptions> = {}) => {
    const follower = namespace.enter(() => new InterfaceFollower());
    followers.push(follower);
    const inside = <Value>(task: () => Value): Value => namespace.enter(task);
    const complete = { interface: 'sync0', group, port: 8848, ttl: 1, ...options };
    const ports = { factsOf: (name: string) => follower.facts(name), openDescriptors: openSyncDescriptors };
    const socket = inside(() => new UdpSyncSocket(complete, ports));
    sockets.push(socket);
    inside(() =>
      follower.start({
        onLink: (_name, up) => inside(() => socket.follow(!up)),
        onAddresses: () => inside(() => socket.follow()),
      }),
    );
    return socket;
  };

  /** Until a datagram from one arrives at the other. Gives its source. */
  const carried = async (from: UdpSyncSocket, to: UdpSyncSocket): Promise<IpAddress> => {
    const sources: IpAddress[] = [];
    to.onReceive((_datagram, source) => sources.push(source));
    await eventually(() => {
      from.send(Buffer.from('one'));
      return sources.length > 0;
    });
    return sources.at(-1)!;
  };

  test('over an IPv6 group, never from a virtual address, though the kernel would choose it', async () => {
    const virtualAddresses = new Set([ip('fe80::5:100')]);
    left.ip('addr', 'add', 'fe80::5:100/64', 'dev', 'sync0', 'nodad');
    const a = openFollowing(left, { group: ip('ff02::81'), virtualAddresses });
    const b = openFollowing(right, { group: ip('ff02::81') });
    assert.equal(await carried(a, b), 'fe80::1');
    assert.equal(await carried(b, a), 'fe80::2');
  });

  for (const options of [{}, { unicastPeers: [ip('10.6.2.2')] }]) {
    test(`sends from another address ${'unicastPeers' in options ? 'to a peer' : 'to the group'}`, async () => {
      const a = openFollowing(left, options);
      const b = openFollowing(
        right,
        'unicastPeers' in options ? { unicastPeers: [ip('10.6.2.1'), ip('10.6.2.11')] } : {},
      );
      assert.equal(await carried(a, b), '10.6.2.1');
      left.ip('addr', 'del', '10.6.2.1/24', 'dev', 'sync0');
      await eventually(() => a.source === undefined);
      assert.equal(a.impediment()?.startsWith('interface sync0 has no address of the family of '), true);
      left.ip('addr', 'add', '10.6.2.11/24', 'dev', 'sync0');
      await eventually(() => a.source === '10.6.2.11');
      assert.equal(await carried(a, b), '10.6.2.11');
      assert.equal(await carried(b, a), '10.6.2.2');
    });
  }

  test('joins the group on an interface that was deleted and recreated', async () => {
    const a = openFollowing(left);
    const b = openFollowing(right);
    assert.equal(await carried(b, a), '10.6.2.2');
    left.ip('link', 'del', 'sync0');
    await eventually(() => a.source === undefined && b.source === undefined);
    network.join([left, 'sync0'], [right, 'sync0']);
    furnish(left, '1');
    furnish(right, '2');
    await eventually(() => a.source === '10.6.2.1' && b.source === '10.6.2.2');
    assert.equal(await carried(a, b), '10.6.2.1');
    assert.equal(await carried(b, a), '10.6.2.2');
  });
});

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { parseIpAddress } from '../../../src/lib/ip-address.ts';
import type { SyncSocketOptions } from '../../../src/platform/linux/datagram/sync-descriptors.ts';
import { UdpSyncSocket } from '../../../src/platform/linux/datagram/sync-socket.ts';
import { type SyncPath, syncSource } from '../../../src/platform/linux/datagram/sync-source.ts';
import { AF_INET, bindSocket, SOCK_DGRAM, socket } from '../../../src/platform/linux/libc.ts';
import type { InterfaceFacts } from '../../../src/platform/linux/netlink/interface-facts.ts';

const ip = (text: string): IpAddress => {
  const address = parseIpAddress(text);
  assert.ok(address !== undefined, text);
  return address;
};
const group = ip('224.0.0.81');
const group6 = ip('ff02::81');

/** Addresses as `ip address` would list them; a `~` before one: duplicate address detection is not done. */
function eth0(addresses: readonly string[], change: Partial<InterfaceFacts> = {}): InterfaceFacts {
  return {
    index: 7,
    name: 'eth0',
    macAddress: new Uint8Array(6),
    mtu: 1500,
    up: true,
    running: true,
    forwarding: false,
    forwardingIpv6: false,
    addresses: addresses.map((text) => ({
      interfaceIndex: 7,
      address: ip(text.replace('~', '')),
      prefixLength: 24,
      secondary: false,
      linkLocal: text.includes('fe80:'),
      tentative: text.startsWith('~'),
      permanent: true,
    })),
    ...change,
  };
}

describe('the address that connection synchronisation sends from', () => {
  const cases: Readonly<Record<string, readonly [Partial<SyncPath>, readonly string[], string]>> = {
    'the first of the family': [{}, ['fe80::1', '10.0.0.1', '10.0.0.2'], '10.0.0.1'],
    'to an IPv6 group a link-local one': [{ group: group6 }, ['2001:db8::1', '10.0.0.1', 'fe80::1'], 'fe80::1'],
    'no virtual address, even the first': [
      { virtualAddresses: new Set([ip('10.0.0.9')]) },
      ['10.0.0.9', '10.0.0.1'],
      '10.0.0.1',
    ],
    'no virtual link-local address': [
      { group: group6, virtualAddresses: new Set([ip('fe80::9')]) },
      ['fe80::9', 'fe80::1'],
      'fe80::1',
    ],
    'to a global peer no virtual global address': [
      { unicastPeers: [ip('2001:db8::2')], virtualAddresses: new Set([ip('2001:db8::9')]) },
      ['2001:db8::9', 'fe80::1', '2001:db8::1'],
      '2001:db8::1',
    ],
    'the one that is configured': [
      { unicastPeers: [ip('10.0.0.3')], unicastSource: ip('10.0.0.2') },
      ['10.0.0.1', '10.0.0.2'],
      '10.0.0.2',
    ],
  };
  for (const [name, [path, addresses, expected]] of Object.entries(cases)) {
    test(name, () => {
      assert.equal(syncSource({ interface: 'eth0', group, ...path }, eth0(addresses)), expected);
    });
  }

  const refused: Readonly<Record<string, readonly [Partial<SyncPath>, readonly string[], string]>> = {
    'nothing but virtual addresses': [
      { virtualAddresses: new Set([ip('10.0.0.9')]) },
      ['10.0.0.9'],
      'interface eth0 has no address of the family of 224.0.0.81; sync needs one',
    ],
    'a tentative address': [
      { group: group6 },
      ['~fe80::1'],
      'interface eth0 has no address of the family of ff02::81; sync needs one',
    ],
    'a configured one that is virtual': [
      { unicastPeers: [ip('10.0.0.3')], unicastSource: ip('10.0.0.9'), virtualAddresses: new Set([ip('10.0.0.9')]) },
      ['10.0.0.9', '10.0.0.1'],
      '10.0.0.9 is a virtual address, which is at the active director alone, and sync is to send from it; correct unicast_src_ip',
    ],
    'a configured one that is gone': [
      { unicastPeers: [ip('10.0.0.3')], unicastSource: ip('10.0.0.2') },
      ['10.0.0.1'],
      'interface eth0 does not have the address 10.0.0.2 that sync is to send from; add it',
    ],
  };
  for (const [name, [path, addresses, message]] of Object.entries(refused)) {
    test(name, () => {
      assert.throws(() => syncSource({ interface: 'eth0', group, ...path }, eth0(addresses)), { message });
    });
  }
});

describe('the sync socket follows its interface', () => {
  const open: UdpSyncSocket[] = [];
  afterEach(() => {
    for (const each of open.splice(0)) each.close();
  });

  /** Sockets on the loopback interface stand for those of `eth0`, whose facts and port a test changes. */
  function start(options: Partial<SyncSocketOptions> = {}) {
    const opened: string[] = [];
    const host = { facts: eth0(['10.0.0.1']) as InterfaceFacts | undefined, taken: false };
    const transport = new UdpSyncSocket(
      { interface: 'eth0', group, port: 8848, ttl: 1, ...options },
      {
        factsOf: () => {
          if (host.facts === undefined) throw new Error('there is no interface eth0');
          return host.facts;
        },
        openDescriptors: (_options, { index }, source) => {
          if (host.taken) throw new Error('the port is taken');
          opened.push(`${source}%${index}`);
          const fd = socket(AF_INET, SOCK_DGRAM, 0);
          const loopback = new Uint8Array(16);
          loopback.set([AF_INET, 0, 0, 0, 127, 0, 0, 1]);
          bindSocket(fd, loopback);
          return { receive: fd, send: fd };
        },
      },
    );
    open.push(transport);
    return { transport, host, opened };
  }

  test('an unchanged one keeps its socket', () => {
    const { transport, opened } = start();
    assert.equal(transport.follow(), false);
    assert.deepEqual(opened, ['10.0.0.1%7']);
  });

  test('another address, and another interface of the name, get a new one', () => {
    const { transport, host, opened } = start();
    host.facts = eth0(['10.0.0.2']);
    assert.equal(transport.follow(), true);
    assert.equal(transport.source, '10.0.0.2');
    host.facts = eth0(['10.0.0.2'], { index: 8 });
    assert.equal(transport.follow(), true);
    assert.deepEqual(opened, ['10.0.0.1%7', '10.0.0.2%7', '10.0.0.2%8']);
  });

  test('without an address nothing is sent; one that is back joins the group again', () => {
    const { transport, host, opened } = start();
    host.facts = eth0([]);
    assert.equal(transport.follow(), false);
    assert.equal(transport.source, undefined);
    const sentence = 'interface eth0 has no address of the family of 224.0.0.81; sync needs one';
    assert.deepEqual([transport.impediment(), transport.trouble()], [sentence, sentence]);
    transport.send(new Uint8Array(1));
    assert.equal(transport.counters.unsent, 1);
    host.facts = eth0(['10.0.0.1']);
    assert.equal(transport.follow(), true);
    assert.deepEqual([transport.source, transport.impediment()], ['10.0.0.1', undefined]);
    assert.deepEqual(opened, ['10.0.0.1%7', '10.0.0.1%7']);
  });

  test('an interface that is recreated with its number and address, within one report', () => {
    const { transport, opened } = start();
    assert.equal(transport.follow(true), true);
    assert.equal(transport.follow(), false);
    assert.deepEqual(opened, ['10.0.0.1%7', '10.0.0.1%7']);
  });

  test('a link that is down waits for its return', () => {
    const { transport, host, opened } = start();
    host.facts = eth0(['10.0.0.1'], { running: false });
    assert.equal(transport.follow(true), false);
    host.facts = undefined;
    assert.equal(transport.follow(), false);
    assert.equal(transport.trouble(), 'there is no interface eth0 any more');
    host.facts = eth0(['10.0.0.1']);
    assert.equal(transport.follow(), true);
    assert.deepEqual(opened, ['10.0.0.1%7', '10.0.0.1%7']);
  });

  test('an address that has become a virtual one is left', () => {
    const { transport, host } = start();
    host.facts = eth0(['10.0.0.1', '10.0.0.2']);
    transport.avoid(new Set([ip('10.0.0.1')]));
    assert.equal(transport.follow(), true);
    assert.equal(transport.source, '10.0.0.2');
  });

  test('a socket that cannot be opened yet is tried again', () => {
    const { transport, host } = start();
    host.facts = eth0(['10.0.0.2']);
    host.taken = true;
    assert.equal(transport.follow(), false);
    assert.deepEqual([transport.source, transport.impediment()], [undefined, 'the port is taken']);
    transport.send(new Uint8Array(1));
    assert.equal(transport.counters.unsent, 1);
    host.taken = false;
    assert.equal(transport.follow(), true);
    assert.equal(transport.source, '10.0.0.2');
  });

  test('a closed one stays closed', () => {
    const { transport, host, opened } = start();
    transport.close();
    host.facts = eth0(['10.0.0.2']);
    assert.equal(transport.follow(true), false);
    assert.deepEqual(opened, ['10.0.0.1%7']);
  });
});

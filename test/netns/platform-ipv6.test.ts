// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ReceivedAdvertisement, VrrpPath } from '../../src/director/ports.ts';
import type { Frame } from '../../src/engine/portable/packet-port.ts';
import { type Family, type IpAddress, ipAddressBytes } from '../../src/lib/ip-address.ts';
import { RtnetlinkAddressKeeper } from '../../src/platform/linux/netlink/address-keeper.ts';
import { interfaceFacts, primaryAddress } from '../../src/platform/linux/netlink/interface-facts.ts';
import { refuseKernelForwarding } from '../../src/platform/linux/netlink/locate.ts';
import { PacketRing } from '../../src/platform/linux/packet/ring.ts';
import { Poller } from '../../src/platform/linux/process/poller.ts';
import { SegmentAnnouncer } from '../../src/platform/linux/vrrp/announce.ts';
import { RawVrrpTransport } from '../../src/platform/linux/vrrp/vrrp-socket.ts';
import { type Advertisement, advertisementLength, emitAdvertisement } from '../../vrrp/packet.ts';
import { eventually, type Namespace, Network, namespacesUnavailable } from '../support/namespaces.ts';

const skip = namespacesUnavailable();
const ip = (text: string): IpAddress => text as IpAddress;

/** IPv6 on an interface of a test, with addresses that are usable at once. */
function enableIpv6(namespace: Namespace, name: string, ...addresses: string[]): void {
  namespace.ip('link', 'set', name, 'addrgenmode', 'none');
  namespace.run('sysctl', '-qw', `net.ipv6.conf.${name}.disable_ipv6=0`);
  for (const address of addresses) namespace.ip('addr', 'add', address, 'dev', name, 'nodad');
}

describe('VRRP by unicast and over IPv6', { skip }, () => {
  const network = new Network();
  let left: Namespace;
  let right: Namespace;
  let a: RawVrrpTransport;
  let b: RawVrrpTransport;
  const heard: ReceivedAdvertisement[] = [];

  before(() => {
    left = network.namespace('left');
    right = network.namespace('right');
    network.join([left, 'vrrp6'], [right, 'vrrp6']);
    enableIpv6(left, 'vrrp6', 'fe80::1/64', 'fe80::11/64', '2001:db8::1/64');
    enableIpv6(right, 'vrrp6', 'fe80::2/64', '2001:db8::2/64');
    left.ip('addr', 'add', '10.4.1.1/24', 'dev', 'vrrp6');
    left.ip('addr', 'add', '10.4.1.11/24', 'dev', 'vrrp6');
    right.ip('addr', 'add', '10.4.1.2/24', 'dev', 'vrrp6');
    a = new RawVrrpTransport();
    b = new RawVrrpTransport();
    b.onReceive((advertisement) => heard.push({ ...advertisement, message: Uint8Array.from(advertisement.message) }));
  });
  after(() => {
    a.close();
    b.close();
    network.remove();
  });

  const open = (family: Family, ours: VrrpPath, theirs: VrrpPath): readonly [IpAddress, IpAddress] => [
    left.enter(() => a.open('vrrp6', family, ours)),
    right.enter(() => b.open('vrrp6', family, theirs)),
  ];

  const messageFor = (family: Family, source: IpAddress, destination: IpAddress): Uint8Array => {
    const addresses = [ip(family === 'ipv6' ? 'fe80::100' : '10.4.1.100')];
    const value: Advertisement = {
      version: 3,
      vrid: 7,
      priority: 9,
      intervalMs: 100,
      authenticationType: 0,
      addresses,
    };
    const message = new Uint8Array(advertisementLength(value));
    emitAdvertisement(value, { source, destination }, message);
    return message;
  };

  const anyTtl = { minTtl: 0, maxTtl: 255 };
  const cases: Readonly<Record<string, readonly [Family, VrrpPath, VrrpPath, string, string]>> = {
    'IPv6 to the group': ['ipv6', {}, {}, 'fe80::', 'ff02::12'],
    'IPv6 to the group from another address': ['ipv6', { sourceAddress: ip('fe80::11') }, {}, 'fe80::11', 'ff02::12'],
    'IPv4 to the group from another address': [
      'ipv4',
      { sourceAddress: ip('10.4.1.11') },
      {},
      '10.4.1.11',
      '224.0.0.18',
    ],
    'IPv4 to a peer': [
      'ipv4',
      { sourceAddress: ip('10.4.1.11'), unicastPeers: [{ address: ip('10.4.1.2'), ...anyTtl }] },
      { unicastPeers: [{ address: ip('10.4.1.11'), ...anyTtl }] },
      '10.4.1.11',
      '10.4.1.2',
    ],
    'IPv6 to a peer': [
      'ipv6',
      { sourceAddress: ip('2001:db8::1'), unicastPeers: [{ address: ip('2001:db8::2'), ...anyTtl }] },
      { sourceAddress: ip('2001:db8::2'), unicastPeers: [{ address: ip('2001:db8::1'), ...anyTtl }] },
      '2001:db8::1',
      '2001:db8::2',
    ],
    'IPv6 to a link-local peer': [
      'ipv6',
      { sourceAddress: ip('fe80::1'), unicastPeers: [{ address: ip('fe80::2'), ...anyTtl }] },
      { sourceAddress: ip('fe80::2'), unicastPeers: [{ address: ip('fe80::1'), ...anyTtl }] },
      'fe80::1',
      'fe80::2',
    ],
  };
  for (const [name, [family, ours, theirs, source, destination]] of Object.entries(cases)) {
    test(name, async () => {
      const [from] = open(family, ours, theirs);
      assert.ok(from.startsWith(source), from);
      heard.length = 0;
      const message = messageFor(family, from, ip(destination));
      a.send('vrrp6', family, message, () => undefined, { source: from, destination: ip(destination) });
      await eventually(() => heard.length > 0);
      assert.deepEqual(heard, [
        { interface: 'vrrp6', source: from, destination, ttl: 255, message: new Uint8Array(message) },
      ]);
    });
  }

  test('an IPv6 hop limit that is out of range is reported as a negative one', async () => {
    const narrow = { address: ip('2001:db8::1'), minTtl: 1, maxTtl: 254 };
    const fresh = new RawVrrpTransport();
    const told: number[] = [];
    fresh.onReceive(({ ttl, source }) => {
      if (source === narrow.address) told.push(ttl);
    });
    right.enter(() => fresh.open('vrrp6', 'ipv6', { sourceAddress: ip('2001:db8::2'), unicastPeers: [narrow] }));
    const endpoints = { source: ip('2001:db8::1'), destination: ip('2001:db8::2') };
    a.send('vrrp6', 'ipv6', messageFor('ipv6', endpoints.source, endpoints.destination), () => undefined, endpoints);
    await eventually(() => told.length === 1);
    assert.deepEqual(told, [-1]);
    fresh.close();
  });

  test('a source that the interface does not have is a sentence', () => {
    assert.throws(() => left.enter(() => a.open('vrrp6', 'ipv6', { sourceAddress: ip('2001:db8::9') })), {
      message:
        'interface vrrp6 does not have the address 2001:db8::9; VRRP is to send from it, so add it, or correct ' +
        'unicast_src_ip or mcast_src_ip',
    });
  });

  test('an address that may be a duplicate is no source, and one with a lifetime only when there is no other', () => {
    const primary = (): string | undefined =>
      primaryAddress(
        left.enter(() => interfaceFacts('vrrp6')),
        'ipv6',
      )?.address;
    left.ip('addr', 'flush', 'dev', 'vrrp6', 'scope', 'link');
    assert.equal(primary(), undefined);
    left.ip('addr', 'add', 'fe80::b/64', 'dev', 'vrrp6', 'nodad', 'valid_lft', '60', 'preferred_lft', '60');
    assert.equal(primary(), 'fe80::b');
    left.ip('addr', 'add', 'fe80::a/64', 'dev', 'vrrp6', 'nodad');
    left.ip('addr', 'add', 'fe80::c/64', 'dev', 'vrrp6', 'nodad', 'valid_lft', '60', 'preferred_lft', '60');
    assert.equal(primary(), 'fe80::a');
    left.ip('addr', 'del', 'fe80::a/64', 'dev', 'vrrp6');
    left.ip('addr', 'del', 'fe80::b/64', 'dev', 'vrrp6');
    left.ip('addr', 'del', 'fe80::c/64', 'dev', 'vrrp6');
    left.run('sysctl', '-qw', 'net.ipv6.conf.vrrp6.dad_transmits=10');
    left.ip('addr', 'add', 'fe80::d/64', 'dev', 'vrrp6');
    assert.equal(primary(), undefined);
  });
});

describe('IPv6 virtual addresses', { skip }, () => {
  const network = new Network();
  let left: Namespace;
  let right: Namespace;

  before(() => {
    left = network.namespace('left');
    right = network.namespace('right');
    network.join([left, 'addr6'], [right, 'addr6']);
    enableIpv6(left, 'addr6', 'fe80::1/64');
    enableIpv6(right, 'addr6', 'fe80::2/64', '2001:db8::2/64');
  });
  after(() => network.remove());

  test('are usable at once, go by themselves, and a host address is no source', () => {
    const keeper = left.enter(() => new RtnetlinkAddressKeeper());
    keeper.add(ip('2001:db8::7'), 64, 'addr6');
    keeper.add(ip('2001:db8::8'), 128, 'addr6');
    const shown = JSON.parse(left.ip('-json', '-6', 'addr', 'show', 'dev', 'addr6', 'scope', 'global')) as {
      addr_info?: Record<string, unknown>[];
    }[];
    const kept = shown
      .flatMap((link) => link.addr_info ?? [])
      .filter(({ local }) => local !== undefined)
      .map(({ local, prefixlen, tentative, deprecated, valid_life_time: valid, preferred_life_time: preferred }) => ({
        address: `${local}/${prefixlen}`,
        tentative: tentative === true,
        deprecated: deprecated === true,
        lasts: [(valid as number) <= 3, (preferred as number) <= 3],
      }))
      .sort((one, other) => (one.address < other.address ? -1 : 1));
    assert.deepEqual(kept, [
      { address: '2001:db8::7/64', tentative: false, deprecated: false, lasts: [true, true] },
      { address: '2001:db8::8/128', tentative: false, deprecated: true, lasts: [true, true] },
    ]);
    keeper.renew();
    keeper.remove(ip('2001:db8::7'), 64, 'addr6');
    keeper.remove(ip('2001:db8::8'), 128, 'addr6');
    keeper.remove(ip('2001:db8::8'), 128, 'addr6');
    assert.ok(!left.ip('-6', 'addr', 'show', 'dev', 'addr6').includes('2001:db8'));
    keeper.close();
  });

  test('an announcement replaces what neighbours have cached', async () => {
    const cached = (): string => right.ip('neigh', 'show', '2001:db8::100', 'dev', 'addr6');
    right.ip('neigh', 'replace', '2001:db8::100', 'lladdr', '02:00:00:00:00:99', 'dev', 'addr6', 'nud', 'reachable');
    const announcer = left.enter(() => new SegmentAnnouncer());
    left.enter(() => announcer.announce(ip('2001:db8::100'), 'addr6'));
    await eventually(() => cached().includes(left.macAddress('addr6')));
    assert.ok(!cached().includes('router'));
    assert.equal(announcer.failed, 0);
    announcer.close();
  });

  test('an interface whose kernel forwards IPv6 is refused for IPv6 services only', () => {
    const verify = (families: Family[]): void => left.enter(() => refuseKernelForwarding('addr6', families));
    left.run('sysctl', '-qw', 'net.ipv6.conf.addr6.forwarding=1');
    verify(['ipv4']);
    assert.throws(() => verify(['ipv4', 'ipv6']), {
      message:
        'net.ipv6.conf.addr6.forwarding is on, so the kernel would forward the packets of virtual services beside the ' +
        'portable engine; switch it off: sysctl -w net.ipv6.conf.addr6.forwarding=0',
    });
    left.run('sysctl', '-qw', 'net.ipv6.conf.addr6.forwarding=0');
    verify(['ipv4', 'ipv6']);
  });
});

describe('a packet ring and IPv6', { skip }, () => {
  const network = new Network();
  let left: Namespace;
  let right: Namespace;
  let ring: PacketRing;

  before(() => {
    left = network.namespace('left');
    right = network.namespace('right');
    network.join([left, 'ring6'], [right, 'ring6']);
    enableIpv6(left, 'ring6', 'fe80::1/64');
    enableIpv6(right, 'ring6', 'fe80::2/64', '2001:db8::2/64');
    ring = left.enter(() => new PacketRing('ring6', { slots: 64 }));
  });
  after(() => {
    ring.close();
    network.remove();
  });

  /** The targets of the neighbour solicitations that come within a moment, as hexadecimal. */
  const solicited = (): Set<string> => {
    const targets = new Set<string>();
    const poller = new Poller([ring.fd]);
    while (poller.wait(300) > 0) {
      ring.receive(64, ({ memory, offset }: Frame) => {
        if (memory[offset + 54] !== 135) return;
        targets.add(Buffer.from(memory.subarray(offset + 62, offset + 78)).toString('hex'));
      });
      ring.release();
    }
    return targets;
  };
  const hex = (address: string): string => Buffer.from(ipAddressBytes(ip(address))).toString('hex');
  const ask = (address: string): void => {
    right.ip('neigh', 'flush', 'dev', 'ring6');
    right.ip('neigh', 'add', address, 'dev', 'ring6', 'use');
  };
  const memberships = (): string => left.ip('-6', 'maddr', 'show', 'dev', 'ring6');

  test('hears solicitations for addresses that are on no interface, and reports the membership', () => {
    left.enter(() => ring.answerFor([ip('2001:db8::abcd:1234'), ip('192.0.2.1')]));
    assert.ok(memberships().includes('ff02::1:ffcd:1234'));
    assert.match(left.ip('maddr', 'show', 'dev', 'ring6'), /link\s+33:33:ff:cd:12:34/);
    ask('2001:db8::abcd:1234');
    assert.ok(solicited().has(hex('2001:db8::abcd:1234')));
  });

  test('leaves the group when the address goes', () => {
    left.enter(() => ring.answerFor([ip('2001:db8::5')]));
    assert.ok(!memberships().includes('ff02::1:ffcd:1234'));
    assert.ok(memberships().includes('ff02::1:ff00:5'));
  });

  test('moves to a recreated interface of the same name, and joins again', () => {
    const before = { index: ring.interfaceIndex, mac: Buffer.from(ring.macAddress).toString('hex') };
    assert.equal(
      left.enter(() => ring.reopen()),
      false,
    );
    left.ip('link', 'del', 'ring6');
    assert.equal(
      left.enter(() => ring.reopen()),
      false,
    );
    network.join([left, 'ring6'], [right, 'ring6']);
    enableIpv6(left, 'ring6', 'fe80::1/64');
    enableIpv6(right, 'ring6', 'fe80::2/64', '2001:db8::2/64');
    assert.equal(
      left.enter(() => ring.reopen()),
      true,
    );
    assert.equal(
      left.enter(() => ring.reopen()),
      false,
    );
    assert.notEqual(ring.interfaceIndex, before.index);
    assert.equal(Buffer.from(ring.macAddress).toString('hex'), left.macAddress('ring6').replaceAll(':', ''));
    assert.ok(memberships().includes('ff02::1:ff00:5'));
    ask('2001:db8::5');
    assert.ok(solicited().has(hex('2001:db8::5')));
    assert.equal(ring.transmitCopy(new Uint8Array(64), 0, 64), true);
    assert.equal(ring.flush(), 0);
  });
});

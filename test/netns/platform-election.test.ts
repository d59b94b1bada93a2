// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ReceivedAdvertisement } from '../../src/director/ports.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { close, MSG_DONTWAIT, pinnedMemory, recv } from '../../src/platform/linux/libc.ts';
import { RtnetlinkAddressKeeper } from '../../src/platform/linux/netlink/address-keeper.ts';
import { interfaceFacts } from '../../src/platform/linux/netlink/interface-facts.ts';
import { bindPacketSocket, ETH_P_ALL, openPacketSocket } from '../../src/platform/linux/packet/packet-socket.ts';
import { SegmentAnnouncer } from '../../src/platform/linux/vrrp/announce.ts';
import { RawVrrpTransport } from '../../src/platform/linux/vrrp/vrrp-socket.ts';
import { eventually, type Namespace, Network, namespacesUnavailable } from '../support/namespaces.ts';

const skip = namespacesUnavailable();
const address = (text: string): IpAddress => text as IpAddress;

/** All frames that pass an interface, in hexadecimal. */
class Capture {
  readonly #fd: number;
  readonly #buffer = pinnedMemory(2048);

  constructor(namespace: Namespace, interfaceName: string) {
    this.#fd = namespace.enter(() => {
      const fd = openPacketSocket();
      bindPacketSocket(fd, interfaceFacts(interfaceName).index, ETH_P_ALL, interfaceName);
      return fd;
    });
  }

  next(): string | undefined {
    const length = recv(this.#fd, this.#buffer.address, 2048, MSG_DONTWAIT);
    return length < 0 ? undefined : Buffer.from(this.#buffer.bytes.subarray(0, length)).toString('hex');
  }

  close(): void {
    close(this.#fd);
  }
}

const compact = (mac: string): string => mac.replaceAll(':', '');

// The names do not exist on the machine: a later look-up happens in this process's namespace, and must find nothing.
describe('the vrrp process on the network', { skip }, () => {
  const network = new Network();
  const message = Buffer.from('3107640100640a90c0000207', 'hex');
  let left: Namespace;
  let right: Namespace;
  let a: RawVrrpTransport;
  let b: RawVrrpTransport;
  const heard: { by: string; advertisement: ReceivedAdvertisement; message: string }[] = [];

  before(() => {
    left = network.namespace('left');
    right = network.namespace('right');
    network.join([left, 'vrrp0'], [right, 'vrrp0']);
    network.join([left, 'vrrp1'], [right, 'vrrp1']);
    left.ip('addr', 'add', '10.4.0.1/24', 'dev', 'vrrp0');
    left.ip('addr', 'add', '10.4.0.9/24', 'dev', 'vrrp0');
    right.ip('addr', 'add', '10.4.0.2/24', 'dev', 'vrrp0');
    a = new RawVrrpTransport();
    b = new RawVrrpTransport();
    for (const [by, transport] of [
      ['a', a],
      ['b', b],
    ] as const) {
      transport.onReceive((advertisement) =>
        heard.push({ by, advertisement, message: Buffer.from(advertisement.message).toString('hex') }),
      );
    }
  });
  after(() => {
    a.close();
    b.close();
    network.remove();
  });

  const send = (transport: RawVrrpTransport, bytes: Uint8Array): Promise<Error | undefined> =>
    new Promise((resolve) => transport.send('vrrp0', 'ipv4', bytes, resolve));

  test('opening gives the primary address', () => {
    assert.equal(
      left.enter(() => a.open('vrrp0', 'ipv4')),
      '10.4.0.1',
    );
    assert.equal(
      right.enter(() => b.open('vrrp0', 'ipv4')),
      '10.4.0.2',
    );
    assert.equal(
      left.enter(() => a.open('vrrp0', 'ipv4')),
      '10.4.0.1',
    );
  });

  test('opening where it cannot work says why', () => {
    const open = (name: string) => (): IpAddress => left.enter(() => a.open(name, 'ipv4'));
    assert.throws(open('vrrp1'), { message: 'interface vrrp1 has no IPv4 address; VRRP needs one to send from' });
    assert.throws(open('vrrp9'), {
      message: 'there is no interface vrrp9; create it, or correct the name in the configuration',
    });
  });

  test('advertisements reach the other side, both ways, and not their sender', async () => {
    const capture = new Capture(right, 'vrrp0');
    assert.equal(await send(a, message), undefined);
    await eventually(() => heard.length === 1);
    assert.equal(await send(b, message), undefined);
    await eventually(() => heard.length === 2);
    assert.deepEqual(
      heard.map(({ by, advertisement, message }) => ({ by, ...advertisement, message })),
      [
        {
          by: 'b',
          interface: 'vrrp0',
          source: '10.4.0.1',
          destination: '224.0.0.18',
          ttl: 255,
          message: message.toString('hex'),
        },
        {
          by: 'a',
          interface: 'vrrp0',
          source: '10.4.0.2',
          destination: '224.0.0.18',
          ttl: 255,
          message: message.toString('hex'),
        },
      ],
    );
    // The multicast address, CS6, TTL 255, protocol 112. IGMP reports pass here too.
    const frame = await eventually(() => {
      const bytes = capture.next();
      return bytes?.slice(46, 48) === '70' ? bytes : undefined;
    });
    capture.close();
    assert.equal(frame.slice(0, 32), `01005e000012${compact(left.macAddress('vrrp0'))}080045c0`);
    assert.equal(frame.slice(44, 48), 'ff70');
    assert.equal(frame.slice(52), `0a040001e0000012${message.toString('hex')}`);
  });

  test('an interface that is down reports it to the sender, and works again afterwards', async () => {
    left.ip('link', 'set', 'vrrp0', 'down');
    const error = await send(a, message);
    assert.match(error!.message, /^cannot send VRRP on vrrp0: /);
    left.ip('link', 'set', 'vrrp0', 'up');
    heard.length = 0;
    // The kernel may still drop what is sent until it has seen the carrier: the next advertisement gets through.
    await eventually(() => {
      a.send('vrrp0', 'ipv4', message, () => undefined);
      return heard.some(({ by }) => by === 'b');
    });
  });

  test('a gratuitous ARP is a broadcast request of the address for itself', async () => {
    const capture = new Capture(right, 'vrrp0');
    const announcer = left.enter(() => new SegmentAnnouncer());
    left.enter(() => announcer.announce(address('10.4.0.100'), 'vrrp0'));
    const frame = await eventually(() => {
      const bytes = capture.next();
      return bytes?.slice(24, 28) === '0806' ? bytes : undefined;
    });
    const mac = compact(left.macAddress('vrrp0'));
    assert.equal(frame, `ffffffffffff${mac}08060001080006040001${mac}0a040064ffffffffffff0a040064`);
    left.enter(() => announcer.announce(address('10.4.0.100'), 'vrrp9'));
    assert.equal(announcer.failed, 1);
    announcer.close();
    capture.close();
  });

  test('addresses can be added and removed repeatedly', () => {
    const keeper = left.enter(() => new RtnetlinkAddressKeeper());
    const shown = (): string[] =>
      interfaceFactsIn(left, 'vrrp1').addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`);
    keeper.add(address('10.5.0.7'), 24, 'vrrp1');
    keeper.add(address('10.5.0.7'), 24, 'vrrp1');
    keeper.add(address('10.5.0.8'), 32, 'vrrp1');
    assert.deepEqual(shown(), ['10.5.0.7/24', '10.5.0.8/32']);
    keeper.remove(address('10.5.0.7'), 24, 'vrrp1');
    keeper.remove(address('10.5.0.7'), 24, 'vrrp1');
    keeper.remove(address('10.5.0.7'), 24, 'vrrp9');
    assert.deepEqual(shown(), ['10.5.0.8/32']);
    assert.throws(() => keeper.add(address('10.5.0.7'), 24, 'vrrp9'), {
      message: 'cannot add 10.5.0.7/24 to vrrp9: there is no such interface (RTM_NEWADDR: ENODEV)',
    });
    keeper.close();
  });

  test('interface facts say whether the kernel forwards', () => {
    const forwards = (): boolean => interfaceFactsIn(left, 'vrrp1').forwarding;
    assert.equal(forwards(), false);
    left.run('sysctl', '-qw', 'net.ipv4.conf.vrrp1.forwarding=1');
    assert.equal(forwards(), true);
  });
});

function interfaceFactsIn(namespace: Namespace, name: string): ReturnType<typeof interfaceFacts> {
  return namespace.enter(() => interfaceFacts(name));
}

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Election } from '../../../src/director/election/election.ts';
import type { ReceivedAdvertisement, VrrpEndpoints, VrrpPath, VrrpTransport } from '../../../src/director/ports.ts';
import type { Family, IpAddress } from '../../../src/lib/ip-address.ts';
import { parseAdvertisement } from '../../../vrrp/packet.ts';
import { assign, type FlatRouter, factsOf } from '../../support/election.ts';
import { SimulatedHost } from '../../support/simulated-segment.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';
import { defaultRouter } from '../../transcript/vrrp/lab.ts';

const ip = (text: string): IpAddress => text as IpAddress;
const peers = ['192.0.2.2', '192.0.2.3'].map((address) => ({ address: ip(address), minTtl: 255, maxTtl: 255 }));

/** Tells what an election wants of it. */
class RecordingTransport implements VrrpTransport {
  readonly calls: string[] = [];
  readonly addresses: Record<Family, string> = { ipv4: '192.0.2.1', ipv6: 'fe80::1' };
  /** Destinations that the kernel has no route to. */
  readonly unreachable = new Set<string>();
  hear: (received: ReceivedAdvertisement) => void = () => {};
  missing = false;

  open(name: string, family: Family, { sourceAddress, unicastPeers }: VrrpPath = {}): IpAddress {
    if (this.missing) throw new Error('interface eth0 has no address');
    const source = sourceAddress ?? ip(this.addresses[family]);
    this.calls.push(
      `open ${name} ${source} for ${unicastPeers?.map(({ address }) => address).join(' ') ?? 'the group'}`,
    );
    return source;
  }

  send(
    _name: string,
    _family: Family,
    message: Uint8Array,
    onSent: (error?: Error) => void,
    via?: VrrpEndpoints,
  ): void {
    const parsed = parseAdvertisement(message, via!);
    const what = parsed.ok ? `priority ${parsed.value.priority}` : parsed.reason;
    this.calls.push(`send ${via!.source} > ${via!.destination} ${what}`);
    onSent(this.unreachable.has(via!.destination) ? new Error('there is no route') : undefined);
  }

  onReceive(listener: (received: ReceivedAdvertisement) => void): void {
    this.hear = listener;
  }

  close(): void {}
}

function elect(...routers: FlatRouter[]) {
  const time = new SimulatedTime();
  const transport = new RecordingTransport();
  const problems: string[] = [];
  const election = new Election({
    clock: new SimulatedHost('a', time),
    transport,
    addressKeeper: { add: () => {}, remove: () => {} },
    announcer: { announce: () => {} },
    leaseWriter: { grant: () => {}, revoke: () => {} },
    log: (level, sentence) => level === 'error' && problems.push(sentence),
    onChange: () => {},
  });
  election.configure(routers.map(assign));
  /** All calls since it was asked last. */
  const since = (): string[] => transport.calls.splice(0);
  return { time, transport, election, problems, since };
}

const unicast: FlatRouter = { ...defaultRouter, sourceAddress: ip('192.0.2.9'), unicastPeers: peers };

test('each peer gets an advertisement with a checksum of its own', () => {
  const { time, since } = elect(unicast);
  time.advanceTo(362);
  assert.deepEqual(since(), [
    'open eth0 192.0.2.9 for 192.0.2.2 192.0.2.3',
    'send 192.0.2.9 > 192.0.2.2 priority 100',
    'send 192.0.2.9 > 192.0.2.3 priority 100',
  ]);
});

test('one reachable peer is enough to be active; without any the virtual router is mute', () => {
  const { time, transport, election, problems } = elect(unicast);
  transport.unreachable.add('192.0.2.2');
  time.advanceTo(400);
  const [router] = factsOf(election);
  assert.deepEqual([router?.state, router?.holding, problems], ['active', true, []]);
  transport.unreachable.add('192.0.2.3');
  time.advanceTo(1200);
  assert.equal(factsOf(election)[0]?.holding, false);
  assert.deepEqual(problems, ['cannot send its advertisement: there is no route']);
});

test('a reload from the group to peers takes effect in place', () => {
  const { time, election, since } = elect(defaultRouter);
  time.advanceTo(400);
  since();
  election.configure([assign(unicast)]);
  time.advanceTo(500);
  assert.deepEqual(since(), [
    'open eth0 192.0.2.9 for 192.0.2.2 192.0.2.3',
    'send 192.0.2.9 > 192.0.2.2 priority 100',
    'send 192.0.2.9 > 192.0.2.3 priority 100',
  ]);
  assert.equal(factsOf(election)[0]?.becameActive, 1);
});

test('one VRID on one interface in both families is two virtual routers', () => {
  const six: FlatRouter = {
    ...defaultRouter,
    name: 'web6',
    family: 'ipv6',
    leaseSlot: 1,
    addresses: [{ address: ip('fe80::100'), prefixLength: 64, interface: 'eth0', install: false }],
  };
  const { time, since, election } = elect(defaultRouter, six);
  time.advanceTo(362);
  assert.deepEqual(since(), [
    'open eth0 192.0.2.1 for the group',
    'open eth0 fe80::1 for the group',
    'send 192.0.2.1 > 224.0.0.18 priority 100',
    'send fe80::1 > ff02::12 priority 100',
  ]);
  assert.deepEqual(
    factsOf(election).map(({ name, state, activeAddress }) => [name, state, activeAddress]),
    [
      ['web', 'active', '192.0.2.1'],
      ['web6', 'active', 'fe80::1'],
    ],
  );
});

test('an interface that comes back with another address is spoken from with that', () => {
  const { time, transport, election, since } = elect(defaultRouter);
  time.advanceTo(400);
  since();
  election.observe({ kind: 'link', interface: 'eth0', up: false });
  transport.addresses.ipv4 = '192.0.2.7';
  election.observe({ kind: 'link', interface: 'eth0', up: true });
  time.advanceTo(800);
  assert.deepEqual(since().slice(0, 2), [
    'open eth0 192.0.2.7 for the group',
    'send 192.0.2.7 > 224.0.0.18 priority 100',
  ]);
  assert.equal(factsOf(election)[0]?.activeAddress, '192.0.2.7');
});

test('an interface that comes back without an address is in fault, said once', () => {
  const { time, transport, election, problems } = elect(defaultRouter);
  time.advanceTo(400);
  transport.missing = true;
  for (let i = 0; i < 3; i += 1) election.observe({ kind: 'link', interface: 'eth0', up: true });
  assert.equal(factsOf(election)[0]?.state, 'fault');
  assert.deepEqual(problems, ['cannot take part in the election: interface eth0 has no address']);
  transport.missing = false;
  election.observe({ kind: 'link', interface: 'eth0', up: true });
  assert.equal(factsOf(election)[0]?.state, 'backup');
});

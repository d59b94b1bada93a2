// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextTcpState } from '../../../src/connection/tcp-transitions.ts';
import {
  DestinationLayout,
  HopLayout,
  LoadLayout,
  ServiceLayout,
  SettingsLayout,
  TallyLayout,
  TotalsLayout,
  TrafficLayout,
} from '../../../src/engine/xdp/layout/structs.ts';
import { emptySlot } from '../../../src/model/selector.ts';
import { TcpState } from '../../../src/model/tcp-state.ts';
import { compiledService, ip, XdpScene, xdpConfiguration, xdpInterfaces } from '../../support/xdp-scene.ts';

const web = ['192.0.2.80', 80] as const;
const [a, b, c] = [['10.0.0.1', 8080] as const, ['10.0.0.2', 8080] as const, ['10.0.0.3', 8080] as const];

test('a configuration in the maps', async () => {
  const scene = new XdpScene();
  const services = [
    compiledService(web, [a, b], {
      persistence: { timeoutMs: 60_000, prefixLength: 24 },
      scheduler: { name: 'sh', hashPort: true, fallback: true },
      selector: { shape: 'hash', slots: Uint16Array.of(1, 0, emptySlot), seed: -2, hashPort: true },
    }),
    compiledService(['2001:db8::80', 443], [['2001:db8:a::1', 443, { forwardingMethod: 'direct-route', weight: 0 }]], {
      selector: { shape: 'least', overhead: { active: 256, inactive: 1, constant: 2 }, candidates: [] },
    }),
  ];
  const addresses = [
    { address: ip('192.0.2.80'), interface: 'clients', leaseSlot: 3, answer: true },
    { address: ip('10.0.0.254'), interface: 'servers', leaseSlot: -1, answer: false },
  ];
  await scene.engine.configure(xdpConfiguration(services, { addresses, gracePeriodMs: 1234 }));
  assert.deepEqual(scene.destinations(), [
    '0 LCAW 10.0.0.1:8080 service 0',
    '1 LCAW 10.0.0.2:8080 service 0',
    '2 LCA- 2001:db8:a::1:443 service 1',
  ]);
  assert.deepEqual([scene.slots(0), scene.slots(0, 'destinations')], ['1 0 -', '0 1']);
  assert.deepEqual([scene.slots(1), scene.slots(1, 'destinations')], ['', '2']);
  assert.deepEqual(scene.endpoints('services4'), ['tcp 192.0.2.80:80 = 0']);
  assert.deepEqual(scene.endpoints('services6'), ['tcp 2001:db8::80:443 = 1']);
  assert.deepEqual(scene.endpoints('real_servers4'), ['tcp 10.0.0.1:8080 = 0', 'tcp 10.0.0.2:8080 = 1']);
  assert.deepEqual(scene.endpoints('real_servers6'), [], 'the replies of direct-route do not pass');
  assert.deepEqual(scene.addresses(), [
    '10.0.0.254 on 1030 lease -',
    '192.0.2.80 on 5 lease 3 answer served',
    '2001:db8::80 on 0 lease - served',
  ]);
  const records = scene.array('services');
  assert.deepEqual(
    [...records.value(0).subarray(ServiceLayout.shape, ServiceLayout.templateRounds + 4)],
    // shape, flags, lease, seed, persistence timeout, prefix length, padding, rounds
    [1, 0b11011, 3, 0, 0xfe, 0xff, 0xff, 0xff, 0x60, 0xea, 0, 0, 24, 0, 0, 0, 15, 0, 0, 0],
  );
  const overheads = [0, 1].map((number) => [...records.value(number).subarray(ServiceLayout.overhead).subarray(0, 8)]);
  assert.deepEqual(overheads, [
    [0, 0, 0, 0, 0, 0, 0, 0],
    [0, 1, 1, 0, 2, 0, 0, 0],
  ]);
  const settings = scene.array('.data.settings');
  assert.equal(settings.readWord(0, SettingsLayout.tcpTimeouts + 4 * TcpState.established), 900_000);
  assert.deepEqual(
    [settings.readWord(0, SettingsLayout.udpTimeout), settings.readWord(0, SettingsLayout.gracePeriod)],
    [300_000, 1234],
  );
  const at = SettingsLayout.nextStates + 512 + 18 * 16 + TcpState.synReceived;
  assert.equal(settings.bytes[at], nextTcpState(1, TcpState.synReceived, 18));
});

test('a destination’s record has what a packet needs, and where it goes', async () => {
  const scene = new XdpScene();
  await scene.engine.configure(
    xdpConfiguration([compiledService(web, [['10.0.0.1', 8080, { upperThreshold: 9, lowerThreshold: 4 }]])]),
  );
  const records = scene.array('destinations');
  const record = records.value(0);
  const bytes = (field: number, length: number): number[] => [...record.subarray(field, field + length)];
  assert.deepEqual(bytes(DestinationLayout.address, 20), [
    10,
    0,
    0,
    1,
    ...new Array(12).fill(0),
    0x1f,
    0x90,
    0,
    0b1111,
  ]);
  assert.deepEqual(bytes(DestinationLayout.virtualAddress, 18), [192, 0, 2, 80, ...new Array(12).fill(0), 0, 80]);
  assert.deepEqual([records.readHalf(0, DestinationLayout.leaseSlot), record[DestinationLayout.protocol]], [3, 6]);
  const thresholds = [DestinationLayout.upperThreshold, DestinationLayout.lowerThreshold];
  assert.deepEqual(
    thresholds.map((field) => records.readWord(0, field)),
    [9, 4],
  );
  const hop = DestinationLayout.hop;
  assert.deepEqual(bytes(hop, HopLayout.size), [
    ...[6, 4, 0, 0, 0x28, 0x23, 2, 0],
    ...[2, 9, 0, 0, 0, 1, 2, 0, 0, 0, 0, 6],
  ]);
  scene.hopState = 'unreachable';
  scene.engine.completeNextHops();
  assert.equal(record[hop + HopLayout.state], 0);
});

test('a reload keeps numbers; a real server that leaves keeps its connections, and goes with the last of them', async () => {
  const scene = new XdpScene();
  await scene.engine.configure(xdpConfiguration([compiledService(web, [a, b])]));
  scene.load(0, 2);
  scene.array('traffic').storeLong(16 * 1, TrafficLayout.connections, 7n);
  const before = scene.array('services').loadLong(0, ServiceLayout.selector);
  await scene.engine.configure(xdpConfiguration([compiledService(web, [a, b])]));
  assert.equal(scene.array('services').loadLong(0, ServiceLayout.selector), before, 'nothing is written again');

  await scene.engine.configure(xdpConfiguration([compiledService(web, [b, c])]));
  const retired = '0 L--- 10.0.0.1:8080 service 0';
  const staying = ['1 LCAW 10.0.0.2:8080 service 0', '2 LCAW 10.0.0.3:8080 service 0'];
  assert.deepEqual(scene.destinations(), [retired, ...staying]);
  assert.deepEqual([scene.slots(0), scene.slots(0, 'destinations')], ['1 2', '1 2']);
  assert.equal(scene.endpoints('real_servers4').length, 3, 'its replies are still told');
  scene.advance(60_000);
  assert.deepEqual(scene.destinations(), [retired, ...staying]);

  scene.load(0, 0);
  scene.advance(1_000);
  assert.deepEqual(scene.endpoints('real_servers4'), ['tcp 10.0.0.2:8080 = 1', 'tcp 10.0.0.3:8080 = 2']);
  assert.deepEqual(scene.destinations(), [retired, ...staying], 'not in the same second');
  scene.advance(1_500);
  assert.deepEqual(scene.destinations(), staying);
  assert.deepEqual(scene.released, ['10.0.0.1']);
  const { services } = await scene.engine.counters();
  assert.deepEqual([services[0]!.connections, services[0]!.realServers[0]!.connections], [7, 0]);
  await scene.engine.configure(xdpConfiguration([compiledService(web, [a])]));
  assert.match(scene.destinations()[0]!, /^0 LCAW 10\.0\.0\.1/);
  const [again] = (await scene.engine.counters()).services;
  assert.deepEqual([again!.connections, again!.realServers[0]!.connections], [7, 0], 'a number begins with nothing');
});

test('what a packet may still be on its way to is kept for a second', async () => {
  const scene = new XdpScene();
  await scene.engine.configure(xdpConfiguration([compiledService(web, [a, b])]));
  scene.advance(1_000);
  scene.nowMs += 600;
  await scene.engine.configure(xdpConfiguration([compiledService(web, [b])]));
  scene.advance(500);
  assert.equal(scene.endpoints('real_servers4').length, 2, 'half a second');
  scene.advance(1_000);
  assert.equal(scene.endpoints('real_servers4').length, 1);
});

test('a real server that has left obeys the lease of its service', async () => {
  const scene = new XdpScene();
  await scene.engine.configure(xdpConfiguration([compiledService(web, [a, b])]));
  const addresses = [{ address: ip('192.0.2.80'), interface: 'clients', leaseSlot: 9, answer: true }];
  await scene.engine.configure(xdpConfiguration([compiledService(web, [b])], { addresses }));
  const leases = [0, 1].map((number) => scene.array('destinations').readHalf(number, DestinationLayout.leaseSlot));
  assert.deepEqual(leases, [9, 9]);
  await scene.engine.configure(xdpConfiguration([compiledService(web, [b])], { addresses: [] }));
  assert.equal(scene.array('destinations').readHalf(0, DestinationLayout.leaseSlot), 0xffff);
});

test('a real server that comes back while its connections last has the number it had', async () => {
  const scene = new XdpScene();
  await scene.engine.configure(xdpConfiguration([compiledService(web, [a, b])]));
  scene.load(0, 1);
  await scene.engine.configure(xdpConfiguration([compiledService(web, [b])]));
  scene.advance(5_000);
  await scene.engine.configure(xdpConfiguration([compiledService(web, [a, b])]));
  assert.deepEqual(scene.destinations(), ['0 LCAW 10.0.0.1:8080 service 0', '1 LCAW 10.0.0.2:8080 service 0']);
});

test('entries of a removed service are dead, and its number is another one’s only when they have gone', async () => {
  const scene = new XdpScene();
  await scene.engine.configure(xdpConfiguration([compiledService(web, [a])]));
  scene.load(0, 1);
  const other = compiledService(['192.0.2.80', 81], [b]);
  await scene.engine.configure(xdpConfiguration([other]));
  assert.deepEqual(scene.destinations(), ['0 ---- 10.0.0.1:8080 service 0', '1 LCAW 10.0.0.2:8080 service 1']);
  assert.deepEqual(scene.endpoints('services4'), ['tcp 192.0.2.80:81 = 1']);
  await scene.engine.configure(xdpConfiguration([other, compiledService(web, [a])]));
  assert.deepEqual(scene.destinations(), [
    '0 ---- 10.0.0.1:8080 service 0',
    '1 LCAW 10.0.0.2:8080 service 1',
    '2 LCAW 10.0.0.1:8080 service 2 > 0',
  ]);
  assert.deepEqual(scene.endpoints('real_servers4'), ['tcp 10.0.0.1:8080 = 2', 'tcp 10.0.0.2:8080 = 1']);
  scene.load(0, 0);
  scene.advance(5_000);
  await scene.engine.configure(
    xdpConfiguration([other, compiledService(web, [a]), compiledService(['192.0.2.80', 82], [c])]),
  );
  assert.deepEqual(scene.endpoints('services4'), [
    'tcp 192.0.2.80:80 = 2',
    'tcp 192.0.2.80:81 = 1',
    'tcp 192.0.2.80:82 = 0',
  ]);
});

test('real servers that share an endpoint are a chain, the configured ones first and in their order', async () => {
  const scene = new XdpScene();
  const service = (port: number, servers: readonly (readonly [string, number])[]) =>
    compiledService(['192.0.2.80', port], servers);
  await scene.engine.configure(xdpConfiguration([service(80, [a]), service(81, [a, b]), service(82, [a])]));
  const chains = (): string[] =>
    [...scene.endpoints('real_servers4'), ...scene.destinations()].map((line) => line.replace(/ \D*service.*>/, ' >'));
  const links = (): (string | undefined)[] => scene.destinations().map((line) => line.split(' > ')[1]);
  assert.deepEqual(links(), ['1', '3', undefined, undefined], chains().join('\n'));
  assert.deepEqual(scene.endpoints('real_servers4')[0], 'tcp 10.0.0.1:8080 = 0');
  for (const number of [0, 1, 2, 3]) scene.load(number, 1);
  await scene.engine.configure(xdpConfiguration([service(82, [a]), service(81, [b]), service(80, [a])]));
  assert.deepEqual(links(), ['1', undefined, undefined, '0'], 'the one of service 81 has left: last');
  assert.deepEqual(scene.endpoints('real_servers4')[0], 'tcp 10.0.0.1:8080 = 3');
});

test('what cannot be had is refused in a sentence, and nothing changes', async () => {
  const scene = new XdpScene();
  await scene.engine.configure(xdpConfiguration([compiledService(web, [a, b])]));
  const before = [scene.destinations(), scene.slots(0), scene.endpoints('services4'), scene.addresses()];
  const many = (count: number) => Array.from({ length: count }, (_, i) => [`10.0.1.${i}`, 80] as const);
  const services = (count: number) => many(count).map(([, port], i) => compiledService(['192.0.2.81', port + i], [a]));
  const rows: [ReturnType<typeof services>, RegExp][] = [
    [[compiledService(web, many(17))], /room for 16 real servers/],
    [services(9), /room for 8 virtual services/],
    [
      [compiledService(web, [a, c], { selector: { shape: 'sequence', slots: new Uint16Array(61) } })],
      /room for 64 slots in the selectors/,
    ],
    [[compiledService(web, [['2001:db8::1', 80]])], /real server 2001:db8::1 is of the other address family/],
  ];
  for (const [wanted, expected] of rows) {
    await assert.rejects(scene.engine.configure(xdpConfiguration(wanted)), expected);
    assert.deepEqual([scene.destinations(), scene.slots(0), scene.endpoints('services4'), scene.addresses()], before);
  }
  const addresses = many(4097).map((_, i) => ({
    address: ip(`10.1.${i >> 8}.${i & 255}`),
    interface: 'clients',
    leaseSlot: 0,
    answer: true,
  }));
  await assert.rejects(scene.engine.configure(xdpConfiguration([], { addresses })), /room for 4096 virtual addresses/);
  assert.throws(
    () => scene.engine.setInterfaces([xdpInterfaces[0]!, { ...xdpInterfaces[1]!, index: 1029 }]),
    /interfaces clients \(index 5\) and servers \(index 1029\) have the same index modulo 1024/,
  );
});

test('a selector is replaced elsewhere while there is room, and its old place is used again after a second', async () => {
  const scene = new XdpScene({ slotsMax: 20 });
  const weighted = (first: number) =>
    xdpConfiguration([
      compiledService(web, [a, b], { selector: { shape: 'sequence', slots: Uint16Array.of(first, 1, 1, 1, 1, 1) } }),
    ]);
  const start = (): number => Number(scene.array('services').loadLong(0, ServiceLayout.selector) & 0xffffn);
  const places: number[] = [];
  for (const [first, ms] of [
    [0, 0],
    [1, 0],
    [0, 0],
    [1, 0],
    [0, 2_000],
  ] as const) {
    scene.advance(ms);
    await scene.engine.configure(weighted(first));
    assert.equal(scene.slots(0), `${first} 1 1 1 1 1`);
    places.push(start());
  }
  // 0..5 and 8..13; then the last has to be written over, until the first is free again.
  assert.deepEqual(places, [0, 8, 14, 14, 0]);
});

test('thresholds: raised or taken away they end an overload, lowered they do not', async () => {
  const scene = new XdpScene();
  const loads = scene.array('loads');
  const configure = (upperThreshold?: number) => {
    const terms = upperThreshold === undefined ? {} : { upperThreshold };
    return scene.engine.configure(xdpConfiguration([compiledService(web, [['10.0.0.1', 8080, terms]])]));
  };
  await configure(5);
  for (const [threshold, expected] of [
    [4, 1],
    [6, 0],
    [6, 1],
    [undefined, 0],
  ] as const) {
    loads.writeWord(0, LoadLayout.overloaded, 1);
    await configure(threshold);
    assert.equal(loads.readWord(0, LoadLayout.overloaded), expected, `${threshold}`);
  }
});

test('a director that starts again goes on with what the program has', async () => {
  const scene = new XdpScene();
  const services = [compiledService(web, [a, b]), compiledService(['192.0.2.80', 81], [a])];
  await scene.engine.configure(xdpConfiguration(services));
  scene.engine.completeNextHops();
  for (const number of [0, 1, 2]) scene.load(number, 1);
  scene.array('traffic').storeLong(1, TrafficLayout.packetsIn, 5n);
  const before = [scene.destinations(), scene.slots(0), scene.slots(1), scene.addresses()];
  // The next hops are not known yet.
  scene.hopState = 'unreachable';
  scene.start();
  const records = scene.array('destinations');
  const hopState = (): number => records.readByte(0, DestinationLayout.hop + HopLayout.state);
  assert.equal(hopState(), 2);
  await scene.engine.configure(xdpConfiguration(services));
  assert.deepEqual([scene.destinations(), scene.slots(0), scene.slots(1), scene.addresses()], before);
  assert.equal((await scene.engine.counters()).services[0]!.packetsIn, 5);
  assert.equal(hopState(), 2, 'what the former process knew counts until all is known');
  scene.engine.completeNextHops();
  assert.equal(hopState(), 0);

  // The director starts with another configuration: what that lacks goes as in a reload.
  scene.start();
  await scene.engine.configure(xdpConfiguration([compiledService(web, [b, c])]));
  assert.deepEqual(scene.destinations(), [
    '0 L--- 10.0.0.1:8080 service 0 > 2',
    '1 LCAW 10.0.0.2:8080 service 0',
    '2 ---- 10.0.0.1:8080 service 1',
    '3 LCAW 10.0.0.3:8080 service 0',
  ]);
  for (const number of [0, 1, 2]) scene.load(number, 0);
  scene.start();
  await scene.engine.configure(xdpConfiguration([compiledService(web, [b, c])]));
  scene.advance(5_000);
  assert.deepEqual(scene.destinations(), ['1 LCAW 10.0.0.2:8080 service 0', '3 LCAW 10.0.0.3:8080 service 0']);
  assert.deepEqual(scene.endpoints('services4'), ['tcp 192.0.2.80:80 = 0']);
});

test('routes and neighbours that a former process left are dropped when all are known', () => {
  const scene = new XdpScene();
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
  const route = { kind: 'onLink', interfaceIndex: 5, mtu: 1500, ownMacAddress: mac, resolved: false, macAddress: mac };
  scene.sink!.setRoute({ address: ip('192.0.2.0'), length: 24 }, { ...route, kind: 'onLink' });
  scene.sink!.setRoute({ address: ip('2001:db8::'), length: 32 }, { ...route, kind: 'unreachable' });
  scene.sink!.setNeighbour(5, ip('192.0.2.9'), mac);
  const counts = (): number[] => ['routes4', 'routes6', 'neighbours'].map((name) => [...scene.map(name).keys()].length);
  scene.start();
  scene.sink!.setRoute({ address: ip('192.0.2.0'), length: 24 }, { ...route, kind: 'onLink' });
  assert.deepEqual(counts(), [1, 1, 1]);
  scene.engine.completeNextHops();
  assert.deepEqual(counts(), [1, 0, 0]);
  const [[key, value]] = [...scene.map('routes4').entries()] as [[Uint8Array, Uint8Array]];
  assert.deepEqual([...key], [24, 0, 0, 0, 192, 0, 2, 0]);
  assert.deepEqual([...value], [5, 0, 0, 0, 0xdc, 5, 2, 0, ...mac, ...mac, 1, 0, 0, 0]);
});

test('the filter of served addresses has a bit for each of them, and for no other', async () => {
  const scene = new XdpScene();
  const services = [compiledService(web, [a]), compiledService(['2001:db8::80', 80], [['2001:db8:a::1', 80]])];
  const bits = (): number[] => {
    const settings = scene.array('.data.settings');
    const words = settings.words.subarray(SettingsLayout.served >> 2, (SettingsLayout.served + 128) >> 2);
    return Array.from({ length: 1024 }, (_, bit) => bit).filter((bit) => ((words[bit >> 5]! >> (bit & 31)) & 1) === 1);
  };
  // Address words as a little-endian machine loads them, folded by XOR, times 2^32 / phi, the upper ten bits.
  const bitOf = (word: bigint): number => Number(((word * 0x9e3779b1n) & 0xffff_ffffn) >> 22n);
  const [ipv4, ipv6] = [bitOf(0x500200c0n), bitOf(0xb80d0120n ^ 0x80000000n)];
  const kernels = { address: ip('10.0.0.254'), interface: 'servers', leaseSlot: 3, answer: false };
  await scene.engine.configure(xdpConfiguration(services, { addresses: [kernels] }));
  assert.deepEqual(
    bits(),
    [ipv4, ipv6].toSorted((x, y) => x - y),
  );
  await scene.engine.configure(xdpConfiguration(services.slice(0, 1)));
  assert.deepEqual(bits(), [ipv4]);
});

test('counters are summed over processors, and templates are no connections', async () => {
  const scene = new XdpScene();
  await scene.engine.configure(xdpConfiguration([compiledService(web, [a])]));
  const totals = scene.array('.data.totals');
  totals.writeWord(0, TotalsLayout.established, 5);
  totals.writeWord(0, TotalsLayout.establishedTemplates, 2);
  totals.writeWord(0, TotalsLayout.halfOpen, 3);
  totals.writeWord(0, TotalsLayout.halfOpenTemplates, 1);
  const tallies = scene.array('tallies');
  for (const processor of [0, 1]) {
    tallies.storeLong(processor, 8 * 4, 0x1_0000_0001n);
    tallies.storeLong(processor, TallyLayout.events + 8 * 7, 3n);
    scene.array('traffic').storeLong(16 * processor, TrafficLayout.bytesOut, 10n);
  }
  scene.load(0, 4);
  const counters = await scene.engine.counters();
  const { halfOpenConnections, establishedConnections, connectionTemplates, eventOverruns, drops } = counters;
  assert.deepEqual([halfOpenConnections, establishedConnections, connectionTemplates], [2, 3, 3]);
  assert.deepEqual([drops.noLease, drops.tableFull, eventOverruns], [2 * 0x1_0000_0001, 0, 6]);
  const nothing = { connections: 0, packetsIn: 0, bytesIn: 0, packetsOut: 0 };
  assert.deepEqual(counters.services, [
    {
      name: 'tcp 192.0.2.80:80',
      ...nothing,
      bytesOut: 20,
      realServers: [
        { address: '10.0.0.1', port: 8080, ...nothing, bytesOut: 20, activeConnections: 4, inactiveConnections: 0 },
      ],
    },
  ]);
});

test('an interface that is recreated takes its place, and its addresses with it', async () => {
  const scene = new XdpScene();
  await scene.engine.configure(xdpConfiguration([compiledService(web, [a])]));
  scene.engine.setInterfaces([{ ...xdpInterfaces[0]!, index: 7, mtu: 1400 }, xdpInterfaces[1]!]);
  assert.deepEqual(scene.addresses(), ['192.0.2.80 on 7 lease 3 answer served']);
  const ports = scene.array('ports');
  assert.deepEqual([...ports.value(5)], new Array(16).fill(0));
  assert.deepEqual([...ports.value(7)], [7, 0, 0, 0, 0x78, 5, 2, 0, 0, 0, 0, 5, 0, 0, 0, 0]);
  const egress = [...scene.map('egress').entries()].map(([key, value]) => `${key[0]} > ${value[0]! + 256 * value[1]!}`);
  assert.deepEqual(egress.sort(), ['6 > 1030', '7 > 7']);
});

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Overhead, Selector } from '../../src/model/selector.ts';
import { connectionOverhead } from '../../src/scheduler/least.ts';
import { networks, sendAll } from './datagrams.ts';
import type { MakeEngine } from './engine-under-test.ts';
import { Flags, segmentFrame, udpFrame } from './packets.ts';
import { configurationOf, Scene } from './scene.ts';

const twoServers: Selector = { shape: 'sequence', slots: Uint16Array.of(0, 1) };

async function serverOf(scene: Scene, source: string, sourcePort = 1000): Promise<string> {
  const [line] = await scene.client({ source, sourcePort, flags: 'S' });
  return line?.match(/> 10\.0\.0\.(\d)/)?.[1] ?? 'refused';
}

/** Which real server takes a client: thresholds and persistence; and how many entries a UDP flood may take. */
export function loadContract(name: string, make: MakeEngine): void {
  test(`${name}: an upper threshold, in every selector shape`, async () => {
    const rows: [string, Selector, boolean, string][] = [
      ['sequence', { shape: 'sequence', slots: Uint16Array.of(0, 0, 0, 1) }, false, '1 1 2 2 refused'],
      [
        'least',
        {
          shape: 'least',
          overhead: connectionOverhead,
          candidates: [
            { realServer: 0, divisor: 100 },
            { realServer: 1, divisor: 1 },
          ],
        },
        false,
        '1 1 2 2 refused',
      ],
      [
        'hash',
        { shape: 'hash', slots: Uint16Array.of(0, 0, 0), seed: 1, hashPort: false },
        false,
        '1 1 refused refused refused',
      ],
      [
        'hash with fallback',
        { shape: 'hash', slots: Uint16Array.of(0, 1, 0), seed: 1, hashPort: true },
        true,
        '2 2 1 1 refused',
      ],
    ];
    for (const [what, selector, fallback, expected] of rows) {
      const scheduler = { name: 'sh', hashPort: false, fallback } as const;
      const scene = await Scene.open(make, { selector, realServer: { upperThreshold: 2 }, service: { scheduler } });
      const chosen: string[] = [];
      for (let port = 1; port <= 5; port += 1) chosen.push(await serverOf(scene, '198.51.100.9', port));
      assert.deepEqual(chosen.toSorted(), expected.split(' ').toSorted(), what);
      assert.equal(chosen.slice(0, 1).includes('refused'), false, what);
    }
  });

  test(`${name}: a real server takes so many new connections a second, in every selector shape`, async () => {
    const candidates = [
      { realServer: 0, divisor: 100 },
      { realServer: 1, divisor: 1 },
    ];
    const rows: [string, Selector, string][] = [
      ['sequence', { shape: 'sequence', slots: Uint16Array.of(0, 0, 0, 1) }, '1 1 2 2 refused'],
      ['least', { shape: 'least', overhead: connectionOverhead, candidates }, '1 1 2 2 refused'],
      [
        'hash',
        { shape: 'hash', slots: Uint16Array.of(0, 0, 0), seed: 1, hashPort: false },
        '1 1 refused refused refused',
      ],
    ];
    for (const [what, selector, expected] of rows) {
      const scene = await Scene.open(make, { selector, realServer: { connectionRateMax: 2 } });
      const ask = async (first: number): Promise<string[]> => {
        const chosen: string[] = [];
        for (let port = first; port < first + 5; port += 1) chosen.push(await serverOf(scene, '198.51.100.9', port));
        return chosen.toSorted();
      };
      assert.deepEqual(await ask(1), expected.split(' ').toSorted(), what);
      await scene.engine.advance(999);
      assert.deepEqual(
        await ask(11),
        ['refused', 'refused', 'refused', 'refused', 'refused'],
        `${what}: the same second`,
      );
      await scene.engine.advance(1);
      assert.deepEqual(await ask(21), expected.split(' ').toSorted(), `${what}: the next second`);
    }
  });

  leastContract(name, make);

  test(`${name}: an overload ends below the lower threshold, or three quarters of the upper`, async () => {
    for (const [lowerThreshold, leaving] of [
      [2, 3],
      [0, 2],
    ] as const) {
      const realServer = { upperThreshold: 4, lowerThreshold };
      const scene = await Scene.open(make, { servers: ['10.0.0.1'], realServer, protocol: 'tcp' });
      for (let port = 1; port <= 4; port += 1) assert.equal(await serverOf(scene, '198.51.100.9', port), '1');
      for (let gone = 1; gone <= leaving; gone += 1) {
        assert.equal(await serverOf(scene, '198.51.100.9', 100), 'refused', `${gone - 1} gone`);
        await scene.client({ source: '198.51.100.9', sourcePort: gone, flags: 'A' });
        await scene.client({ source: '198.51.100.9', sourcePort: gone, flags: 'R' });
        await scene.engine.advance(12_000);
      }
      assert.equal(await serverOf(scene, '198.51.100.9', 100), '1');
    }
  });

  test(`${name}: clients of a prefix stay with their real server while it is there`, async () => {
    const service = { persistence: { timeoutMs: 100_000, prefixLength: 24 } };
    const scene = await Scene.open(make, { service });
    assert.equal(await serverOf(scene, '198.51.100.1'), '1');
    assert.equal(await serverOf(scene, '198.51.100.2'), '1', 'same prefix');
    assert.equal(await serverOf(scene, '198.51.101.2'), '2', 'another');
    assert.deepEqual(
      (await scene.events()).map((line) => line.split(' ')[1]),
      ['SYN_RECV', 'SYN_RECV', 'SYN_RECV'],
      'nothing is established yet',
    );
    await scene.client({ source: '198.51.100.1', sourcePort: 1000, flags: 'A' });
    assert.deepEqual(await scene.events(), [
      'upsert ESTABLISHED 198.51.100.1:1000 > 10.0.0.1:8080 local 900',
      'upsert NONE 198.51.100.0:0 > 10.0.0.1:8080 local 100',
    ]);
    const { connectionTemplates, halfOpenConnections, establishedConnections, services } = await scene.counters();
    assert.deepEqual([connectionTemplates, halfOpenConnections, establishedConnections], [2, 2, 1]);
    assert.equal(services[0]!.realServers[0]!.inactiveConnections, 1);

    const quiesced = configurationOf({ service });
    const [first, second] = quiesced.services[0]!.service.realServers;
    const realServers = [{ ...first!, weight: 0 }, second!];
    const selector = { shape: 'sequence', slots: Uint16Array.of(1) } as const;
    const with0 = { ...quiesced, services: [{ service: { ...quiesced.services[0]!.service, realServers }, selector }] };
    await scene.engine.configure(with0);
    assert.equal(await serverOf(scene, '198.51.100.3'), '1', 'quiesced: persistent clients stay');
    await scene.engine.configure({ ...with0, services: [{ ...with0.services[0]!, alive: [false, true] }] });
    assert.equal(await serverOf(scene, '198.51.100.4'), '2', 'gone: bound to another');
    await scene.engine.configure(configurationOf({ service }));
    assert.equal(await serverOf(scene, '198.51.100.5'), '2', 'and stays there');
  });

  test(`${name}: a template lives with its connections and for its timeout after them, also at a peer`, async () => {
    const service = { persistence: { timeoutMs: 60_000, prefixLength: 32 } };
    const scene = await Scene.open(make, { service });
    await scene.handshake();
    await scene.engine.advance(400_000);
    const templates = async (of: Scene): Promise<number> => (await of.counters()).connectionTemplates;
    assert.equal(await templates(scene), 1);
    const events = await scene.engine.takeEvents();
    const peer = await Scene.open(make, { service, lease: 'none' });
    for (const batch of events) await peer.engine.applyBatch(batch);
    assert.equal(await templates(peer), 1);
    peer.engine.setLease(3, 60_000);
    await peer.engine.advance(10);
    assert.equal(await serverOf(peer, '198.51.100.7', 5), '1');
    await scene.client({ flags: 'R' });
    await scene.engine.advance(12_000);
    assert.equal(await templates(scene), 1);
    await scene.engine.advance(62_000);
    assert.equal(await templates(scene), 0);
  });

  test(`${name}: ipv6: a prefix of 64 bits`, async () => {
    const service = { persistence: { timeoutMs: 100_000, prefixLength: 64 } };
    const scene = await Scene.open(make, { family: 'ipv6', service });
    const { in: flow } = networks.ipv6;
    const to = async (source: string): Promise<string> =>
      (await sendAll(scene, 'clients', [segmentFrame({ ...flow, source }, Flags.syn)]))[0]!.match(/a::(\d)/)![1]!;
    const chosen = [await to('2001:db8:c::1'), await to('2001:db8:c::ffff:1'), await to('2001:db8:c:1::1')];
    assert.deepEqual(chosen, ['1', '1', '2']);
  });

  test(`${name}: a flood of UDP packets takes neither established entries nor room from TCP`, async () => {
    const configuration = configurationOf({ protocol: 'udp' });
    const tcp = configurationOf({ service: { port: 443 } });
    const scene = await Scene.open(make, { limits: { halfOpenMax: 8, establishedMax: 8 } });
    await scene.engine.configure({ ...configuration, services: [...configuration.services, ...tcp.services] });
    await scene.handshake({ destinationPort: 443 });
    const { in: flow } = networks.ipv4;
    const flood = Array.from({ length: 40 }, (_, i) => udpFrame({ ...flow, sourcePort: 5000 + i }));
    // Each sends two packets, and so looks like a flow.
    const lines = await sendAll(
      scene,
      'clients',
      flood.flatMap((frame) => [frame, frame]),
    );
    assert.equal(lines.length, 80, 'every packet is served');
    const { halfOpenConnections, establishedConnections, drops } = await scene.counters();
    assert.deepEqual([halfOpenConnections, establishedConnections, drops.tableFull], [8, 5, 0]);
    for (let sourcePort = 1; sourcePort <= 3; sourcePort += 1) {
      await scene.handshake({ destinationPort: 443, sourcePort });
    }
    assert.equal((await scene.table()).filter((line) => line.startsWith('ESTABLISHED')).length, 4);
  });

  test(`${name}: sequence order is what it was without thresholds`, async () => {
    const scene = await Scene.open(make, { selector: twoServers });
    assert.deepEqual([await serverOf(scene, '198.51.100.1'), await serverOf(scene, '198.51.100.2')], ['1', '2']);
  });
}

function leastContract(name: string, make: MakeEngine): void {
  test(`${name}: least, with other costs than those of connections alone`, async () => {
    const rows: [string, Overhead, [number, number], string][] = [
      ['one for each, and one in advance', { active: 1, inactive: 1, constant: 1 }, [1, 3], '2 2 1 2 2 2 1 2'],
      ['none in advance', { active: 1, inactive: 1, constant: 0 }, [1, 3], '1 2 2 2 1 2 2 2'],
      ['active ones alone', { active: 1, inactive: 0, constant: 1 }, [1, 3], '2 2 2 2 2 2 2 2'],
      ['a constant', { active: 0, inactive: 0, constant: 256 }, [1, 1], '1 1 1 1 1 1 1 1'],
      ['the largest', { active: 256, inactive: 256, constant: 256 }, [65_535, 65_534], '1 2 1 2 1 2 1 2'],
    ];
    for (const [what, overhead, [first, second], expected] of rows) {
      const candidates = [
        { realServer: 0, divisor: first },
        { realServer: 1, divisor: second },
      ];
      const scene = await Scene.open(make, { selector: { shape: 'least', overhead, candidates } });
      const chosen: string[] = [];
      for (let port = 1; port <= 8; port += 1) chosen.push(await serverOf(scene, '198.51.100.9', port));
      assert.equal(chosen.join(' '), expected, what);
    }
  });
}

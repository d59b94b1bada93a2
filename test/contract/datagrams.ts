// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DropReason } from '../../src/engine/engine.ts';
import type { MakeEngine } from './engine-under-test.ts';
import {
  describeOut,
  Flags,
  type Flow,
  icmpFrame,
  ipv4Fragments,
  ipv6Fragments,
  packetFrame,
  quote,
  segmentFrame,
  tcpOf,
  udpFrame,
  udpOf,
} from './packets.ts';
import { Scene, type SceneOptions } from './scene.ts';

type Side = 'clients' | 'servers';

export interface Network {
  readonly options: SceneOptions;
  readonly in: Flow;
  /** The flow of the real server's answer. */
  readonly out: Flow;
  readonly toServer: string;
  readonly toClient: string;
}

export const networks: Record<'ipv4' | 'ipv6', Network> = {
  ipv4: {
    options: {},
    in: { source: '198.51.100.7', sourcePort: 4000, destination: '192.0.2.80', destinationPort: 80 },
    out: { source: '10.0.0.1', sourcePort: 8080, destination: '198.51.100.7', destinationPort: 4000 },
    toServer: 'servers 02:01:0a:00:00:01',
    toClient: 'clients 02:01:c6:33:64:07',
  },
  ipv6: {
    options: { family: 'ipv6' },
    in: { source: '2001:db8:c::7', sourcePort: 4000, destination: '2001:db8::80', destinationPort: 80 },
    out: { source: '2001:db8:a::1', sourcePort: 8080, destination: '2001:db8:c::7', destinationPort: 4000 },
    toServer: 'servers 02:06:00:00:00:01',
    toClient: 'clients 02:06:00:00:00:07',
  },
};

export async function sendAll(scene: Scene, side: Side, frames: readonly Uint8Array[]): Promise<string[]> {
  const lines: string[] = [];
  for (const frame of frames) lines.push(...(await scene.engine.send(side, frame)).map(describeOut));
  return lines;
}

/** Reasons with a vector below. */
export const datagramReasons: readonly DropReason[] = [
  'fragmentUnknown',
  'fragmentOverlap',
  'fragmentMalformed',
  'fragmentTiny',
];

/** TCP and UDP in both directions, and ICMP errors about them, in both families. */
export function datagramContract(name: string, make: MakeEngine): void {
  for (const [family, network] of Object.entries(networks)) {
    const { in: flow, out, toServer, toClient } = network;
    const client = `${flow.source} 4000`;
    const virtual = `${flow.destination} 80`;
    const server = `${out.source} 8080`;

    test(`${name}: ${family}: TCP, masquerade`, async () => {
      const scene = await Scene.open(make, network.options);
      const send = (side: Side, frame: Uint8Array): Promise<string[]> => sendAll(scene, side, [frame]);
      assert.deepEqual(await send('clients', segmentFrame(flow, Flags.syn)), [
        `${toServer} ${client} > ${server} ttl 63 tcp 2 +0`,
      ]);
      assert.deepEqual(await send('servers', segmentFrame(out, Flags.synAck)), [
        `${toClient} ${virtual} > ${client} ttl 63 tcp 18 +0`,
      ]);
      assert.deepEqual(await send('clients', segmentFrame(flow, Flags.ack, {}, new Uint8Array(9))), [
        `${toServer} ${client} > ${server} ttl 63 tcp 16 +9`,
      ]);
      assert.match((await scene.table())[0]!, /^ESTABLISHED /);
      assert.deepEqual(await scene.drops(), {});
    });

    test(`${name}: ${family}: direct-route`, async () => {
      const scene = await Scene.open(make, { ...network.options, method: 'direct-route' });
      assert.deepEqual(await sendAll(scene, 'clients', [segmentFrame(flow, Flags.syn)]), [
        `${toServer} ${client} > ${virtual} ttl 63 tcp 2 +0`,
      ]);
    });

    test(`${name}: ${family}: packets that are refused with an answer to the sender`, async () => {
      const scene = await Scene.open(make, network.options);
      const back = 'clients 02:0c:00:00:00:01';
      const source = flow.destination;
      assert.deepEqual(await sendAll(scene, 'clients', [segmentFrame(flow, Flags.ack)]), [
        `${back} ${virtual} > ${client} ttl 64 tcp 4 +0`,
      ]);
      const tooOld = await sendAll(scene, 'clients', [segmentFrame(flow, Flags.syn, { ttl: 1 })]);
      scene.engine.setMtu('servers', 1300);
      const big = segmentFrame(flow, Flags.syn, {}, new Uint8Array(1400));
      const tooBig = await sendAll(scene, 'clients', [big]);
      const [exceeded, size] = family === 'ipv6' ? ['3/0 +60', ['2/0 +1232']] : ['11/0 +40', []];
      assert.deepEqual(tooOld, [`${back} ${source} > ${flow.source} ttl 64 icmp ${exceeded}`]);
      assert.deepEqual(
        tooBig,
        size.map((what) => `${back} ${source} > ${flow.source} ttl 64 icmp ${what}`),
      );
      assert.deepEqual(await scene.drops(), { unknownConnection: 1, ttlExceeded: 1, tooBig: 1 });
    });

    test(`${name}: ${family}: a UDP flow is known to peers from its second packet on`, async () => {
      const scene = await Scene.open(make, { ...network.options, protocol: 'udp' });
      const forth = `${toServer} ${client} > ${server} ttl 63 udp +4`;
      assert.deepEqual(await sendAll(scene, 'clients', [udpFrame(flow)]), [forth]);
      assert.deepEqual([await scene.table(), await scene.events()], [[], []]);
      assert.deepEqual(await sendAll(scene, 'servers', [udpFrame(out)]), [
        `${toClient} ${virtual} > ${client} ttl 63 udp +4`,
      ]);
      const entry = `UDP ${flow.source}:4000 > ${out.source}:8080 local 300`;
      assert.deepEqual([await scene.table(), await scene.events()], [[entry], [`upsert ${entry}`]]);
      const backup = await Scene.open(make, { ...network.options, protocol: 'udp', lease: 'none' });
      await backup.engine.applyBatch(await scene.tableWords());
      assert.deepEqual(await backup.table(), [entry.replace('local', 'learnt')]);
      await scene.engine.advance(299_000);
      assert.deepEqual(await sendAll(scene, 'clients', [udpFrame(flow)]), [forth]);
      await scene.engine.advance(300_000);
      assert.deepEqual(await scene.table(), []);
    });

    test(`${name}: ${family}: UDP without a checksum keeps none, and one that comes out as zero is all ones`, async () => {
      const scene = await Scene.open(make, { ...network.options, protocol: 'udp' });
      const payload = udpOf(flow, new Uint8Array(4), { checksum: 'none' });
      assert.match(
        (await sendAll(scene, 'clients', [packetFrame({ ...flow, protocol: 17, payload })]))[0]!,
        /no checksum/,
      );
      const rewritten = { ...flow, destination: out.source, destinationPort: 8080 };
      const candidates = Array.from({ length: 0x10000 }, (_, i) => Uint8Array.of(i >> 8, i, 0, 0));
      // `udpOf` writes the sum as it is, even when it is zero.
      const data = candidates.find((candidate) =>
        udpOf(rewritten, candidate)
          .subarray(6, 8)
          .every((byte) => byte === 0),
      );
      const [left] = await scene.engine.send('clients', udpFrame(flow, data));
      assert.deepEqual([...left!.bytes.subarray(-6, -4)], [0xff, 0xff]);
    });

    test(`${name}: ${family}: an ops service schedules every packet and keeps nothing`, async () => {
      const scene = await Scene.open(make, { ...network.options, protocol: 'udp', service: { onePacket: true } });
      const lines = await sendAll(scene, 'clients', [udpFrame(flow), udpFrame(flow), udpFrame(flow)]);
      const ends = lines.map((line) => line.match(/> \S+(\d) 8080/)![1]);
      assert.deepEqual(ends, ['1', '2', '1']);
      const { halfOpenConnections, establishedConnections, services } = await scene.counters();
      assert.deepEqual([halfOpenConnections, establishedConnections, services[0]!.connections], [0, 0, 3]);
      assert.deepEqual(await sendAll(scene, 'servers', [udpFrame(out)]), [
        `${toClient} ${virtual} > ${client} ttl 63 udp +4`,
      ]);
    });

    test(`${name}: ${family}: UDP without a real server: port unreachable, at a bounded rate`, async () => {
      const options = { ...network.options, protocol: 'udp', servers: [] } as const;
      const scene = await Scene.open(make, options);
      const [line] = await sendAll(scene, 'clients', [udpFrame(flow)]);
      const what = family === 'ipv6' ? '1/4 +52' : '3/3 +32';
      assert.equal(line, `clients 02:0c:00:00:00:01 ${flow.destination} > ${flow.source} ttl 64 icmp ${what}`);
      const more = await sendAll(scene, 'clients', new Array<Uint8Array>(99).fill(udpFrame(flow)));
      const { unreachablesSent, errorsSuppressed } = await scene.counters();
      assert.deepEqual([more.length, unreachablesSent, errorsSuppressed], [49, 50, 50]);
      assert.deepEqual(await scene.drops(), { noRealServer: 100 });
    });

    for (const protocol of ['tcp', 'udp'] as const) {
      test(`${name}: ${family}: ICMP errors follow their ${protocol} connection, whole or cut to 8 bytes`, async () => {
        const scene = await Scene.open(make, { ...network.options, protocol });
        const frameOf = (from: Flow): Uint8Array =>
          protocol === 'udp' ? udpFrame(from) : segmentFrame(from, Flags.syn);
        await scene.engine.send('clients', frameOf(flow));
        const ipLength = family === 'ipv6' ? 40 : 20;
        const type = family === 'ipv6' ? 1 : 3;
        const sent = { source: flow.destination, sourcePort: 80, destination: flow.source, destinationPort: 4000 };
        const reached = { source: flow.source, sourcePort: 4000, destination: out.source, destinationPort: 8080 };
        for (const length of [undefined, ipLength + 8]) {
          const about = quote(frameOf(sent), length);
          const toVirtual = { source: '198.51.100.1', destination: flow.destination };
          if (family === 'ipv6') toVirtual.source = '2001:db8:c::1';
          const error = icmpFrame(toVirtual, type, 1, [0, 0, 0, 0], about);
          const [inward] = await scene.engine.send('clients', error);
          assert.ok(inward, 'inward');
          assert.equal(
            describeOut(inward),
            `${toServer} ${toVirtual.source} > ${out.source} ttl 63 icmp ${type}/1 +${about.length}`,
          );
          const before = { ...sent, source: out.source, sourcePort: 8080 };
          assert.deepEqual(inward.bytes.slice(14 + ipLength + 8), quote(frameOf(before), length));
          const router = { source: family === 'ipv6' ? '2001:db8:a::fe' : '10.0.0.254', destination: flow.source };
          if (family === 'ipv4') router.source = '10.0.0.253';
          const [outward] = await scene.engine.send(
            'servers',
            icmpFrame(router, type, 1, [0, 0, 0, 0], quote(frameOf(reached), length)),
          );
          assert.ok(outward, 'outward');
          assert.equal(
            describeOut(outward),
            `${toClient} ${flow.destination} > ${flow.source} ttl 63 icmp ${type}/1 +${about.length}`,
          );
          assert.deepEqual(outward.bytes.slice(14 + ipLength + 8), quote(frameOf(flow), length));
        }
        assert.deepEqual(await scene.drops(), {});
      });
    }
  }
}

/** Fragments follow their first one, in both families. */
export function fragmentContract(name: string, make: MakeEngine): void {
  for (const [family, network] of Object.entries(networks)) {
    const { in: flow, out, toServer, toClient } = network;

    test(`${name}: ${family}: fragments follow their first one, both ways and methods`, async () => {
      const fragmentsOf = family === 'ipv6' ? ipv6Fragments : ipv4Fragments;
      const data = Uint8Array.from({ length: 100 }, (_, i) => i);
      for (const method of ['masquerade', 'direct-route'] as const) {
        const scene = await Scene.open(make, { ...network.options, protocol: 'udp', method });
        const target = method === 'masquerade' ? out.source : flow.destination;
        const pieces = fragmentsOf({ ...flow, protocol: 17, payload: udpOf(flow, data) }, [16, 64]);
        const sent: Uint8Array[] = [];
        const lines: string[] = [];
        for (const i of [0, 2, 1]) {
          const [left] = await scene.engine.send('clients', pieces[i]!);
          lines.push(describeOut(left!));
          sent[i] = left!.bytes;
        }
        assert.deepEqual(
          lines,
          ['0+16 more', '64+44', '16+48 more'].map(
            (what) => `${toServer} ${flow.source} > ${target} ttl 63 piece ${what}`,
          ),
        );
        if (method === 'direct-route') continue;
        // Reassembled, the datagram is the one that would have been sent as a whole.
        const header = family === 'ipv6' ? 62 : 34;
        const whole = Buffer.concat(sent.map((bytes) => bytes.subarray(header)));
        const expected = { ...flow, destination: out.source, destinationPort: 8080 };
        assert.deepEqual(Uint8Array.from(whole), udpOf(expected, data));
        const replies = fragmentsOf({ ...out, protocol: 17, payload: udpOf(out, data), identification: 5 }, [48]);
        assert.deepEqual(
          await sendAll(scene, 'servers', replies),
          ['0+48 more', '48+60'].map((what) => `${toClient} ${flow.destination} > ${flow.source} ttl 63 piece ${what}`),
        );
        assert.deepEqual(await scene.drops(), {});
      }
    });

    test(`${name}: ${family}: inconsistent fragments are dropped and counted`, async () => {
      const fragmentsOf = family === 'ipv6' ? ipv6Fragments : ipv4Fragments;
      const udp = (identification: number, cuts: readonly number[]) =>
        fragmentsOf({ ...flow, protocol: 17, payload: udpOf(flow, new Uint8Array(92)), identification }, cuts);
      const rows: [string, Uint8Array[], number, object][] = [
        ['a duplicate', [udp(1, [48])[0]!, udp(1, [48])[1]!, udp(1, [48])[1]!], 2, { fragmentUnknown: 1 }],
        ['a second first one', [udp(2, [48])[0]!, udp(2, [48])[0]!], 1, { fragmentOverlap: 1 }],
        [
          'an overlap, and all after it',
          [udp(3, [48])[0]!, udp(3, [40])[1]!, udp(3, [48])[1]!],
          1,
          { fragmentOverlap: 2 },
        ],
        ['a later one alone', [udp(4, [48])[1]!], 0, { fragmentUnknown: 1 }],
        ['a length that is no multiple of 8', [udp(5, [20])[0]!], 0, { fragmentMalformed: 1 }],
        [
          'one that ends behind the last',
          [udp(6, [8, 48])[0]!, udp(6, [48])[1]!, udp(6, [48, 96])[1]!],
          2,
          { fragmentOverlap: 1 },
        ],
      ];
      for (const [what, frames, leaving, drops] of rows) {
        const scene = await Scene.open(make, { ...network.options, protocol: 'udp' });
        assert.equal((await sendAll(scene, 'clients', frames)).length, leaving, what);
        assert.deepEqual(await scene.drops(), drops, what);
      }
      const scene = await Scene.open(make, network.options);
      const tiny = fragmentsOf({ ...flow, protocol: 6, payload: tcpOf(flow, Flags.syn) }, [16]);
      await sendAll(scene, 'clients', tiny.slice(0, 1));
      const long = { ...flow, protocol: 17, payload: new Uint8Array(600), fragmentOffset: 65_528, identification: 3 };
      const death =
        family === 'ipv4'
          ? packetFrame(long)
          : ipv6Fragments({ ...long, payload: new Uint8Array(65_600) }, [65_528])[1]!;
      await sendAll(scene, 'clients', [death]);
      assert.deepEqual(await scene.drops(), { fragmentTiny: 1, fragmentMalformed: 1 });
    });

    test(`${name}: ${family}: a first fragment is forgotten after 30 seconds`, async () => {
      const fragmentsOf = family === 'ipv6' ? ipv6Fragments : ipv4Fragments;
      const scene = await Scene.open(make, { ...network.options, protocol: 'udp' });
      const [first, second] = fragmentsOf({ ...flow, protocol: 17, payload: udpOf(flow, new Uint8Array(92)) }, [48]);
      await sendAll(scene, 'clients', [first!]);
      await scene.engine.advance(30_000);
      assert.deepEqual(await sendAll(scene, 'clients', [second!]), []);
      assert.deepEqual(await scene.drops(), { fragmentUnknown: 1 });
    });
  }
}

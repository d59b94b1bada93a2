// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DropReason } from '../../src/engine/engine.ts';
import { type IpAddress, ipAddressBytes } from '../../src/lib/ip-address.ts';
import { networks, sendAll } from './datagrams.ts';
import type { MakeEngine } from './engine-under-test.ts';
import {
  concat,
  describeOut,
  Flags,
  icmpFrame,
  type PacketFields,
  packetFrame,
  segmentFrame,
  tcpOf,
  udpFrame,
  udpOf,
} from './packets.ts';
import { Scene, type SceneOptions, virtualAddressIpv6 } from './scene.ts';

const { in: flow, out } = networks.ipv6;
const neighbour = '2001:db8::9';
const bytesOf = (address: string): Uint8Array => ipAddressBytes(address as IpAddress);
const solicitedNode = 'ff02::1:ff00:80';
const groupMac = Uint8Array.of(0x33, 0x33, 0xff, 0, 0, 0x80);
const sourceOption = [1, 1, 2, 0xc, 0, 0, 0, 1];

interface Solicitation extends Partial<PacketFields> {
  readonly target?: string;
  readonly options?: readonly number[];
  readonly code?: number;
}

/** A neighbour solicitation for the virtual address, to its solicited-node group. */
function solicitation(fields: Solicitation = {}): Uint8Array {
  const ends = { source: fields.source ?? neighbour, destination: fields.destination ?? solicitedNode };
  const body = concat(bytesOf(fields.target ?? virtualAddressIpv6), fields.options ?? sourceOption);
  const destinationMac = ends.destination === solicitedNode ? groupMac : Uint8Array.of(2, 0, 0, 0, 0xd0, 1);
  return icmpFrame(ends, 135, fields.code ?? 0, [0, 0, 0, 0], body, { ttl: 255, destinationMac, ...fields, ...ends });
}

const chained = (headers: readonly (readonly number[])[], first: number): Uint8Array =>
  packetFrame({ ...flow, protocol: first, payload: concat(...headers, tcpOf(flow, Flags.syn)) });
const options = (next: number): number[] => [next, 0, 1, 4, 0, 0, 0, 0];
const bent = (frame: Uint8Array, at: number, value: number): Uint8Array => {
  frame[at] = value;
  return frame;
};

interface Vector {
  readonly what: string;
  readonly reason?: DropReason;
  readonly frame: Uint8Array;
  readonly options?: SceneOptions;
  readonly port?: 'clients' | 'servers';
}

const udp: SceneOptions = { protocol: 'udp' };
const udpFlow = (length: number): Uint8Array =>
  packetFrame({ ...flow, protocol: 17, payload: udpOf(flow, new Uint8Array(4), { length }) });

const vectors: readonly Vector[] = [
  { what: 'a header cut short', reason: 'truncated', frame: segmentFrame(flow, Flags.syn).subarray(0, 53) },
  { what: 'a packet shorter than it says', reason: 'truncated', frame: segmentFrame(flow, Flags.syn).subarray(0, 73) },
  { what: 'another version', reason: 'malformedHeader', frame: bent(segmentFrame(flow, Flags.syn), 14, 0x40) },
  ...['::', '::1', 'ff02::1', '::ffff:c633:6407', 'fe80::1', virtualAddressIpv6].map((source) => ({
    what: `a source of ${source}`,
    reason: 'martianSource' as const,
    frame: segmentFrame({ ...flow, source }, Flags.syn),
  })),
  { what: 'no lease', reason: 'noLease', options: { lease: 'none' }, frame: segmentFrame(flow, Flags.syn) },
  {
    what: 'nine extension headers',
    reason: 'extensionHeaders',
    frame: chained([...new Array<number[]>(8).fill(options(60)), options(6)], 60),
  },
  {
    what: 'hop-by-hop options in second place',
    reason: 'extensionHeaders',
    frame: chained([options(0), options(6)], 60),
  },
  { what: 'a source route that goes on', reason: 'extensionHeaders', frame: chained([[6, 0, 0, 1, 0, 0, 0, 0]], 43) },
  {
    what: 'an extension header past the packet',
    reason: 'truncated',
    frame: chained([[6, 200, 0, 0, 0, 0, 0, 0]], 60),
  },
  { what: 'a UDP length below its header', reason: 'malformedHeader', options: udp, frame: udpFlow(7) },
  { what: 'a UDP length beyond the packet', reason: 'truncated', options: udp, frame: udpFlow(13) },
  {
    what: 'an echo request with a wrong checksum',
    reason: 'badChecksum',
    frame: bent(
      icmpFrame({ source: neighbour, destination: virtualAddressIpv6 }, 128, 0, [0, 1, 0, 1], new Uint8Array(8)),
      60,
      9,
    ),
  },
  {
    what: 'an error that quotes nothing',
    reason: 'icmpError',
    frame: icmpFrame({ source: neighbour, destination: virtualAddressIpv6 }, 1, 0, [0, 0, 0, 0], new Uint8Array(4)),
  },
  {
    what: 'an error about a connection that there is not',
    reason: 'icmpError',
    frame: icmpFrame(
      { source: neighbour, destination: virtualAddressIpv6 },
      3,
      0,
      [0, 0, 0, 0],
      udpFrame({ source: virtualAddressIpv6, sourcePort: 80, destination: flow.source, destinationPort: 4000 }).slice(
        14,
      ),
    ),
  },
  {
    what: 'an error of the other side about a connection that there is not',
    reason: 'icmpError',
    port: 'servers',
    frame: icmpFrame(
      { source: out.source, destination: flow.source },
      1,
      4,
      [0, 0, 0, 0],
      segmentFrame({ ...flow, destination: out.source, destinationPort: 8080 }, Flags.syn).slice(14),
    ),
  },
  { what: 'a solicitation from behind a router', reason: 'neighbourDiscovery', frame: solicitation({ ttl: 254 }) },
  { what: 'a solicitation with a code', reason: 'neighbourDiscovery', frame: solicitation({ code: 1 }) },
  {
    what: 'an option without a length',
    reason: 'neighbourDiscovery',
    frame: solicitation({ options: [1, 0, 0, 0, 0, 0, 0, 0] }),
  },
  {
    what: 'an option past the end',
    reason: 'neighbourDiscovery',
    frame: solicitation({ options: [1, 9, 0, 0, 0, 0, 0, 0] }),
  },
  {
    what: 'an address detection with a source option',
    reason: 'neighbourDiscovery',
    frame: solicitation({ source: '::' }),
  },
  { what: 'a solicitation from a group', reason: 'neighbourDiscovery', frame: solicitation({ source: 'ff02::1' }) },
  { what: 'a solicitation with a wrong checksum', reason: 'neighbourDiscovery', frame: bent(solicitation(), 57, 9) },
  { what: 'a solicitation cut short', frame: solicitation({ options: [] }).subarray(0, 70) },
  { what: 'a solicitation without a lease', options: { lease: 'none' }, frame: solicitation() },
  { what: 'a solicitation on another interface', port: 'servers', frame: solicitation() },
  { what: "a solicitation for a neighbour's address", frame: solicitation({ target: '2001:db8::10' }) },
  { what: "a peer's solicitation", frame: solicitation({ source: virtualAddressIpv6 }) },
  { what: 'a port without a virtual service', frame: segmentFrame({ ...flow, destinationPort: 22 }, Flags.syn) },
  { what: 'an address that is not ours', frame: segmentFrame({ ...flow, destination: '2001:db8::81' }, Flags.syn) },
  {
    what: 'a unicast packet in a group-addressed frame',
    frame: segmentFrame(flow, Flags.syn, { destinationMac: groupMac }),
  },
];

/** Reasons that `refusalContract` need not cover. */
export const ipv6Reasons: readonly DropReason[] = [
  ...new Set(vectors.flatMap(({ reason }) => (reason === undefined ? [] : [reason]))),
];

/** Behaviour that only IPv6 has: extension headers, neighbour discovery, and the packets that are refused. */
export function ipv6Contract(name: string, make: MakeEngine): void {
  for (const { what, reason, frame, options: sceneOptions, port } of vectors) {
    test(`${name}: ipv6: ${what}: ${reason ?? 'left alone'}`, async () => {
      const scene = await Scene.open(make, { family: 'ipv6', ...sceneOptions });
      assert.deepEqual(await sendAll(scene, port ?? 'clients', [frame]), []);
      assert.deepEqual(await scene.drops(), reason === undefined ? {} : { [reason]: 1 });
    });
  }

  test(`${name}: ipv6: solicitations are answered with the port's MAC address, overriding`, async () => {
    const scene = await Scene.open(make, { family: 'ipv6' });
    const body = (flags: number): Uint8Array =>
      concat([136, 0], [flags, 0, 0, 0], bytesOf(virtualAddressIpv6), [2, 1, 2, 0, 0, 0, 0xd0, 1]);
    const rows: [string, Uint8Array, string, number][] = [
      ['to the group', solicitation(), `clients 02:0c:00:00:00:01 ${virtualAddressIpv6} > ${neighbour}`, 0x60],
      [
        'is it still there?',
        solicitation({ destination: virtualAddressIpv6, options: [] }),
        `clients 02:0c:00:00:00:01 ${virtualAddressIpv6} > ${neighbour}`,
        0x60,
      ],
      [
        'duplicate address detection',
        solicitation({ source: '::', options: [] }),
        `clients 33:33:00:00:00:01 ${virtualAddressIpv6} > ff02::1`,
        0x20,
      ],
    ];
    for (const [what, frame, expected, flags] of rows) {
      const [answer] = await scene.engine.send('clients', frame);
      assert.ok(answer, what);
      assert.equal(describeOut(answer), `${expected} ttl 255 icmp 136/0 +24`, what);
      const message = answer.bytes.subarray(54);
      assert.deepEqual(concat(message.subarray(0, 2), message.subarray(4)), body(flags), what);
    }
    assert.equal((await scene.counters()).neighbourReplies, 3);
    assert.deepEqual(await scene.drops(), {});
  });

  test(`${name}: ipv6: echo, with extension headers that the answer leaves out`, async () => {
    const scene = await Scene.open(make, { family: 'ipv6' });
    const ends = { source: neighbour, destination: virtualAddressIpv6 };
    const plain = icmpFrame(ends, 128, 0, [0, 1, 0, 2], new Uint8Array(9));
    const dressed = packetFrame({ ...ends, protocol: 0, payload: concat(options(60), options(58), plain.slice(54)) });
    const expected = `clients 02:0c:00:00:00:01 ${virtualAddressIpv6} > ${neighbour} ttl 64 icmp 129/0 +9`;
    assert.deepEqual(await sendAll(scene, 'clients', [plain, dressed]), [expected, expected]);
  });

  test(`${name}: ipv6: extension headers travel on`, async () => {
    const scene = await Scene.open(make, { family: 'ipv6' });
    const authentication = [60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const route = [51, 0, 0, 0, 0, 0, 0, 0];
    const atomic = [6, 0, 0, 0, 0, 0, 0, 1];
    const frame = chained([options(43), route, authentication, options(44), atomic], 0);
    const [line] = await sendAll(scene, 'clients', [frame]);
    assert.equal(line, `servers 02:06:00:00:00:01 ${flow.source} 4000 > ${out.source} 8080 ttl 63 tcp 2 +0`);
  });
}

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DropReason, dropReasons } from '../../src/engine/engine.ts';
import { datagramReasons } from './datagrams.ts';
import type { EngineGaps, MakeEngine } from './engine-under-test.ts';
import { arpFrame, echoFrame, repaired, tcpFrame } from './frames.ts';
import { ipv6Reasons } from './ipv6.ts';
import { publishingReasons } from './publishing.ts';
import { configurationOf, describe, Scene, type SceneOptions, slot } from './scene.ts';

interface Vector {
  readonly what: string;
  /** Nothing is counted when there is no reason. */
  readonly reason?: DropReason;
  readonly options?: SceneOptions;
  readonly before?: (scene: Scene) => Promise<unknown>;
  readonly send: (scene: Scene) => Promise<string[]>;
  /** The frame that is sent in answer. */
  readonly answer?: string;
  /** The feature that the engine must have for it. */
  readonly needs?: keyof EngineGaps;
}

const fromClient = (frame: Uint8Array) => async (scene: Scene) => describe(await scene.engine.send('clients', frame));
const reset = (rest: string): string =>
  `clients: 02:00:00:00:d0:01 > 02:0c:00:00:00:01 192.0.2.80:80 > 198.51.100.7:40000 ttl 64 ${rest}`;
const icmp = (rest: string): string =>
  `clients: 02:00:00:00:d0:01 > 02:0c:00:00:00:01 192.0.2.80 > 198.51.100.7 ttl 64 icmp ${rest}`;
const handshake = (scene: Scene): Promise<void> => scene.handshake();

// Reasons that only the ports can see, so that they are tested with the ports.
const countedByPorts: readonly DropReason[] = ['vlanTagged', 'receiveOverrun', 'transmitFailed'];

const vectors: readonly Vector[] = [
  {
    what: 'an Ethernet header cut short',
    reason: 'truncated',
    needs: 'runts',
    send: fromClient(tcpFrame().subarray(0, 13)),
  },
  { what: 'an IP header cut short', reason: 'truncated', send: fromClient(tcpFrame().subarray(0, 33)) },
  { what: 'a packet shorter than it says', reason: 'truncated', send: fromClient(tcpFrame().subarray(0, 53)) },
  {
    what: 'a TCP header cut short by the total length',
    reason: 'truncated',
    send: fromClient(repaired(tcpFrame(), (frame) => frame.set([0, 39], 16))),
  },
  {
    what: 'an IP version that is not 4',
    reason: 'malformedHeader',
    send: fromClient(repaired(tcpFrame(), (frame) => frame.set([0x65], 14))),
  },
  {
    what: 'an IP header of 16 bytes',
    reason: 'malformedHeader',
    send: fromClient(repaired(tcpFrame(), (frame) => frame.set([0x44], 14))),
  },
  {
    what: 'a total length below the header length',
    reason: 'malformedHeader',
    send: fromClient(repaired(tcpFrame(), (frame) => frame.set([0, 19], 16))),
  },
  {
    what: 'a TCP header of 16 bytes',
    reason: 'malformedHeader',
    send: fromClient(repaired(tcpFrame(), (frame) => frame.set([0x40], 46))),
  },
  {
    what: 'a TCP header that goes past the packet',
    reason: 'malformedHeader',
    send: fromClient(repaired(tcpFrame(), (frame) => frame.set([0x60], 46))),
  },
  {
    what: 'a wrong IP checksum',
    reason: 'badChecksum',
    send: async (scene) => {
      const frame = tcpFrame();
      frame[24]! ^= 1;
      return fromClient(frame)(scene);
    },
  },
  {
    what: 'an echo request with a wrong checksum',
    reason: 'badChecksum',
    send: async (scene) => {
      const frame = echoFrame();
      frame[45]! ^= 1;
      return fromClient(frame)(scene);
    },
  },
  ...['0.0.0.7', '127.0.0.1', '224.0.0.18', '255.255.255.255', '192.0.2.80'].map((source) => ({
    what: `a source of ${source}`,
    reason: 'martianSource' as const,
    send: fromClient(tcpFrame({ source })),
  })),
  { what: 'a SYN without a lease', reason: 'noLease', options: { lease: 'none' }, send: fromClient(tcpFrame()) },
  { what: 'an echo without a lease', reason: 'noLease', options: { lease: 'none' }, send: fromClient(echoFrame()) },
  {
    what: 'ARP without a lease',
    options: { lease: 'none' },
    send: fromClient(arpFrame(1, '192.0.2.9', '192.0.2.80')),
  },
  {
    what: 'a segment of a known connection once the lease is over',
    reason: 'noLease',
    before: async (scene) => {
      await scene.handshake();
      scene.engine.setLease(slot, 0);
    },
    send: (scene) => scene.client({ flags: 'A' }),
  },
  {
    what: "a real server's reply once the lease is over",
    reason: 'noLease',
    before: async (scene) => {
      await scene.handshake();
      scene.engine.setLease(slot, 0);
    },
    send: (scene) => scene.server({ flags: 'A' }),
  },
  {
    what: 'a process frozen between taking a frame and sending it',
    reason: 'noLease',
    needs: 'freezing',
    before: async (scene) => scene.engine.setLease(slot, 300),
    send: async (scene) => describe(await scene.engine.sendFrozen('clients', tcpFrame(), 300)),
  },
  {
    what: 'an unknown connection just after a takeover',
    reason: 'graceUnknownConnection',
    options: { lease: 'fresh' },
    send: (scene) => scene.client({ flags: 'A' }),
  },
  {
    what: 'an unknown connection: acknowledged, so the reset carries its number (RFC 9293 section 3.10.7.1)',
    reason: 'unknownConnection',
    send: (scene) => scene.client({ flags: 'A', sequence: 5, acknowledgement: 0xfffffff0, payload: new Uint8Array(3) }),
    answer: reset('R seq 4294967280 ack 0 +0'),
  },
  {
    what: 'an unknown connection: not acknowledged, so the reset acknowledges data and FIN',
    reason: 'unknownConnection',
    send: (scene) => scene.client({ flags: 'F', sequence: 0xffffffff, payload: new Uint8Array(3) }),
    answer: reset('RA seq 0 ack 3 +0'),
  },
  { what: 'an unknown reset', reason: 'unknownConnection', send: (scene) => scene.client({ flags: 'R' }) },
  {
    what: 'a SYN-ACK from a client',
    reason: 'unknownConnection',
    send: (scene) => scene.client({ flags: 'SA', acknowledgement: 77 }),
    answer: reset('R seq 77 ack 0 +0'),
  },
  {
    what: "a real server's reply to a connection that is gone",
    reason: 'unknownConnection',
    send: (scene) => scene.server({ flags: 'A' }),
  },
  {
    what: 'a SYN when there is no real server',
    reason: 'noRealServer',
    options: { selector: { shape: 'sequence', slots: new Uint16Array(0) } },
    send: (scene) => scene.client({ flags: 'S', sequence: 41 }),
    answer: reset('RA seq 0 ack 42 +0'),
  },
  {
    what: 'a SYN whose replies could not be told from those of another virtual service',
    reason: 'noRealServer',
    options: { extraService: true },
    before: handshake,
    send: (scene) => scene.client({ destinationPort: 81 }),
    answer: reset('RA seq 0 ack 1001 +0').replace(':80 >', ':81 >'),
  },
  {
    what: 'a SYN when the established table is full',
    reason: 'tableFull',
    options: { limits: { establishedMax: 1 } },
    before: handshake,
    send: (scene) => scene.client({ sourcePort: 2 }),
  },
  {
    what: 'the ACK of a handshake when the established table has become full',
    reason: 'tableFull',
    options: { limits: { establishedMax: 1 } },
    before: async (scene) => {
      await scene.client({ sourcePort: 2 });
      await scene.handshake();
    },
    send: (scene) => scene.client({ sourcePort: 2, flags: 'A' }),
  },
  {
    what: 'no route',
    reason: 'noRoute',
    before: async (scene) => scene.engine.setReachability('10.0.0.1', 'unreachable'),
    send: (scene) => scene.client(),
  },
  {
    what: 'a neighbour that does not answer within a second',
    reason: 'neighbourUnresolved',
    needs: 'waiting',
    before: async (scene) => scene.engine.setReachability('10.0.0.1', 'resolving'),
    send: async (scene) => [...(await scene.client()), ...describe(await scene.engine.advance(1000))],
  },
  {
    what: 'a frame too long to wait for a neighbour',
    reason: 'neighbourQueueFull',
    needs: 'waiting',
    before: async (scene) => {
      scene.engine.setMtu('servers', 9000);
      scene.engine.setReachability('10.0.0.1', 'resolving');
    },
    send: (scene) => scene.client({ payload: new Uint8Array(2048) }),
  },
  {
    what: 'the last hop',
    reason: 'ttlExceeded',
    send: (scene) => scene.client({ ttl: 1 }),
    answer: icmp('11/0 0 +40'),
  },
  {
    what: 'a later fragment whose first one is not known',
    reason: 'fragmentUnknown',
    send: (scene) => scene.client({ fragmentOffset: 1480 }),
  },
  { what: 'an ICMP error', reason: 'icmpError', send: fromClient(echoFrame({ type: 3 })) },
  {
    what: 'a packet above the MTU that may not be fragmented',
    reason: 'tooBig',
    before: async (scene) => scene.engine.setMtu('servers', 1000),
    send: (scene) => scene.client({ payload: new Uint8Array(961) }),
    answer: icmp('3/4 1000 +548'),
  },
  {
    what: 'segments of a super-frame above the MTU',
    reason: 'tooBig',
    needs: 'offloads',
    before: async (scene) => scene.engine.setMtu('servers', 1000),
    send: (scene) => scene.client({ payload: new Uint8Array(5000) }, { segmentSize: 961 }),
    answer: icmp('3/4 1000 +548'),
  },
  {
    what: 'a packet above the MTU that the engine does not fragment',
    reason: 'tooBig',
    before: async (scene) => scene.engine.setMtu('servers', 1000),
    send: (scene) => scene.client({ payload: new Uint8Array(961), dontFragment: false }),
  },
  { what: 'a port without a virtual service', send: (scene) => scene.client({ destinationPort: 22 }) },
  { what: 'an address that is not ours', send: (scene) => scene.client({ destination: '192.0.2.10' }) },
  { what: "the kernel's own address", send: (scene) => scene.client({ destination: '10.0.0.254' }) },
  {
    what: 'a broken packet to an address that is not ours',
    send: fromClient(repaired(tcpFrame({ destination: '192.0.2.10' }), (frame) => frame.set([0x44], 14))),
  },
  {
    what: 'a unicast packet in a broadcast frame',
    send: fromClient(tcpFrame({ destinationMac: new Uint8Array(6).fill(0xff) })),
  },
];

/** Everything that is refused, with its counter and the answer to the sender; nothing else is counted or sent. */
export function refusalContract(name: string, make: MakeEngine): void {
  for (const { what, reason, options, before, send, answer, needs } of vectors) {
    const skip = needs && make.lacks?.[needs];
    test(`${name}: ${what}: ${reason ?? 'left alone'}`, { skip }, async () => {
      const scene = await Scene.open(make, options);
      await before?.(scene);
      assert.deepEqual(await send(scene), answer === undefined ? [] : [answer]);
      assert.deepEqual(await scene.drops(), reason === undefined ? {} : { [reason]: 1 });
      const { resetsSent } = await scene.counters();
      assert.equal(resetsSent, /:\d+ ttl 64 R/.test(answer ?? '') ? 1 : 0);
    });
  }

  test(`${name}: every reason has a vector`, () => {
    const covered = new Set([
      ...countedByPorts,
      ...datagramReasons,
      ...publishingReasons,
      ...ipv6Reasons,
      ...vectors.map((vector) => vector.reason),
    ]);
    assert.deepEqual(
      dropReasons.filter((reason) => !covered.has(reason)),
      [],
    );
  });

  test(`${name}: frames that wait for a neighbour leave in order, with finished checksums, when it answers`, {
    skip: make.lacks?.waiting,
  }, async () => {
    const scene = await Scene.open(make);
    scene.engine.setReachability('10.0.0.1', 'resolving');
    assert.deepEqual(await scene.client({ flags: 'S' }, { checksumPartial: true }), []);
    assert.deepEqual(await scene.client({ flags: 'A' }), []);
    scene.engine.setReachability('10.0.0.1', 'reachable');
    const out = describe(await scene.engine.advance(10));
    assert.deepEqual(
      out.map((line) => line.replace(/.* ttl/, 'ttl')),
      ['ttl 63 S seq 1000 ack 0 +0', 'ttl 63 A seq 1000 ack 0 +0'],
    );
    assert.deepEqual(await scene.drops(), {});
  });

  test(`${name}: a grace period ends, and another begins with the next takeover`, async () => {
    const scene = await Scene.open(make, { lease: 'fresh', gracePeriodMs: 1000 });
    const answers = async (): Promise<number> => (await scene.client({ flags: 'A' })).length;
    assert.equal(await answers(), 0);
    await scene.engine.advance(1000);
    assert.equal(await answers(), 1);
    scene.engine.setLease(slot, 0);
    await scene.engine.advance(100);
    scene.engine.setLease(slot, 60_000);
    assert.equal(await answers(), 0);
    assert.deepEqual(await scene.drops(), { graceUnknownConnection: 2, unknownConnection: 1 });
  });

  test(`${name}: a real server's packet to the director itself is the kernel's, and no drop`, async () => {
    const scene = await Scene.open(make);
    const director = { source: '10.0.0.1', sourcePort: 8080, destination: '10.0.0.254', destinationPort: 51000 };
    scene.engine.setReachability('10.0.0.254', 'unreachable');
    assert.deepEqual(await scene.server({ ...director, flags: 'SA' }), []);
    assert.deepEqual(await scene.drops(), {});
    // A packet to any other address can only be a stray.
    assert.deepEqual(await scene.server({ ...director, destination: '198.51.100.9', flags: 'SA' }), []);
    assert.deepEqual(await scene.drops(), { unknownConnection: 1 });
  });

  test(`${name}: while records are expected, unknown segments wait for them under any lease`, async () => {
    const scene = await Scene.open(make);
    scene.engine.expectRecords(500);
    assert.deepEqual(await scene.client({ flags: 'A' }), []);
    await scene.engine.advance(499);
    assert.deepEqual(await scene.client({ flags: 'PA' }), []);
    await scene.engine.advance(1);
    assert.match((await scene.client({ flags: 'A' }))[0]!, / R seq/);
    assert.deepEqual(await scene.drops(), { graceUnknownConnection: 2, unknownConnection: 1 });
  });

  test(`${name}: a hash selector creates an unknown connection again`, async () => {
    const selector = { shape: 'hash', slots: Uint16Array.of(1), seed: 1, hashPort: false } as const;
    const scene = await Scene.open(make, { selector });
    assert.match((await scene.client({ flags: 'A' }))[0]!, /> 10\.0\.0\.2:8080 ttl 63 A/);
    assert.deepEqual(await scene.table(), ['ESTABLISHED 198.51.100.7:40000 > 10.0.0.2:8080 local 900']);
    assert.deepEqual(await scene.client({ flags: 'R', sourcePort: 5 }), []);
    assert.deepEqual(await scene.drops(), { unknownConnection: 1 });
    await scene.engine.configure(configurationOf());
  });
}

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { dropReasons } from '../../src/engine/engine.ts';
import { isValidHead, RecordOffset, recordWords } from '../../src/model/connection-batch.ts';
import { writeIpv4Checksum } from '../../src/wire/ipv4.ts';
import { networks } from '../contract/datagrams.ts';
import { describeFrame, tcpFrame } from '../contract/frames.ts';
import {
  Flags,
  icmpFrame,
  ipv4Fragments,
  ipv6Fragments,
  quote,
  segmentFrame,
  udpFrame,
  udpOf,
} from '../contract/packets.ts';
import { makePortableEngine } from '../contract/portable-harness.ts';
import { Scene } from '../contract/scene.ts';

// The ports throw when something is written outside a frame; `describeFrame` counts every checksum again.

const bends = fc.array(fc.record({ at: fc.nat(120), value: fc.nat(255) }), { maxLength: 6 });

test('random frames are never thrown at, and nothing is written outside them', async () => {
  const scene = await Scene.open(makePortableEngine);
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom('clients' as const, 'servers' as const),
      fc.boolean(),
      fc.nat(2000),
      async (frame, port, checksumPartial, segmentSize) => {
        await scene.engine.send(port, frame, { checksumPartial, segmentSize });
      },
    ),
    { numRuns: 2000 },
  );
});

test('bent frames of real connections leave whole or not at all, and are counted when they do not', async () => {
  const scene = await Scene.open(makePortableEngine);
  await scene.handshake();
  const flags = fc.constantFrom('S', 'A', 'PA', 'FA', 'R', 'SA', 'F');
  await fc.assert(
    fc.asyncProperty(flags, fc.nat(40), bends, fc.nat(60), async (letters, payload, changes, cut) => {
      const whole = tcpFrame({ flags: letters, payload: new Uint8Array(payload) });
      for (const { at, value } of changes) if (at < whole.length) whole[at] = value;
      const frame = whole.subarray(0, Math.max(0, whole.length - (cut > 30 ? cut - 30 : 0)));
      for (const out of await scene.engine.send('clients', frame)) {
        // The engine never sums a TCP segment, so it neither repairs nor breaks what came broken.
        if (changes.length === 0) describeFrame(out.bytes);
        assert.ok(out.bytes.length <= 54 + 548 + 60);
      }
    }),
    { numRuns: 3000 },
  );
  const { drops } = await scene.counters();
  for (const reason of ['truncated', 'malformedHeader', 'badChecksum'] as const) assert.ok(drops[reason] > 0, reason);
  assert.equal(dropReasons.length, Object.keys(drops).length);
});

test('every payload and every way round keeps its checksums', async () => {
  const scene = await Scene.open(makePortableEngine);
  await scene.handshake();
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 300 }),
      fc.nat(0xffff_ffff),
      fc.integer({ min: 2, max: 255 }),
      fc.boolean(),
      async (payload, sequence, ttl, checksumPartial) => {
        const [inbound] = await scene.client({ flags: 'A', payload, sequence, ttl }, { checksumPartial });
        assert.match(inbound!, new RegExp(`ttl ${ttl - 1} A seq ${sequence} ack 0 \\+${payload.length}$`));
        const [outbound] = await scene.server({ flags: 'A', payload, sequence, ttl }, { checksumPartial });
        assert.match(outbound!, new RegExp(`192.0.2.80:80 > 198.51.100.7:40000 ttl ${ttl - 1} A seq ${sequence} `));
      },
    ),
    { numRuns: 500 },
  );
});

const everySort = [
  ...Object.values(networks).flatMap(({ in: flow, out }) => {
    const isIpv6 = flow.source.includes(':');
    const fragments = isIpv6 ? ipv6Fragments : ipv4Fragments;
    const virtual = { source: out.destination, destination: flow.destination };
    const sent = {
      source: flow.destination,
      sourcePort: 80,
      destination: flow.source,
      destinationPort: flow.sourcePort,
    };
    return [
      udpFrame(flow),
      udpFrame(out),
      segmentFrame(flow, Flags.syn),
      ...fragments({ ...flow, protocol: 17, payload: udpOf(flow, new Uint8Array(90)) }, [24, 48]),
      icmpFrame(virtual, isIpv6 ? 1 : 3, 1, [0, 0, 0, 0], quote(udpFrame(sent))),
      icmpFrame(virtual, isIpv6 ? 128 : 8, 0, [0, 1, 0, 1], new Uint8Array(8)),
    ];
  }),
  icmpFrame({ source: '2001:db8::9', destination: '2001:db8::80' }, 135, 0, [0, 0, 0, 0], new Uint8Array(24), {
    ttl: 255,
  }),
];

test('bent frames of every sort, in both families, are forwarded, dropped or left alone, and never thrown at', async () => {
  for (const family of ['ipv4', 'ipv6'] as const) {
    for (const method of ['masquerade', 'direct-route'] as const) {
      const scene = await Scene.open(makePortableEngine, { family, protocol: 'udp', method });
      let outcomes = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...everySort),
          bends,
          fc.nat(60),
          fc.boolean(),
          async (whole, changes, cut, back) => {
            const frame = Uint8Array.from(whole);
            for (const { at, value } of changes) if (at < frame.length) frame[at] = value;
            // A bent address or fragment field is only met when the header's checksum holds.
            if (changes.length > 0 && frame[12] === 8 && frame[14] === 0x45) writeIpv4Checksum(frame, 14);
            const arrived = frame.subarray(0, frame.length - (cut > 40 ? Math.min(cut - 40, frame.length) : 0));
            outcomes += (await scene.engine.send(back ? 'servers' : 'clients', arrived)).length;
          },
        ),
        { numRuns: 1500 },
      );
      assert.ok(outcomes > 50, `${family} ${method}: ${outcomes} frames left`);
    }
  }
});

test('random records are applied or refused, and the table stays whole', async () => {
  const scene = await Scene.open(makePortableEngine, { lease: 'none' });
  await scene.engine.advance(5);
  const other = await Scene.open(makePortableEngine);
  await other.handshake();
  const good = await other.tableWords();
  const words = fc.array(fc.record({ at: fc.nat(recordWords - 1), value: fc.integer() }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(words, fc.nat(50), async (changes, cut) => {
      const batch = Int32Array.from(good);
      for (const { at, value } of changes) batch[at] = value;
      const outcome = await scene.engine.applyBatch(cut < 3 ? batch.subarray(0, recordWords - 1 - cut) : batch);
      const total = Object.values(outcome).reduce((sum, count) => sum + count, 0);
      assert.equal(total, cut < 3 ? 0 : 1);
    }),
    { numRuns: 2000 },
  );
  const page = await scene.engine.exportPage(0, 1000);
  for (let at = 0; at < page.batch.length; at += recordWords) {
    assert.ok(isValidHead(page.batch[at + RecordOffset.head]!));
  }
  const { services, halfOpenConnections, establishedConnections } = await scene.counters();
  const counted = services[0]!.realServers.reduce(
    (sum, { activeConnections, inactiveConnections }) => sum + activeConnections + inactiveConnections,
    0,
  );
  assert.equal(counted, halfOpenConnections + establishedConnections);
  assert.equal(page.batch.length / recordWords <= counted, true);
});

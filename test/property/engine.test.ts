// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { dropReasons } from '../../src/engine/engine.ts';
import { isValidHead, RecordOffset, recordWords } from '../../src/model/connection-batch.ts';
import { describeFrame, tcpFrame } from '../contract/frames.ts';
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
      const outcome = await scene.engine.importBatch(cut < 3 ? batch.subarray(0, recordWords - 1 - cut) : batch);
      const total = outcome.applied + outcome.refusedFull + outcome.refusedLocal + outcome.refusedUnknown;
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

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { packHead, RecordOffset, recordWords } from '../../src/model/connection-batch.ts';
import { rejectionReasons } from '../../sync/counters.ts';
import { emitFrame, frameLength, parseFrame } from '../../sync/frame.ts';
import { emitMessage, parseMessage } from '../../sync/messages/body.ts';
import { emitEntries, isValidRecord, measureEntries } from '../../sync/messages/entries.ts';
import { DatagramType, type Message } from '../../sync/messages/table.ts';
import { SyncSession } from '../../sync/session.ts';
import { defaultSyncTuning } from '../../sync/tuning.ts';

/** Objects as the code makes them, with the usual prototype. */
const shape = <Model extends object>(model: { [Key in keyof Model]: fc.Arbitrary<Model[Key]> }): fc.Arbitrary<Model> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<Model>;
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const safe = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const target = shape({ sender: u32, epoch: safe });
const transfer = { requester: u32, transfer: u32 };

const record: fc.Arbitrary<Int32Array> = fc
  .record({
    event: fc.constantFrom(1 as const, 2 as const, 3 as const),
    protocol: fc.constantFrom(6, 17),
    state: fc.integer({ min: 0, max: 10 }),
    ipv6: fc.boolean(),
    local: fc.boolean(),
    forwardingMethod: fc.integer({ min: 0, max: 2 }),
    template: fc.boolean(),
    ports: fc.array(fc.integer({ min: 1, max: 65_535 }), { minLength: 3, maxLength: 3 }),
    idleMs: fc.nat(),
    timeoutMs: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    words: fc.array(fc.integer({ min: 1, max: 2 ** 31 - 1 }), { minLength: 12, maxLength: 12 }),
  })
  .map(
    ({
      event,
      protocol,
      state: tcpState,
      ipv6,
      local,
      forwardingMethod,
      template,
      ports,
      idleMs,
      timeoutMs,
      words,
    }) => {
      const batch = new Int32Array(recordWords);
      const state = protocol === 17 || template ? 0 : tcpState;
      batch[0] = packHead({
        event,
        protocol,
        state,
        family: ipv6 ? 'ipv6' : 'ipv4',
        local,
        forwardingMethod,
        template,
      });
      batch[RecordOffset.ports] = ((template ? 0 : ports[0]!) << 16) | ports[1]!;
      batch[RecordOffset.realPort] = ports[2]!;
      batch[RecordOffset.idleMs] = idleMs;
      batch[RecordOffset.timeoutMs] = timeoutMs;
      for (let i = 0; i < 12; i += 1) batch[RecordOffset.clientAddress + i] = ipv6 || i % 4 === 0 ? words[i]! : 0;
      return batch;
    },
  );
const entries = fc.array(record, { minLength: 1, maxLength: 12 }).map((records) => {
  const batch = new Int32Array(records.length * recordWords);
  for (const [i, one] of records.entries()) batch.set(one, i * recordWords);
  return batch;
});
const ranges = fc
  .uniqueArray(safe, { minLength: 2, maxLength: 20 })
  .map((numbers) => numbers.sort((a, b) => a - b))
  .map((numbers) => numbers.slice(0, numbers.length & ~1))
  .map((numbers) =>
    Array.from({ length: numbers.length / 2 }, (_, i): [number, number] => [numbers[2 * i]!, numbers[2 * i + 1]!]),
  );
const fingerprint = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((value) => value.toString(16).padStart(16, '0'));
const gate = fc.constantFrom('alone' as const, 'joining' as const, 'inSync' as const);

const message: fc.Arbitrary<Message> = fc.oneof(
  shape({ type: fc.constant(DatagramType.delta), entries }),
  shape({ type: fc.constant(DatagramType.bulkBegin), ...transfer }),
  shape({ type: fc.constant(DatagramType.bulkChunk), ...transfer, index: u32, entries }),
  shape({ type: fc.constant(DatagramType.bulkEnd), ...transfer, chunks: u32, records: u32 }),
  shape({ type: fc.constant(DatagramType.heartbeat), gate, fingerprint, solicit: fc.boolean() }),
  shape({ type: fc.constant(DatagramType.nack), target, ranges }),
  shape({ type: fc.constant(DatagramType.gone), oldest: safe }),
  shape({
    type: fc.constantFrom(DatagramType.bulkRequest, DatagramType.bulkCredit),
    target,
    transfer: u32,
    chunkLimit: u32,
  }),
  shape({ type: fc.constantFrom(DatagramType.leave, DatagramType.acknowledgementRequest) }),
  shape({ type: fc.constant(DatagramType.acknowledgement), target, next: safe }),
);

const header = shape({ sender: fc.integer({ min: 2, max: 0xffffffff }), epoch: safe, sequence: safe });

test('what is encoded is decoded the same', () => {
  fc.assert(
    fc.property(message, header, (sent, { sender, epoch, sequence }) => {
      const frame = parseFrame(datagramOf(sent, sender, epoch, sequence), 51);
      assert.ok(frame.ok);
      const { body, ...fields } = frame.value;
      assert.deepEqual(fields, { type: sent.type, syncId: 51, resent: false, sender, epoch, sequence });
      assert.deepEqual(parseMessage(sent.type, body), { ok: true, value: sent });
    }),
    { numRuns: 500 },
  );
});

test('random bytes never throw and never reach the table', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
      const { session, applied } = openSession();
      session.receive(bytes, '192.0.2.2' as IpAddress, 1);
      assert.equal(applied.length, 0);
      assert.equal(rejections(session), 1);
    }),
    { numRuns: 500 },
  );
});

test('random bodies behind a valid header never throw; what reaches the table is valid', () => {
  const body = fc.oneof(fc.uint8Array({ maxLength: 400 }), fc.uint8Array({ maxLength: 60 }).map(asDeltaBody));
  const type = fc.constantFrom(...Object.values(DatagramType));
  fc.assert(
    fc.property(body, type, header, (bytes, one, { sender, epoch, sequence }) => {
      const { session, applied } = openSession();
      session.receive(frameOf(one, bytes, sender, epoch, sequence), '192.0.2.2' as IpAddress, 1);
      for (const batch of applied) assertValid(batch);
    }),
    { numRuns: 1000 },
  );
});

test('a damaged datagram never throws; either it is rejected or what it says is valid', () => {
  const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(message, header, damage, fc.option(fc.nat()), (sent, { sender, epoch, sequence }, places, cut) => {
      const bytes = datagramOf(sent, sender, epoch, sequence);
      for (const [place, value] of places) bytes[place % bytes.length] = value;
      const damaged = cut === null ? bytes : bytes.subarray(0, cut % bytes.length);
      const { session, applied } = openSession();
      session.receive(damaged, '192.0.2.2' as IpAddress, 1);
      for (const batch of applied) assertValid(batch);
      if (rejections(session) > 0) assert.equal(applied.length, 0);
      session.advance(2);
    }),
    { numRuns: 2000 },
  );
});

function openSession(): { session: SyncSession; applied: Int32Array[] } {
  const applied: Int32Array[] = [];
  const output = {
    send: () => {},
    apply: (batch: Int32Array) => applied.push(batch) > 0,
    exportPage: () => {},
    gateChanged: () => {},
    peerLost: () => {},
    fingerprintCompared: () => {},
  };
  const identity = { senderId: 1, epoch: 1, syncId: 51 };
  return { session: new SyncSession(identity, defaultSyncTuning, '0'.repeat(16), output, 0), applied };
}

function rejections(session: SyncSession): number {
  const { rejected } = session.status(1).counters;
  return rejectionReasons.reduce((sum, reason) => sum + rejected[reason], 0);
}

function assertValid(batch: Int32Array): void {
  assert.equal(batch.length % recordWords, 0);
  for (let at = 0; at < batch.length; at += recordWords) assert.ok(isValidRecord(batch, at));
}

function datagramOf(sent: Message, sender: number, epoch: number, sequence: number): Uint8Array {
  if (!('entries' in sent)) return frameOf(sent.type, emitMessage(sent), sender, epoch, sequence);
  const { count, length } = measureEntries(sent.entries, 0, 65_000);
  const packed = new Uint8Array(length);
  emitEntries(sent.entries, 0, count, packed, 0);
  return frameOf(sent.type, emitMessage({ ...sent, entries: packed }), sender, epoch, sequence);
}

function frameOf(type: Message['type'], body: Uint8Array, sender: number, epoch: number, sequence: number): Uint8Array {
  const bytes = new Uint8Array(frameLength + body.length);
  const fields = { type, syncId: 51, resent: false, sender, epoch, sequence, datagramNumber: 1 };
  emitFrame(fields, body.length, bytes, 0);
  bytes.set(body, frameLength);
  return bytes;
}

function asDeltaBody(bytes: Uint8Array): Uint8Array {
  return emitMessage({ type: DatagramType.delta, entries: bytes }).slice();
}

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { packHead, RecordOffset, recordWords, writeAddressWords } from '../../../src/model/connection-batch.ts';
import { createSyncCounters } from '../../../sync/counters.ts';
import { parseFrame } from '../../../sync/frame.ts';
import { parseMessage } from '../../../sync/messages/body.ts';
import { DatagramType } from '../../../sync/messages/table.ts';
import { Publisher } from '../../../sync/publisher.ts';
import { defaultSyncTuning } from '../../../sync/tuning.ts';

// Every message in the bytes that directors of other versions of baton send and read.

const target = { sender: 0xc0a80002, epoch: 2 ** 52 + 1 };
const records = joined([
  record({ family: 'ipv4', event: 1, local: true, template: false }),
  record({ family: 'ipv6', event: 2, local: false, template: true }),
]);
const packed = [
  '19 06 01 9c40 0050 1f90 00000019 000dbba0 cb007107 c633640a 0a000001',
  '46 06 00 0000 0050 1f90 00000019 000dbba0',
  '20010db8000000000000000000000007 20010db8000000000000000000000008 20010db8000000000000000000000009',
].join(' ');

interface Vector {
  readonly send: (publisher: Publisher) => unknown;
  /** From the type on, without what all headers have alike. */
  readonly type: string;
  readonly sequence: string;
  readonly body: string;
  readonly says: object;
}

const vectors: Readonly<Record<keyof typeof DatagramType, Vector>> = {
  delta: {
    send: (publisher) => publisher.publish(records, 0),
    type: '01',
    sequence: '0000000000000001',
    body: `91 c4 5e ${packed}`,
    says: { type: 1, entries: records },
  },
  bulkBegin: {
    send: (publisher) => publisher.sendSequenced({ type: DatagramType.bulkBegin, requester: 1, transfer: 300 }, 0),
    type: '02',
    sequence: '0000000000000001',
    body: '92 01 cd 012c',
    says: { type: 2, requester: 1, transfer: 300 },
  },
  bulkChunk: {
    send: (publisher) => publisher.publishChunks(records, 1, 300, 70_000, 0),
    type: '03',
    sequence: '0000000000000001',
    body: `94 01 cd 012c ce 00011170 c4 5e ${packed}`,
    says: { type: 3, requester: 1, transfer: 300, index: 70_000, entries: records },
  },
  bulkEnd: {
    send: (publisher) =>
      publisher.sendSequenced({ type: DatagramType.bulkEnd, requester: 1, transfer: 300, chunks: 200, records: 5 }, 0),
    type: '04',
    sequence: '0000000000000001',
    body: '94 01 cd 012c cc c8 05',
    says: { type: 4, requester: 1, transfer: 300, chunks: 200, records: 5 },
  },
  heartbeat: {
    send: (publisher) =>
      publisher.sendControl({
        type: DatagramType.heartbeat,
        gate: 'inSync',
        fingerprint: '0123456789abcdef',
        solicit: true,
      }),
    type: '10',
    sequence: '0000000000000000',
    body: '93 02 c4 08 0123456789abcdef 01',
    says: { type: 16, gate: 'inSync', fingerprint: '0123456789abcdef', solicit: true },
  },
  nack: {
    send: (publisher) =>
      publisher.sendControl({
        type: DatagramType.nack,
        target,
        ranges: [
          [1, 2],
          [2 ** 40, 2 ** 40 + 7],
        ],
      }),
    type: '11',
    sequence: '0000000000000000',
    body: '93 ce c0a80002 c4 08 0010000000000001 c4 20 0000000000000001 0000000000000002 0000010000000000 0000010000000007',
    says: {
      type: 17,
      target,
      ranges: [
        [1, 2],
        [2 ** 40, 2 ** 40 + 7],
      ],
    },
  },
  gone: {
    send: (publisher) => publisher.sendControl({ type: DatagramType.gone, oldest: 2 ** 33 }),
    type: '12',
    sequence: '0000000000000000',
    body: '91 c4 08 0000000200000000',
    says: { type: 18, oldest: 2 ** 33 },
  },
  bulkRequest: {
    send: (publisher) =>
      publisher.sendControl({ type: DatagramType.bulkRequest, target, transfer: 300, chunkLimit: 64 }),
    type: '13',
    sequence: '0000000000000000',
    body: '94 ce c0a80002 c4 08 0010000000000001 cd 012c 40',
    says: { type: 19, target, transfer: 300, chunkLimit: 64 },
  },
  bulkCredit: {
    send: (publisher) =>
      publisher.sendControl({ type: DatagramType.bulkCredit, target, transfer: 300, chunkLimit: 128 }),
    type: '14',
    sequence: '0000000000000000',
    body: '94 ce c0a80002 c4 08 0010000000000001 cd 012c cc 80',
    says: { type: 20, target, transfer: 300, chunkLimit: 128 },
  },
  leave: {
    send: (publisher) => publisher.sendControl({ type: DatagramType.leave }),
    type: '15',
    sequence: '0000000000000000',
    body: '90',
    says: { type: 21 },
  },
  acknowledgementRequest: {
    send: (publisher) => publisher.sendControl({ type: DatagramType.acknowledgementRequest }),
    type: '16',
    sequence: '0000000000000000',
    body: '90',
    says: { type: 22 },
  },
  acknowledgement: {
    send: (publisher) => publisher.sendControl({ type: DatagramType.acknowledgement, target, next: 2 ** 33 }),
    type: '17',
    sequence: '0000000000000000',
    body: '93 ce c0a80002 c4 08 0010000000000001 c4 08 0000000200000000',
    says: { type: 23, target, next: 2 ** 33 },
  },
};

for (const [name, vector] of Object.entries(vectors)) {
  test(`${name}: the datagram in bytes`, () => {
    const sent: Uint8Array[] = [];
    const identity = { senderId: 0xc0a80001, epoch: 7, syncId: 51 };
    vector.send(new Publisher(identity, defaultSyncTuning, createSyncCounters(), (datagram) => sent.push(datagram)));
    const body = vector.body.replaceAll(' ', '');
    const length = (body.length / 2).toString(16).padStart(4, '0');
    const header = `4254ffff 01 33 00 ${vector.type} 0000 ${length} c0a80001 0000000000000007 ${vector.sequence}`;
    const expected = `${header} 0000000000000001 0000000000000000 ${body}`.replaceAll(' ', '');
    assert.deepEqual(
      sent.map((datagram) => Buffer.from(datagram).toString('hex')),
      [expected],
    );
    const frame = parseFrame(sent[0]!, 51);
    assert.ok(frame.ok);
    assert.deepEqual(parseMessage(frame.value.type, frame.value.body), { ok: true, value: vector.says });
  });
}

function record(fields: { family: 'ipv4' | 'ipv6'; event: 1 | 2; local: boolean; template: boolean }): Int32Array {
  const words = new Int32Array(recordWords);
  const { family, template } = fields;
  words[0] = packHead({ ...fields, protocol: 6, state: template ? 0 : 1, forwardingMethod: template ? 0 : 1 });
  words[RecordOffset.ports] = ((template ? 0 : 40_000) << 16) | 80;
  words[RecordOffset.realPort] = 8080;
  words[RecordOffset.idleMs] = 25;
  words[RecordOffset.timeoutMs] = 900_000;
  const addresses = {
    ipv4: ['203.0.113.7', '198.51.100.10', '10.0.0.1'],
    ipv6: ['2001:db8::7', '2001:db8::8', '2001:db8::9'],
  }[family] as IpAddress[];
  for (const [i, address] of addresses.entries()) {
    writeAddressWords(words, RecordOffset.clientAddress + 4 * i, address);
  }
  return words;
}

function joined(parts: readonly Int32Array[]): Int32Array {
  const batch = new Int32Array(parts.length * recordWords);
  for (const [i, part] of parts.entries()) batch.set(part, i * recordWords);
  return batch;
}

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Packr } from 'msgpackr';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import {
  type ConnectionEvent,
  packHead,
  RecordOffset,
  recordWords,
  withEvent,
  writeAddressWords,
} from '../../../src/model/connection-batch.ts';
import { emitFrame, frameLength, markResent, parseFrame } from '../../../sync/frame.ts';
import { parseMessage } from '../../../sync/messages/body.ts';
import { emitEntries, isValidRecord, measureEntries, parseEntries } from '../../../sync/messages/entries.ts';
import { DatagramType } from '../../../sync/messages/table.ts';

test('a header in bytes', () => {
  const buffer = new Uint8Array(frameLength + 4).fill(0xa5);
  const fields = { type: DatagramType.delta, syncId: 51, resent: false, sender: 0xc0a80001, epoch: 2 ** 52 + 1 };
  const end = emitFrame({ ...fields, sequence: 2 ** 40 + 7, datagramNumber: 3 }, 2, buffer, 2);
  assert.equal(end, frameLength + 2);
  const expected = [
    'a5a5',
    '4254ffff 01330001 00000002 c0a80001',
    '0010000000000001 0000010000000007',
    '0000000000000003 0000000000000000',
    'a5a5',
  ];
  assert.equal(Buffer.from(buffer).toString('hex'), expected.join('').replaceAll(' ', ''));
  const datagram = buffer.slice(2);
  markResent(datagram, 9);
  const frame = parseFrame(datagram, 51);
  assert.ok(frame.ok);
  assert.deepEqual(
    { ...frame.value, body: frame.value.body.length },
    { ...fields, resent: true, sequence: 2 ** 40 + 7, body: 2 },
  );
});

test('an IPv4 entry takes 29 bytes, an IPv6 entry 65', () => {
  const batch = new Int32Array([...record('203.0.113.1', 1), ...record('2001:db8::1', 2)]);
  assert.deepEqual(measureEntries(batch, 0, 1400), { count: 2, length: 29 + 65 });
  assert.deepEqual(measureEntries(batch, 0, 93), { count: 1, length: 29 });
  const bytes = new Uint8Array(29 + 65);
  assert.equal(emitEntries(batch, 0, 2, bytes, 0), 29 + 65);
  const parsed = parseEntries(bytes);
  assert.ok(parsed.ok);
  assert.deepEqual(parsed.value, batch);
});

/** Field values with which a record must not cross the network, one field at a time. */
const malformed: readonly (readonly [name: string, word: number, value: number])[] = [
  ['no event', RecordOffset.head, withEvent(headOf({}), 0 as ConnectionEvent)],
  ['event 4', RecordOffset.head, withEvent(headOf({}), 4 as ConnectionEvent)],
  ['protocol 1', RecordOffset.head, headOf({ protocol: 1 })],
  ['state 11', RecordOffset.head, headOf({ state: 11 })],
  ['forwarding method 3', RecordOffset.head, headOf({ forwardingMethod: 3 })],
  ['client port 0', RecordOffset.ports, 80],
  ['virtual port 0', RecordOffset.ports, 1024 << 16],
  ['real server port 0', RecordOffset.realPort, 0],
  ['real server port beyond 16 bits', RecordOffset.realPort, 0x10000],
  ['negative idle time', RecordOffset.idleMs, -1],
  ['no timeout', RecordOffset.timeoutMs, 0],
  ['negative timeout', RecordOffset.timeoutMs, -1],
  ['client 0.0.0.0', RecordOffset.clientAddress, 0],
  ['virtual address 0.0.0.0', RecordOffset.virtualAddress, 0],
  ['real server 0.0.0.0', RecordOffset.realAddress, 0],
  ['IPv4 with more than one address word', RecordOffset.virtualAddress + 3, 1],
];

test('a record with one field out of place is not valid', () => {
  assert.equal(isValidRecord(record('203.0.113.1', 1), 0), true);
  for (const [name, word, value] of malformed) {
    const batch = record('203.0.113.1', 1);
    batch[word] = value;
    assert.equal(isValidRecord(batch, 0), false, name);
  }
});

test('templates and UDP flows have one state; a template has no client port, a TCP connection must', () => {
  const rows: [string, number, boolean, number, number, boolean][] = [
    ['a template', 6, true, 0, 0, true],
    ['a template with a client port', 6, true, 0, 40_000, false],
    ['a template in a state', 6, true, 1, 0, false],
    ['a UDP flow', 17, false, 0, 40_000, true],
    ['a UDP flow that names no source port', 17, false, 0, 0, true],
    ['a UDP flow in a TCP state', 17, false, 1, 40_000, false],
    ['a TCP connection from port 0', 6, false, 1, 0, false],
  ];
  for (const [name, protocol, template, state, port, expected] of rows) {
    const batch = record('203.0.113.1', 1);
    batch[0] = packHead({ event: 1, protocol, state, forwardingMethod: 0, family: 'ipv4', local: true, template });
    batch[RecordOffset.ports] = (port << 16) | 80;
    assert.equal(isValidRecord(batch, 0), expected, name);
    if (!expected) continue;
    const buffer = new Uint8Array(29);
    emitEntries(batch, 0, 1, buffer, 0);
    assert.deepEqual(parseEntries(buffer), { ok: true, value: batch }, name);
  }
});

test('a removal may leave out what it does not need', () => {
  const batch = record('203.0.113.1', 3);
  for (const word of [RecordOffset.realPort, RecordOffset.timeoutMs, RecordOffset.realAddress]) batch[word] = 0;
  assert.equal(isValidRecord(batch, 0), true);
});

test('nothing exotic is decoded, however it is nested', () => {
  const lavish = new Packr({ moreTypes: true, structuredClone: true });
  const pack = (value: unknown): Uint8Array => lavish.pack(value).slice();
  class Session {
    name = 'a';
  }
  const bodies: Record<string, Uint8Array> = {
    date: pack([new Date(0)]),
    map: Buffer.from([0x91, 0x81, 0xa1, 0x61, 0x01]),
    set: pack([new Set([1])]),
    'regular expression': pack([/a/]),
    error: pack([new Error('a')]),
    'class instance': pack([new Session()]),
    bigint: pack([2n ** 60n]),
    float: pack([0.5]),
    negative: pack([-1]),
    string: pack(['a']),
    nil: pack([null]),
    'typed array': Buffer.from([0x91, 0xc7, 0x05, 0x74, 0x05, 1, 2, 3, 4]),
    reference: Buffer.from([0x91, 0xd6, 0x70, 0, 0, 0, 1]),
    'one million arrays, one in the other': Buffer.alloc(65_000, 0x91),
    'an array of four billion': Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
    'a binary string of four gigabytes': Buffer.from([0x91, 0xc6, 0xff, 0xff, 0xff, 0xff]),
  };
  const reasons = Object.entries(bodies).map(([name, body]) => {
    const result = parseMessage(DatagramType.delta, body);
    return [name, result.ok ? 'accepted' : result.reason];
  });
  assert.deepEqual(Object.fromEntries(reasons), {
    date: 'bodyExotic',
    map: 'bodyTooDeep',
    set: 'bodyExotic',
    'regular expression': 'bodyExotic',
    error: 'bodyExotic',
    'class instance': 'bodyExotic',
    bigint: 'bodyExotic',
    float: 'bodyExotic',
    negative: 'bodyExotic',
    string: 'bodyExotic',
    nil: 'bodyExotic',
    'typed array': 'bodyExotic',
    reference: 'bodyExotic',
    'one million arrays, one in the other': 'bodyTooDeep',
    'an array of four billion': 'bodyTooMany',
    'a binary string of four gigabytes': 'bodyTruncated',
  });
});

function headOf(fields: { protocol?: number; state?: number; forwardingMethod?: number; event?: 1 | 2 | 3 }): number {
  const { protocol = 6, state = 1, forwardingMethod = 1, event = 1 } = fields;
  return packHead({ event, protocol, state, forwardingMethod, family: 'ipv4', local: true });
}

function record(client: string, event: 1 | 2 | 3): Int32Array {
  const ipv6 = client.includes(':');
  const words = new Int32Array(recordWords);
  words[0] = packHead({
    event,
    protocol: 6,
    state: 4,
    forwardingMethod: 2,
    family: ipv6 ? 'ipv6' : 'ipv4',
    local: false,
  });
  words[RecordOffset.ports] = (65_535 << 16) | 443;
  words[RecordOffset.realPort] = 65_535;
  words[RecordOffset.idleMs] = 2 ** 31 - 1;
  words[RecordOffset.timeoutMs] = 120_000;
  writeAddressWords(words, RecordOffset.clientAddress, client as IpAddress);
  writeAddressWords(words, RecordOffset.virtualAddress, (ipv6 ? '2001:db8::2' : '198.51.100.10') as IpAddress);
  writeAddressWords(words, RecordOffset.realAddress, (ipv6 ? '2001:db8::3' : '10.0.0.1') as IpAddress);
  return words;
}

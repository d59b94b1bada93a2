// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ElectionHandoverRecord } from '../../../src/director/election/election-view.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { emitFetched, emitFinal, emitRequest, parseRequest } from '../../../src/succession/handover-messages.ts';
import { emitHandoverRecord, parseHandoverRecord } from '../../../src/succession/handover-record.ts';
import { emitRecord } from '../../../src/succession/json-record.ts';

const address = (text: string): IpAddress => text as IpAddress;
const announcement = { repeat: 5, delayMs: 5000, refreshMs: 0, refreshRepeat: 1, intervalMs: 0 };

const record: ElectionHandoverRecord = {
  gateOpen: true,
  routers: [
    {
      assignment: {
        router: {
          name: 'web',
          interface: 'eth0',
          family: 'ipv4',
          vrid: 51,
          version: 3,
          priority: 100,
          advertIntervalMs: 1000,
          startAs: 'backup',
          preempt: true,
          preemptDelayMs: 0,
          addresses: [
            { address: address('198.51.100.10'), prefixLength: 32, interface: 'eth0' },
            {
              address: address('192.0.2.254'),
              prefixLength: 24,
              interface: 'eth1',
              broadcast: address('192.0.2.255'),
              scope: 253,
              label: 'eth1:v',
            },
          ],
          announcement,
          sourceAddress: address('192.0.2.1'),
          unicastPeers: [{ address: address('192.0.2.2'), minTtl: 254, maxTtl: 255 }],
          checksumForm: 'message-only',
        },
        leaseSlot: 3,
        installed: new Set([address('192.0.2.254')]),
      },
      record: {
        kind: 'active',
        sinceMs: 1000,
        leaseUntilMs: 9000,
        lastAdvertisementSent: { atMs: 6000, intervalMs: 1000 },
        settling: { untilMs: 6010, limitMs: 9010, rival: address('192.0.2.2') },
        holding: false,
      },
    },
    {
      assignment: {
        router: {
          name: 'mail',
          interface: 'eth0',
          family: 'ipv6',
          vrid: 52,
          version: 3,
          priority: 90,
          advertIntervalMs: 100,
          startAs: 'active',
          preempt: false,
          preemptDelayMs: 5000,
          addresses: [{ address: address('2001:db8::10'), prefixLength: 128, interface: 'eth0' }],
          announcement,
        },
        leaseSlot: 0,
        installed: new Set(),
      },
      record: {
        kind: 'backup',
        sinceMs: 1000,
        heldOff: false,
        activeDownTimerAtMs: 1360,
        activeAdverIntervalMs: 100,
        heard: { source: address('fe80::2'), priority: 150, intervalMs: 100, atMs: 1000, resigned: false },
        otherActiveUntilMs: null,
        preemptDelayUntilMs: 6000,
      },
    },
  ],
};

/** As the first version that could be succeeded writes it: every version must write and read this text. */
const text =
  '{"gateOpen":true,"routers":[' +
  '{"configured":{"name":"web","interface":"eth0","family":"ipv4","vrid":51,"version":3,"priority":100,' +
  '"advertIntervalMs":1000,"startAs":"backup","preempt":true,"preemptDelayMs":0,"addresses":[' +
  '{"address":"198.51.100.10","prefixLength":32,"interface":"eth0","install":false},' +
  '{"address":"192.0.2.254","prefixLength":24,"interface":"eth1","broadcast":"192.0.2.255","scope":253,' +
  '"label":"eth1:v","install":true}],' +
  '"announcement":{"repeat":5,"delayMs":5000,"refreshMs":0,"refreshRepeat":1,"intervalMs":0},' +
  '"sourceAddress":"192.0.2.1","unicastPeers":[{"address":"192.0.2.2","minTtl":254,"maxTtl":255}],' +
  '"checksumForm":"message-only","leaseSlot":3},' +
  '"bequest":{"kind":"active","sinceMs":1000,"voiceUntilMs":9000,"voiced":{"atMs":6000,"intervalMs":1000},' +
  '"settling":{"untilMs":6010,"limitMs":9010,"rival":"192.0.2.2"},"holding":false}},' +
  '{"configured":{"name":"mail","interface":"eth0","family":"ipv6","vrid":52,"version":3,"priority":90,' +
  '"advertIntervalMs":100,"startAs":"active","preempt":false,"preemptDelayMs":5000,"addresses":[' +
  '{"address":"2001:db8::10","prefixLength":128,"interface":"eth0","install":false}],' +
  '"announcement":{"repeat":5,"delayMs":5000,"refreshMs":0,"refreshRepeat":1,"intervalMs":0},"leaseSlot":0},' +
  '"bequest":{"kind":"backup","sinceMs":1000,"heldOff":false,"downAtMs":1360,"activeIntervalMs":100,' +
  '"heard":{"source":"fe80::2","priority":150,"intervalMs":100,"atMs":1000,"resigned":false},' +
  '"claimedUntilMs":null,"preemptAfterMs":6000}}]}';

describe('what a predecessor and its successor of another version agree on', () => {
  test('the text of a handover record', () => {
    assert.deepEqual(JSON.parse(emitHandoverRecord(record)), JSON.parse(text));
    assert.deepEqual(parseHandoverRecord(text), { ok: true, value: record });
  });

  test('a virtual router in fault has no record', () => {
    const [one] = record.routers;
    const fault = { gateOpen: false, routers: [{ assignment: one!.assignment, record: null }] };
    assert.match(emitHandoverRecord(fault), /"bequest":null/);
    assert.deepEqual(parseHandoverRecord(emitHandoverRecord(fault)), { ok: true, value: fault });
  });

  test('the messages', () => {
    const decoded = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));
    const fetched = emitFetched({ label: 'v1', descriptors: [{ name: 'map leases', fd: 7 }] }, 2);
    assert.deepEqual(decoded(fetched), { format: 1, ticket: 2, label: 'v1', names: ['map leases'] });
    const logLines = [{ level: 'warn', sentence: 'has a rival', router: 'web' }] as const;
    assert.deepEqual(decoded(emitFinal(logLines)), { format: 1, story: logLines });
    assert.deepEqual(decoded(emitRequest({ ask: 'replace', successorNumber: 2 })), { ask: 'yield', ticket: 2 });
    assert.deepEqual(decoded(emitRequest({ ask: 'fetch' })), { ask: 'fetch' });
    assert.deepEqual(decoded(emitRequest({ ask: 'dismiss' })), { ask: 'dismiss' });
    const asked = parseRequest(emitRecord({ ask: 'yield', ticket: 2 }));
    assert.deepEqual(asked, { ok: true, value: { ask: 'replace', successorNumber: 2 } });
  });
});

test('a text that is no handover record is refused', () => {
  const { gateOpen, routers } = JSON.parse(text) as {
    gateOpen: boolean;
    routers: { configured: object; bequest: object }[];
  };
  const [one] = routers;
  assert.ok(one !== undefined);
  const { configured, bequest } = one;
  const table: readonly [string, unknown][] = [
    ['no object', []],
    ['a text', 'x'],
    ['no gate', { routers }],
    ['no list', { gateOpen, routers: {} }],
    ['too many', { gateOpen, routers: Array.from({ length: 256 }, () => one) }],
    ['no router', { gateOpen, routers: [null] }],
    ['a slot too far', { gateOpen, routers: [{ configured: { ...configured, leaseSlot: 255 }, bequest }] }],
    ['half a VRID', { gateOpen, routers: [{ configured: { ...configured, vrid: 1.5 }, bequest }] }],
    ['no name', { gateOpen, routers: [{ configured: { ...configured, name: '' }, bequest }] }],
    ['no address', { gateOpen, routers: [{ configured: { ...configured, addresses: [{}] }, bequest }] }],
    ['another family', { gateOpen, routers: [{ configured: { ...configured, sourceAddress: '::1' }, bequest }] }],
    ['no interval', { gateOpen, routers: [{ configured: { ...configured, advertIntervalMs: 0 }, bequest }] }],
    ['no time', { gateOpen, routers: [{ configured, bequest: { ...bequest, voiceUntilMs: null } }] }],
    ['no state', { gateOpen, routers: [{ configured, bequest: { ...bequest, kind: 'fault' } }] }],
  ];
  for (const [name, value] of table) {
    assert.deepEqual(parseHandoverRecord(JSON.stringify(value)), { ok: false, reason: 'malformed' }, name);
  }
  assert.deepEqual(parseHandoverRecord('{'), { ok: false, reason: 'not-json' });
});

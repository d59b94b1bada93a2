// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import type { VirtualRouter } from '../../../src/model/virtual-router.ts';
import { climbLadder, type Datagram, type RejectionReason, rejectionReasons } from '../../../vrrp/ladder.ts';
import { type Advertisement, advertisementLength, emitAdvertisement } from '../../../vrrp/packet.ts';
import type { LocalRouter } from '../../../vrrp/state.ts';
import { routerOf } from './routers.ts';

const ip = (text: string): IpAddress => text as IpAddress;
const peer = ip('192.0.2.2');
const group = ip('224.0.0.18');

function listener(changes: Partial<VirtualRouter> = {}): LocalRouter {
  const router = { ...routerOf({ intervalMs: 100, addresses: [ip('198.51.100.10')] }), ...changes };
  return { router, primaryAddress: ip('192.0.2.1') };
}

const listeners: Readonly<Record<number, LocalRouter>> = {
  3: listener(),
  5: listener({
    unicastPeers: [
      { address: ip('192.0.2.2'), minTtl: 250, maxTtl: 254 },
      { address: ip('192.0.2.3'), minTtl: 0, maxTtl: 255 },
    ],
  }),
  2: listener({ version: 2, advertIntervalMs: 1000 }),
};

function advertisement(changes: Partial<Advertisement> = {}): Advertisement {
  return {
    version: 3,
    vrid: 3,
    priority: 100,
    intervalMs: 500,
    authenticationType: 0,
    addresses: [ip('198.51.100.10')],
    ...changes,
  };
}

const version2 = { version: 2, vrid: 2, intervalMs: 1000 } as const;

/** A datagram from the peer; `edit` changes bytes after the checksum was made, `reseal` computes it again. */
function datagram(
  changes: Partial<Advertisement> = {},
  { header = {}, edit = (bytes) => bytes, reseal = false }: Damage = {},
): Datagram {
  const value = advertisement(changes);
  const source = header.source ?? peer;
  const destination = header.destination ?? group;
  const endpoints = { source: peer, destination: group };
  const bytes = new Uint8Array(advertisementLength(value));
  emitAdvertisement(value, endpoints, bytes, 0, 'message-only');
  const message = edit(bytes);
  if (reseal) seal(message);
  return { source, destination, ttl: header.ttl ?? 255, message };
}

interface Damage {
  readonly header?: Partial<Datagram>;
  readonly edit?: (bytes: Uint8Array) => Uint8Array;
  readonly reseal?: boolean;
}

function seal(bytes: Uint8Array): void {
  bytes[6] = 0;
  bytes[7] = 0;
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  bytes[6] = (sum ^ 0xffff) >>> 8;
  bytes[7] = sum ^ 0xffff;
}

function set(index: number, value: number): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => {
    bytes[index] = value;
    return bytes;
  };
}

function climb(each: Datagram): RejectionReason | 'admitted' {
  const result = climbLadder(each, (vrid) => listeners[vrid]);
  return result.ok ? 'admitted' : result.reason;
}

const vectors: Readonly<Record<RejectionReason, Datagram>> = {
  'family-mixed': datagram({}, { header: { source: ip('fe80::2') } }),
  'not-a-peer': datagram({}, { header: { destination: ip('192.0.2.1') } }),
  ttl: datagram({}, { header: { ttl: 254 } }),
  'too-short': datagram({}, { edit: (bytes) => bytes.slice(0, 7) }),
  'version-unsupported': datagram({}, { edit: set(0, 0x41), reseal: true }),
  'type-unknown': datagram({}, { edit: set(0, 0x32), reseal: true }),
  incomplete: datagram({}, { edit: set(3, 2), reseal: true }),
  'trailing-bytes': datagram({}, { edit: set(3, 0), reseal: true }),
  checksum: datagram({}, { edit: set(2, 101) }),
  'vrid-unknown': datagram({ vrid: 4 }),
  'version-mismatch': datagram({ vrid: 2 }),
  'looped-back': datagram({}, { header: { source: ip('192.0.2.1') } }),
  'address-count': datagram({ addresses: [] }),
  authentication: datagram({ ...version2, authenticationType: 1 }),
  'interval-zero': datagram({}, { edit: set(5, 0), reseal: true }),
  'interval-mismatch': datagram({ ...version2, intervalMs: 2000 }),
  'address-list': datagram({ ...version2, addresses: [ip('198.51.100.11')] }),
};

for (const reason of rejectionReasons) {
  test(`discarded: ${reason}`, () => assert.equal(climb(vectors[reason]), reason));
}

test('admitted: version 3 with an interval of its own', () => {
  assert.deepEqual(
    climbLadder(datagram(), (vrid) => listeners[vrid]),
    {
      ok: true,
      value: { router: listeners[3], advertisement: advertisement(), addressListDiffers: false },
    },
  );
});

test('admitted: version 2 at the same pace', () => {
  assert.equal(climb(datagram(version2)), 'admitted');
});

test('admitted: version 3 with other addresses, and reported', () => {
  const result = climbLadder(datagram({ addresses: [ip('198.51.100.11')] }), (vrid) => listeners[vrid]);
  assert.equal(result.ok && result.value.addressListDiffers, true);
});

test("admitted: version 2 with the owner's other addresses, and reported", () => {
  const other = datagram({ ...version2, priority: 255, addresses: [ip('198.51.100.11')] });
  const result = climbLadder(other, (vrid) => listeners[vrid]);
  assert.equal(result.ok && result.value.addressListDiffers, true);
});

test('the first rung failed decides', () => {
  const all = datagram({ vrid: 4 }, { header: { ttl: 1 }, edit: set(2, 101) });
  assert.equal(climb(all), 'ttl');
  assert.equal(climb({ ...all, ttl: 255 }), 'checksum');
});

test('unicast: who is heard, and with which TTL', () => {
  const unicast = { destination: ip('192.0.2.1'), ttl: 252 };
  const toPeers = (header: Partial<Datagram>) => climb(datagram({ vrid: 5 }, { header: { ...unicast, ...header } }));
  assert.deepEqual(
    {
      'a peer': toPeers({}),
      'the least TTL': toPeers({ ttl: 250 }),
      'the greatest TTL': toPeers({ ttl: 254 }),
      'less than the least': toPeers({ ttl: 249 }),
      'more than the greatest': toPeers({ ttl: 255 }),
      'found out of range by the kernel': toPeers({ ttl: -1 }),
      'another peer with a range of its own': toPeers({ source: ip('192.0.2.3'), ttl: 1 }),
      'a stranger': toPeers({ source: ip('192.0.2.4'), ttl: 255 }),
      'a peer, to the group': toPeers({ destination: group, ttl: 255 }),
      'a peer of another virtual router': climb(datagram({ vrid: 3 }, { header: unicast })),
    },
    {
      'a peer': 'admitted',
      'the least TTL': 'admitted',
      'the greatest TTL': 'admitted',
      'less than the least': 'ttl',
      'more than the greatest': 'ttl',
      'found out of range by the kernel': 'ttl',
      'another peer with a range of its own': 'admitted',
      'a stranger': 'not-a-peer',
      'a peer, to the group': 'not-a-peer',
      'a peer of another virtual router': 'not-a-peer',
    },
  );
});

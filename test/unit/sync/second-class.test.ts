// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { RecordFlag, recordWords } from '../../../src/model/connection-batch.ts';
import { createSyncCounters } from '../../../sync/counters.ts';
import { DatagramType } from '../../../sync/messages/table.ts';
import { Publisher } from '../../../sync/publisher.ts';
import { SyncSession } from '../../../sync/session.ts';
import type { SessionOutput } from '../../../sync/surroundings.ts';
import { defaultSyncTuning } from '../../../sync/tuning.ts';
import { connectionRecord } from '../../support/sync-simulation.ts';

const isSecond = (n: number): boolean => n % 3 === 0 || n === 31 || n === 47;

function recordsTo(count: number): Int32Array {
  return Int32Array.from(
    Array.from({ length: count }, (_, n) => {
      const record = connectionRecord(n);
      if (isSecond(n)) record[0]! |= RecordFlag.secondClass;
      return [...record];
    }).flat(),
  );
}

/** A publisher, and what a session applies of what it sends. `alter` is done to every datagram on its way. */
function pairOf(datagramLength = 1472, alter = (_: Uint8Array): void => undefined) {
  const applied: number[] = [];
  const output: SessionOutput = {
    send: () => undefined,
    apply: (batch) => applied.push(...batch) > 0,
    exportPage: () => undefined,
    gateChanged: () => undefined,
    peerLost: () => undefined,
    fingerprintCompared: () => undefined,
  };
  const session = new SyncSession({ senderId: 1, epoch: 1, syncId: 51 }, defaultSyncTuning, '', output, 0);
  const entries: number[] = [];
  const deliver = (datagram: Uint8Array): void => {
    const before = applied.length;
    const copy = datagram.slice();
    alter(copy);
    session.receive(copy, '192.0.2.2' as IpAddress, 1);
    if (applied.length > before) entries.push((applied.length - before) / recordWords);
  };
  const tuning = { ...defaultSyncTuning, datagramLength };
  const publisher = new Publisher({ senderId: 2, epoch: 1, syncId: 51 }, tuning, createSyncCounters(), deliver);
  publisher.sendControl({ type: DatagramType.heartbeat, gate: 'inSync', fingerprint: '00'.repeat(8), solicit: false });
  return { publisher, applied, entries };
}

test('the class of each entry crosses the wire, of as many as a datagram holds', () => {
  const { publisher, applied, entries } = pairOf();
  const records = recordsTo(100);
  publisher.publish(records, 1);
  assert.deepEqual(Int32Array.from(applied), records);
  assert.deepEqual(entries, [48, 48, 4]);
});

test('a longer datagram takes no more entries than the header has bits', () => {
  const { publisher, applied, entries } = pairOf(60_000);
  const records = recordsTo(130);
  publisher.publish(records, 1);
  assert.deepEqual(Int32Array.from(applied), records);
  assert.deepEqual(entries, [64, 64, 2]);
});

test('a director of an older version leaves the field zero: its entries are of the first class', () => {
  const { publisher, applied } = pairOf(1472, (datagram) => datagram.fill(0, 40, 48));
  publisher.publish(recordsTo(10), 1);
  assert.deepEqual(
    applied,
    [...Array(10).keys()].flatMap((n) => [...connectionRecord(n)]),
  );
});

test('bits without an entry mean nothing', () => {
  const { publisher, applied } = pairOf(1472, (datagram) => datagram.fill(0xff, 40, 48));
  publisher.publish(recordsTo(2), 1);
  assert.equal(applied.length, 2 * recordWords);
});

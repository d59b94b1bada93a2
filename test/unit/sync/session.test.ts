// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import {
  type ConnectionEvent,
  withEvent as headWithEvent,
  RecordFlag,
  RecordOffset,
  recordWords,
} from '../../../src/model/connection-batch.ts';
import { createSyncCounters } from '../../../sync/counters.ts';
import { parseFrame } from '../../../sync/frame.ts';
import { parseMessage } from '../../../sync/messages/body.ts';
import { DatagramType, type Message } from '../../../sync/messages/table.ts';
import { Publisher } from '../../../sync/publisher.ts';
import { SyncSession } from '../../../sync/session.ts';
import type { SessionOutput } from '../../../sync/surroundings.ts';
import { defaultSyncTuning } from '../../../sync/tuning.ts';
import { connectionRecord } from '../../support/sync-simulation.ts';

const fingerprint = '00000000000000aa';

test('an event that overtakes the page that is being read is not undone by it', () => {
  const { session, sent, exports, peer } = openSession();
  const two = peer(2);
  two.heartbeat();
  two.control({ type: DatagramType.bulkRequest, target: { sender: 1, epoch: 1 }, transfer: 7, chunkLimit: 64 });
  assert.deepEqual(exports, [{ cursor: 0, recordsMax: 64 * 48 }]);
  session.publish(withEvent(connectionRecord(2), 3), 2);
  session.exported({ batch: joined([1, 2, 3].map((n) => connectionRecord(n))), next: undefined }, 3);
  const tail = sent().slice(-3);
  assert.deepEqual(
    tail.map((message) => [message.type, 'entries' in message ? clientPorts(message.entries) : []]),
    [
      [DatagramType.delta, [1026]],
      [DatagramType.bulkChunk, [1025, 1027]],
      [DatagramType.bulkEnd, []],
    ],
  );
  assert.equal(session.status(3).counters.traffic.bulkEntriesSuperseded, 1);
});

test('what one peer has just ended is not brought back by what another has learnt of it', () => {
  const { session, sent, applied, peer } = openSession();
  const two = peer(2);
  const three = peer(3);
  two.heartbeat();
  three.heartbeat();
  const request = sent().find((message) => message.type === DatagramType.bulkRequest && message.target.sender === 3);
  assert.ok(request?.type === DatagramType.bulkRequest);
  two.publisher.publish(withEvent(connectionRecord(5), 3), 1);
  three.publisher.sendSequenced({ type: DatagramType.bulkBegin, requester: 1, transfer: request.transfer }, 1);
  const learnt = [4, 5].map((n) => learntRecord(connectionRecord(n)));
  three.publisher.publishChunks(joined(learnt), 1, request.transfer, 0, 1);
  three.publisher.publishChunks(connectionRecord(5), 1, request.transfer, 1, 1);
  assert.deepEqual(applied.map(clientPorts), [[1029], [1028], [1029]]);
  assert.equal(session.status(1).counters.traffic.bulkEntriesSuperseded, 1);
});

test('a director that was stopped does not take itself for alone, nor its table for current', () => {
  const { session, gates, peer } = openSession();
  const two = peer(2);
  two.heartbeat();
  two.serveNothing(session);
  assert.deepEqual(gates, ['inSync']);
  session.advance(10_000);
  assert.deepEqual(gates, ['inSync', 'joining']);
  // As old as the pause: it has waited in the socket, and what followed may have found it full.
  two.heartbeat(10_019);
  assert.deepEqual(gates, ['inSync', 'joining']);
  two.heartbeat(10_020);
  assert.deepEqual(gates, ['inSync', 'joining', 'inSync']);
});

test('a table that lets what the peers say wait is no copy', () => {
  const { session, gates, peer } = openSession();
  const two = peer(2);
  two.heartbeat();
  two.serveNothing(session);
  two.publisher.publish(connectionRecord(5), 1);
  session.advance(51);
  assert.deepEqual(gates, ['inSync']);
  two.publisher.publish(connectionRecord(6), 60);
  session.advance(100);
  assert.deepEqual(gates, ['inSync', 'joining']);
  session.applied(1, 101);
  assert.deepEqual(gates, ['inSync', 'joining', 'inSync']);
});

test('a peer that falls silent is forgotten, and the last one leaves this director alone', () => {
  const { session, gates, peer } = openSession();
  const two = peer(2);
  two.heartbeat();
  two.serveNothing(session);
  for (let ms = 100; ms <= 500; ms += 100) session.advance(ms);
  assert.deepEqual(gates, ['inSync']);
  session.advance(501);
  assert.deepEqual(gates, ['inSync', 'alone']);
});

test('a peer that says good-bye is forgotten at once', () => {
  const { session, gates, peer } = openSession();
  const two = peer(2);
  two.heartbeat();
  two.serveNothing(session);
  two.control({ type: DatagramType.leave });
  assert.equal(session.status(1).peers.length, 0);
  session.advance(400);
  assert.deepEqual(gates, ['inSync', 'alone']);
});

test('peers whose virtual services differ are reported once for each change', () => {
  const { session, compared, peer } = openSession();
  const two = peer(2);
  two.heartbeat(1, fingerprint);
  two.heartbeat(2, '00000000000000bb');
  two.heartbeat(3, '00000000000000bb');
  session.setFingerprint('00000000000000bb', 4);
  session.setFingerprint('00000000000000cc', 5);
  assert.deepEqual(compared, [false, true, false]);
  assert.equal(session.status(5).counters.traffic.fingerprintMismatches, 2);
});

test('a gap that stays unanswered is asked for at growing intervals, then given up', () => {
  const { session, sent, peer } = openSession();
  const two = peer(2);
  two.heartbeat();
  two.serveNothing(session);
  two.skip();
  two.publisher.publish(connectionRecord(1), 1);
  const nacksMs: number[] = [];
  for (let ms = 1; ms < 1500 && session.status(ms).counters.traffic.gapsLost === 0; ms += 1) {
    const before = sent().length;
    if (ms % 100 === 0) two.heartbeat(ms);
    session.advance(ms);
    if (
      sent()
        .slice(before)
        .some(({ type }) => type === DatagramType.nack)
    )
      nacksMs.push(ms);
  }
  assert.deepEqual(nacksMs, [4, 14, 34, 74, 154, 314, 514, 714]);
  assert.equal(session.status(1500).peers[0]?.snapshot, 'requested');
});

interface PeerStandIn {
  readonly publisher: Publisher;
  control(message: Parameters<Publisher['sendControl']>[0]): void;
  heartbeat(atMs?: number, print?: string): void;
  /** Answers the snapshot that the session asks for: an empty table. */
  serveNothing(session: SyncSession): void;
  /** Takes the next number without sending anything. */
  skip(): void;
}

function openSession() {
  const datagrams: Uint8Array[] = [];
  const applied: Int32Array[] = [];
  const gates: string[] = [];
  const compared: boolean[] = [];
  const exports: { cursor: number; recordsMax: number }[] = [];
  const output: SessionOutput = {
    send: (datagram) => datagrams.push(datagram.slice()),
    apply: (batch) => applied.push(batch) > 0,
    exportPage: (cursor, recordsMax) => exports.push({ cursor, recordsMax }),
    gateChanged: (gate) => gates.push(gate),
    peerLost: () => {},
    fingerprintCompared: (_, equal) => compared.push(equal),
  };
  // The first change of the gate, to joining when a peer is met, is not told: it begins as joining.
  const session = new SyncSession({ senderId: 1, epoch: 1, syncId: 51 }, defaultSyncTuning, fingerprint, output, 0);
  const sent = (): Message[] => datagrams.map(messageOf);
  const peer = (senderId: number): PeerStandIn => standIn(session, senderId, sent);
  return { session, sent, applied, gates, compared, exports, peer };
}

function standIn(session: SyncSession, senderId: number, sent: () => Message[]): PeerStandIn {
  const address = `192.0.2.${senderId}` as IpAddress;
  let nowMs = 1;
  let lost = false;
  const deliver = (datagram: Uint8Array): void => {
    if (!lost) session.receive(datagram, address, nowMs);
  };
  const identity = { senderId, epoch: 1, syncId: 51 };
  const publisher = new Publisher(identity, defaultSyncTuning, createSyncCounters(), deliver);
  return {
    publisher,
    control: (message) => publisher.sendControl(message),
    heartbeat: (atMs = 1, print = fingerprint) => {
      nowMs = atMs;
      publisher.sendControl({ type: DatagramType.heartbeat, gate: 'inSync', fingerprint: print, solicit: false });
    },
    serveNothing: () => {
      const request = sent().findLast(({ type }) => type === DatagramType.bulkRequest);
      assert.ok(request?.type === DatagramType.bulkRequest);
      const { transfer } = request;
      publisher.sendSequenced({ type: DatagramType.bulkBegin, requester: 1, transfer }, 1);
      publisher.sendSequenced({ type: DatagramType.bulkEnd, requester: 1, transfer, chunks: 0, records: 0 }, 1);
    },
    skip: () => {
      lost = true;
      publisher.publish(connectionRecord(99), 1);
      lost = false;
    },
  };
}

function messageOf(datagram: Uint8Array): Message {
  const frame = parseFrame(datagram, 51);
  assert.ok(frame.ok);
  const message = parseMessage(frame.value.type, frame.value.body);
  assert.ok(message.ok);
  return message.value;
}

function clientPorts(batch: Int32Array): number[] {
  return Array.from(
    { length: batch.length / recordWords },
    (_, i) => batch[i * recordWords + RecordOffset.ports]! >>> 16,
  );
}

function withEvent(record: Int32Array, event: ConnectionEvent): Int32Array {
  record[0] = headWithEvent(record[0]!, event);
  return record;
}

function learntRecord(record: Int32Array): Int32Array {
  record[0] = record[0]! & ~RecordFlag.local;
  return record;
}

function joined(records: readonly Int32Array[]): Int32Array {
  const batch = new Int32Array(records.length * recordWords);
  for (const [i, record] of records.entries()) batch.set(record, i * recordWords);
  return batch;
}

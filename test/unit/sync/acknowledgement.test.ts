// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { createSyncCounters } from '../../../sync/counters.ts';
import { parseFrame } from '../../../sync/frame.ts';
import { parseMessage } from '../../../sync/messages/body.ts';
import type { Incarnation } from '../../../sync/messages/fields.ts';
import { DatagramType } from '../../../sync/messages/table.ts';
import { Publisher } from '../../../sync/publisher.ts';
import { SyncSession } from '../../../sync/session.ts';
import { defaultSyncTuning } from '../../../sync/tuning.ts';
import { connectionRecord } from '../../support/sync-simulation.ts';

const me: Incarnation = { sender: 1, epoch: 100 };

/** A director that has met one peer, whose stream and datagrams the test makes. */
function openSession() {
  let nowMs = 0;
  let lost = false;
  const acknowledged: number[] = [];
  let requests = 0;
  const session = new SyncSession(
    { senderId: me.sender, epoch: me.epoch, syncId: 51 },
    { ...defaultSyncTuning, defer: true },
    '0000000000000000',
    {
      send: (datagram) => {
        const frame = parseFrame(datagram, 51);
        assert.ok(frame.ok);
        const message = parseMessage(frame.value.type, frame.value.body);
        assert.ok(message.ok);
        if (message.value.type === DatagramType.acknowledgement) acknowledged.push(message.value.next);
        if (message.value.type === DatagramType.acknowledgementRequest) requests += 1;
      },
      apply: () => true,
      exportPage: () => {},
      gateChanged: () => {},
      peerLost: () => {},
      fingerprintCompared: () => {},
    },
    0,
  );
  const deliver = (datagram: Uint8Array): void => {
    if (!lost) session.receive(datagram, '192.0.2.2' as IpAddress, nowMs);
  };
  const publisherOf = (epoch: number, senderId = 2): Publisher =>
    new Publisher({ senderId, epoch, syncId: 51 }, defaultSyncTuning, createSyncCounters(), deliver);
  const peer = publisherOf(7);
  const sendHeartbeat = (from = peer): void =>
    from.sendControl({ type: DatagramType.heartbeat, gate: 'inSync', fingerprint: '0000000000000000', solicit: false });
  sendHeartbeat();
  const release: string[] = [];
  return {
    session,
    peer,
    publisherOf,
    sendHeartbeat,
    acknowledged,
    requests: () => requests,
    advance: (ms: number) => {
      nowMs += ms;
      session.advance(nowMs);
    },
    lose: (task: () => void) => {
      lost = true;
      task();
      lost = false;
    },
    ask: (from = peer) => from.sendControl({ type: DatagramType.acknowledgementRequest }),
    answer: (next: number, target = me, from = peer) =>
      from.sendControl({ type: DatagramType.acknowledgement, target, next }),
    publish: (number: number) => peer.publish(connectionRecord(number), nowMs),
    defer: (name: string) => {
      session.publish(connectionRecord(1), nowMs);
      session.defer(() => release.push(name), nowMs);
    },
    released: () => release.splice(0),
    counters: () => session.status(nowMs).counters,
  };
}

test('a request is answered at once with all that is there', () => {
  const { ask, publish, acknowledged, counters } = openSession();
  ask();
  publish(1);
  publish(2);
  ask();
  assert.deepEqual(acknowledged, [1, 3]);
  publish(3);
  assert.deepEqual(acknowledged, [1, 3], 'nobody has asked');
  assert.equal(counters().traffic.acknowledgementsSent, 2);
});

test('a request that comes across a gap is answered as it closes, for 10 ms', () => {
  const { ask, publish, lose, peer, acknowledged, advance } = openSession();
  publish(1);
  lose(() => publish(2));
  lose(() => publish(3));
  publish(4);
  ask();
  assert.deepEqual(acknowledged, [2], 'one who waits for less need not wait for more');
  advance(4);
  peer.resend([[2, 2]], 4);
  peer.resend([[3, 3]], 4);
  assert.deepEqual(acknowledged, [2, 3, 5]);
  lose(() => publish(5));
  ask();
  advance(10);
  peer.resend([[5, 5]], 20);
  assert.deepEqual(acknowledged, [2, 3, 5], 'nobody waits any more');
});

test('however many requests come, the answers keep to eight at once and one in a millisecond', () => {
  const { ask, publish, acknowledged, advance, counters } = openSession();
  for (let i = 0; i < 1000; i += 1) ask();
  assert.equal(acknowledged.length, 8);
  assert.equal(counters().traffic.acknowledgementsPostponed, 992);
  publish(1);
  for (let ms = 1; ms <= 5; ms += 1) {
    advance(1);
    for (let i = 0; i < 100; i += 1) ask();
  }
  assert.deepEqual(acknowledged.slice(8), [2, 2, 2, 2, 2]);
  advance(1);
  assert.equal(acknowledged.length, 14, 'the last request has been answered when there was time');
  advance(100);
  assert.equal(acknowledged.length, 14);
});

test('a forged number of the future does not keep the true ones from being acknowledged', () => {
  const { ask, publish, publisherOf, lose, acknowledged, advance } = openSession();
  const forger = publisherOf(7);
  lose(() => {
    for (let i = 0; i < 100; i += 1) forger.publish(connectionRecord(i), 0);
  });
  ask(forger);
  publish(1);
  ask();
  advance(20);
  publish(2);
  ask();
  assert.deepEqual(acknowledged, [2, 3]);
});

test('all peers share one rate, so that forged ones gain nothing', () => {
  const { ask, acknowledged, publisherOf } = openSession();
  for (let sender = 2; sender < 12; sender += 1) ask(publisherOf(7, sender));
  assert.equal(acknowledged.length, 8);
});

test('an acknowledgement releases what it covers, once, and nothing that came after it', () => {
  const { answer, defer, released, advance, counters } = openSession();
  answer(1);
  defer('one');
  defer('two');
  assert.deepEqual(released(), []);
  answer(2);
  answer(2);
  assert.deepEqual(released(), ['one']);
  answer(1);
  assert.deepEqual(released(), [], 'an older one that is late takes nothing back');
  answer(3);
  assert.deepEqual(released(), ['two']);
  advance(10);
  assert.deepEqual(released(), []);
  assert.equal(counters().traffic.deferralsOverdue, 0);
});

test('an acknowledgement of the future, of another director or of an older epoch releases nothing', () => {
  const { answer, defer, released, advance, publisherOf, counters } = openSession();
  answer(1);
  defer('one');
  answer(3);
  answer(2, { sender: 9, epoch: me.epoch });
  answer(2, { sender: me.sender, epoch: me.epoch - 1 });
  answer(2, me, publisherOf(6));
  assert.deepEqual(released(), []);
  const { futureSequence, oldEpoch } = counters().rejected;
  assert.deepEqual([futureSequence, oldEpoch], [1, 1]);
  advance(10);
  assert.deepEqual(released(), ['one']);
});

test('a peer that starts again has to acknowledge before it is waited for', () => {
  const { answer, defer, released, publisherOf, sendHeartbeat, requests } = openSession();
  answer(1);
  defer('one');
  const again = publisherOf(8);
  sendHeartbeat(again);
  assert.deepEqual(released(), ['one'], 'it takes what it lacks from the snapshot');
  const before = requests();
  answer(2, me, again);
  defer('two');
  assert.deepEqual([released(), requests() - before], [[], 1]);
  answer(3, me, again);
  assert.deepEqual(released(), ['two']);
});

test('no more are deferred than there is room for: the first one goes on', () => {
  const { answer, defer, released, counters } = openSession();
  answer(1);
  for (let i = 0; i <= defaultSyncTuning.deferralsMax; i += 1) defer(`${i}`);
  assert.deepEqual([released(), counters().traffic.deferralsOverdue], [['0'], 1]);
});

test('a director whose thread hangs goes on with what has waited for too long', () => {
  const { answer, defer, released, advance } = openSession();
  answer(1);
  defer('one');
  advance(2000);
  assert.deepEqual(released(), ['one']);
});

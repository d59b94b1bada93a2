// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startReplication } from '../../../src/director/replication/replication.ts';
import { FakeConnectionPort } from '../../support/fake-connection-port.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';

test('the admission of connections is told at once when what is published does not leave, and when it does again', () => {
  const time = new SimulatedTime();
  let sends = true;
  const told: string[] = [];
  const replication = startReplication({
    transport: { send: () => sends, onReceive: () => undefined, close: () => undefined },
    connections: new FakeConnectionPort(time, () => 1),
    clock: time,
    identity: { senderId: 1, epoch: 1, syncId: 51 },
    services: [],
    log: () => undefined,
    onSending: (leaves) => told.push(`${time.nowMs()} ${leaves}`),
  });
  time.advanceTo(1_000);
  assert.deepEqual(told, []);
  sends = false;
  time.advanceTo(1_500);
  assert.equal(told.length, 1);
  assert.match(told[0]!, /^1\d\d\d false$/);
  sends = true;
  time.advanceTo(2_000);
  assert.equal(told.length, 2);
  assert.match(told[1]!, /^1[56]\d\d true$/);
  replication.close();
});

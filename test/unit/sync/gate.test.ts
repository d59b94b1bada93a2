// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gate, type GateInputs } from '../../../sync/gate.ts';

const nobody: GateInputs = { peersHeard: 0, peersInSync: 0, tableIsBehind: false };
const copied: GateInputs = { peersHeard: 2, peersInSync: 2, tableIsBehind: false };

test('a director that hears nobody is alone when nobody has answered in time', () => {
  const gate = new Gate(400);
  assert.deepEqual([gate.state, gate.nextDeadlineMs(nobody)], ['joining', 400]);
  assert.deepEqual([gate.update(nobody, 399), gate.state], [false, 'joining']);
  assert.deepEqual([gate.update(nobody, 400), gate.state], [true, 'alone']);
  assert.equal(gate.nextDeadlineMs(nobody), Number.POSITIVE_INFINITY);
});

test('while joining, answers may be waited for longer, never shorter', () => {
  const gate = new Gate(400);
  gate.awaitAnswers(300);
  assert.equal(gate.nextDeadlineMs(nobody), 400);
  gate.awaitAnswers(600);
  assert.deepEqual([gate.update(nobody, 599), gate.update(nobody, 600), gate.state], [false, true, 'alone']);
});

test('one peer that is not in sync, or a table that is behind, closes it', () => {
  const gate = new Gate(400);
  const states = [copied, { ...copied, peersInSync: 1 }, copied, { ...copied, tableIsBehind: true }, copied].map(
    (inputs) => {
      gate.update(inputs, 1);
      return gate.state;
    },
  );
  assert.deepEqual(states, ['inSync', 'joining', 'inSync', 'joining', 'inSync']);
  assert.equal(gate.nextDeadlineMs(copied), Number.POSITIVE_INFINITY);
});

test('a director that was in sync is alone as soon as its last peer is gone', () => {
  const gate = new Gate(400);
  gate.update(copied, 1);
  gate.awaitAnswers(1_000);
  assert.deepEqual([gate.update(nobody, 2), gate.state], [true, 'alone']);
});

test('while joining, the last peer that goes leaves the time for answers as it is', () => {
  const gate = new Gate(400);
  gate.update({ ...copied, peersInSync: 0 }, 1);
  assert.deepEqual([gate.update(nobody, 2), gate.state], [false, 'joining']);
  assert.deepEqual([gate.update(nobody, 400), gate.state], [true, 'alone']);
});

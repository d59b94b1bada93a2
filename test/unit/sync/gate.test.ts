// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gate, type GateInputs } from '../../../sync/gate.ts';

const nobody: GateInputs = { peersHeard: 0, peersInSync: 0, tableIsBehind: false, activeDownIntervalMs: undefined };
const copied: GateInputs = { peersHeard: 2, peersInSync: 2, tableIsBehind: false, activeDownIntervalMs: undefined };

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

const active = { ...nobody, activeDownIntervalMs: 3000 };

test('it opens with a copy of every table, and not because nobody is heard', () => {
  const gate = new Gate(400);
  const open = [nobody, copied, { ...copied, tableIsBehind: true }, copied, nobody].map((inputs, i) => {
    gate.update(inputs, 400 + i);
    return `${gate.state} ${gate.open}`;
  });
  assert.deepEqual(open, ['alone false', 'inSync true', 'joining false', 'inSync true', 'alone false']);
});

test('a director that hears nobody while VRRP hears an active one is cut off, once that one must have died', () => {
  const gate = new Gate(400);
  gate.update(copied, 1000);
  assert.deepEqual([gate.update(active, 1001), gate.state], [true, 'alone']);
  assert.equal(gate.nextDeadlineMs(active), 4001);
  assert.deepEqual([gate.update(active, 4000), gate.update(active, 4001), gate.state], [false, true, 'cutOff']);
  assert.deepEqual([gate.open, gate.nextDeadlineMs(active)], [false, Number.POSITIVE_INFINITY]);
  // VRRP no longer hears it, hears it again, and then sync does.
  assert.deepEqual([gate.update(nobody, 5000), gate.state], [true, 'alone']);
  assert.deepEqual([gate.update(active, 6000), gate.state], [true, 'cutOff']);
  assert.deepEqual([gate.update({ ...copied, activeDownIntervalMs: 3000 }, 6001), gate.state], [true, 'inSync']);
});

test('the setting opens it for a director that is cut off, and for no other', () => {
  const gate = new Gate(400, 2000);
  gate.update(active, 400);
  const seen: string[] = [];
  for (const ms of [3399, 3400, 5399, 5400]) {
    const changed = gate.update(active, ms);
    seen.push(`${ms} ${changed} ${gate.state} ${gate.open} ${gate.nextDeadlineMs(active)}`);
  }
  assert.deepEqual(seen, [
    '3399 false alone false 3400',
    '3400 true cutOff false 5400',
    '5399 false cutOff false 5400',
    '5400 true cutOff true Infinity',
  ]);
  assert.deepEqual([gate.update({ ...copied, peersInSync: 1 }, 5401), gate.state, gate.open], [true, 'joining', false]);
  gate.update(active, 5402);
  assert.deepEqual([gate.state, gate.open], ['alone', false]);
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

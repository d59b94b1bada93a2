// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  ConnectionEvent,
  eventOf,
  headKeyOf,
  headWord,
  isValidHead,
  methodOf,
  packHead,
  protocolOf,
  RecordFlag,
  stateOf,
  unpackHead,
  withEvent,
  withState,
} from '../../../src/model/connection-batch.ts';

const head = headWord(ConnectionEvent.refresh, 17, 3, 1, RecordFlag.ipv6 | RecordFlag.template);

test('a head in bits', () => {
  assert.equal(head, 0x1503_1102);
  assert.deepEqual([eventOf(head), protocolOf(head), stateOf(head), methodOf(head)], [2, 17, 3, 1]);
  const fields = {
    event: 2,
    protocol: 17,
    state: 3,
    family: 'ipv6',
    local: false,
    forwardingMethod: 1,
    template: true,
  };
  assert.deepEqual(unpackHead(head), fields);
  assert.equal(packHead(unpackHead(head)), head);
});

test('one field is changed and the others stay', () => {
  assert.equal(withEvent(head, ConnectionEvent.remove), 0x1503_1103);
  assert.equal(withState(head, 0xff), 0x15ff_1102);
});

test('neither event, state, method nor owner is part of the key', () => {
  assert.equal(headKeyOf(head), headKeyOf(headWord(ConnectionEvent.upsert, 17, 9, 0, head | RecordFlag.local)));
  for (const other of [RecordFlag.ipv6, RecordFlag.template, 1 << 8]) {
    assert.notEqual(headKeyOf(head ^ other), headKeyOf(head));
  }
});

test('a head with a bit above its fields is not valid', () => {
  const valid = headWord(ConnectionEvent.upsert, 6, 1, 0, RecordFlag.local);
  assert.equal(isValidHead(valid), true);
  for (const bit of [29, 30, 31]) assert.equal(isValidHead(valid | (1 << bit)), false);
});

test('heads of records are taken apart in connection-batch.ts and nowhere else', () => {
  // A shift or mask of a head's fields, in a file that has to do with records.
  const byHand =
    />>> ?2[4-8]\b|<< ?2[4-8]\b|~0xff(0000)?\b|0x0?1[01]00ff00|\(head >>>|\[(at|0)\]! (>>>|& ~?(0x|\(?1 <<))/;
  const root = execFileSync('git', ['rev-parse', '--show-toplevel'], { encoding: 'utf8' }).trim();
  const grep = ['grep', '-lE', 'connection-batch\\.ts', '--', 'src', 'sync', 'bench', 'test'];
  const files = execFileSync('git', grep, { cwd: root, encoding: 'utf8' }).trim().split('\n');
  const offenders = files
    .filter((file) => !/\/connection-batch(\.test)?\.ts$/.test(file))
    .flatMap((file) => {
      const lines = readFileSync(`${root}/${file}`, 'utf8').split('\n');
      return lines.flatMap((line, i) => (byHand.test(line) ? [`${file}:${i + 1}: ${line.trim()}`] : []));
    });
  assert.deepEqual(offenders, []);
});

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { bodyFieldsMax } from '../../../sync/messages/body-bounds.ts';
import { isSequenced, messages } from '../../../sync/messages/table.ts';

const rows = Object.entries(messages);

test('every message has a type of its own, in one byte, and no more elements than a body may have', () => {
  assert.equal(new Set(rows.map(([, { type }]) => type)).size, rows.length);
  for (const [name, { type, fields }] of rows) {
    assert.ok(type > 0 && type < 256, name);
    const shape = Object.values(fields)
      .map((field) => field.shape)
      .join('');
    assert.match(shape, /^[nb]*$/, name);
    assert.ok(shape.length <= bodyFieldsMax, name);
  }
});

test('messages of the stream, and only they, take a number', () => {
  const numbered = rows.filter(([, { type }]) => isSequenced(type)).map(([name]) => name);
  assert.deepEqual(numbered, ['delta', 'bulkBegin', 'bulkChunk', 'bulkEnd']);
});

test('the protocol’s page has a row for each message', () => {
  const root = execFileSync('git', ['rev-parse', '--show-toplevel'], { encoding: 'utf8' }).trim();
  const page = readFileSync(`${root}/docs/sync-protocol.md`, 'utf8');
  const described = page
    .slice(page.indexOf('## Body'), page.indexOf('An entry ('))
    .matchAll(/^\| ([\d, ]+) \| ([\w, ]+) \|/gm);
  const listed = [...described].flatMap(([, types, names]) => {
    const list = names!.split(', ');
    return types!.split(', ').map((type, i) => [list[i]!, Number(type)] as const);
  });
  assert.deepEqual(
    listed,
    rows.map(([name, { type }]) => [name, type]),
  );
});

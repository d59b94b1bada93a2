// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TableResend } from '../../../src/director/replication/table-resend.ts';
import type { ExportPage } from '../../../src/engine/engine.ts';
import { ConnectionEvent, packHead, recordWords, unpackHead } from '../../../src/model/connection-batch.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';

test('after an overrun every local entry is published again as an upsert, page by page; learnt ones are not', async () => {
  const { resend, published, turn } = scene([page([1, 'local'], [2, 'learnt'], [3, 'local']), page([4, 'local'])]);
  resend.start();
  await turn(3);
  assert.deepEqual(published, ['upsert 1', 'upsert 3', '|', 'upsert 4', '|']);
});

test('an overrun during a resend brings another one after it, and a page of learnt entries sends nothing', async () => {
  const { resend, published, turn } = scene([page([1, 'local']), page([2, 'learnt'])]);
  resend.start();
  resend.start();
  resend.start();
  await turn(6);
  assert.deepEqual(published, ['upsert 1', '|', 'upsert 1', '|']);
});

test('a page that cannot be read is read again', async () => {
  const { resend, published, turn, failNext } = scene([page([1, 'local'])]);
  failNext();
  resend.start();
  await turn(3);
  assert.deepEqual(published, ['upsert 1', '|']);
});

test('nothing is published after close', async () => {
  const { resend, published, turn } = scene([page([1, 'local']), page([2, 'local'])]);
  resend.start();
  await turn(1);
  resend.close();
  await turn(3);
  assert.deepEqual(published, ['upsert 1', '|']);
});

type Row = readonly [port: number, owner: 'local' | 'learnt'];

function page(...rows: Row[]): Int32Array {
  const batch = new Int32Array(rows.length * recordWords);
  for (const [i, [port, owner]] of rows.entries()) {
    const { refresh: event } = ConnectionEvent;
    const local = owner === 'local';
    batch[i * recordWords] = packHead({ event, protocol: 6, state: 1, family: 'ipv4', local, forwardingMethod: 0 });
    batch[i * recordWords + 1] = port << 16;
  }
  return batch;
}

function scene(pages: Int32Array[]) {
  const clock = new SimulatedTime();
  const published: string[] = [];
  let failing = false;
  const connections = {
    onEvents: () => {},
    expectRecords: () => undefined,
    applyBatch: () => Promise.reject(new Error('nobody writes here')),
    exportPage: (cursor: number): Promise<ExportPage> => {
      if (failing) {
        failing = false;
        return Promise.reject(new Error('the engine is busy'));
      }
      return Promise.resolve({ batch: pages[cursor]!, next: cursor + 1 < pages.length ? cursor + 1 : undefined });
    },
  };
  const publish = (batch: Int32Array): void => {
    for (let at = 0; at < batch.length; at += recordWords) {
      const { event } = unpackHead(batch[at]!);
      published.push(`${event === ConnectionEvent.upsert ? 'upsert' : event} ${batch[at + 1]! >>> 16}`);
    }
    published.push('|');
  };
  const resend = new TableResend({ connections, clock, log: () => {}, publish });
  const turn = async (pagesRead: number): Promise<void> => {
    for (let i = 0; i < pagesRead; i += 1) {
      for (let microtask = 0; microtask < 4; microtask += 1) await null;
      if (i + 1 < pagesRead) clock.advanceBy(20);
    }
  };
  const failNext = (): void => {
    failing = true;
  };
  return { resend, published, turn, failNext };
}

// SPDX-License-Identifier: Apache-2.0
import type { BpfObject } from '../../src/engine/xdp/bpf-object.ts';
import { XdpConnectionPort } from '../../src/engine/xdp/connection-port.ts';
import { Mailbox, mailboxes } from '../../src/engine/xdp/mailbox.ts';
import { runSlotsMax } from '../../src/engine/xdp/sweep.ts';
import { TableSpan } from '../../src/engine/xdp/table-span.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { RecordFlag, RecordOffset, recordWords } from '../../src/model/connection-batch.ts';

/** The figures of an operation over all entries: how many there were, and how long it took. */
export interface BulkFigures {
  readonly records: number;
  readonly elapsedMs: number;
  /** The longest that one call, in which nothing else of its thread runs, has taken. */
  readonly callMsMax: number;
  readonly outcome?: Readonly<Record<string, number>>;
}

const pageRecords = 4096;

export async function exportAll(object: BpfObject, clock: Clock): Promise<BulkFigures> {
  const port = new XdpConnectionPort({ object, mailbox: mailboxes.sync, clock });
  return timed(async (call) => {
    let records = 0;
    for (let cursor: number | undefined = 0; cursor !== undefined; ) {
      const from: number = cursor;
      const { batch, next } = await call(() => port.exportPage(from, pageRecords));
      records += batch.length / recordWords;
      cursor = next;
    }
    return { records };
  });
}

/** Takes one entry as an example and imports it for so many client ports and addresses. */
export async function importCopies(object: BpfObject, clock: Clock, records: number): Promise<BulkFigures> {
  const port = new XdpConnectionPort({ object, mailbox: mailboxes.sync, clock });
  let example: Int32Array | undefined;
  for (let cursor: number | undefined = 0; cursor !== undefined && example === undefined; ) {
    const { batch, next }: { batch: Int32Array; next: number | undefined } = await port.exportPage(cursor, 1);
    if (batch.length > 0) example = batch.slice(0, recordWords);
    cursor = next;
  }
  if (example === undefined) throw new Error('there is no entry to take as an example');
  const page = new Int32Array(1024 * recordWords);
  const sum: Record<string, number> = {};
  return timed(async (call) => {
    for (let done = 0; done < records; ) {
      const count = Math.min(page.length / recordWords, records - done);
      for (let i = 0; i < count; i += 1) writeCopy(page, i, example, done + i);
      done += count;
      const outcome = await call(() => port.applyBatch(page.subarray(0, count * recordWords)));
      for (const [name, value] of Object.entries(outcome)) sum[name] = (sum[name] ?? 0) + value;
    }
    return { records, outcome: sum };
  });
}

/** One round over both tables, without pauses. */
export async function measureSweep(object: BpfObject): Promise<BulkFigures> {
  const [mailbox, span] = [new Mailbox(object, mailboxes.sync), new TableSpan(object)];
  return timed(async (call) => {
    for (let cursor = 0; cursor < span.end; ) {
      if (span.isEmptyAt(cursor)) cursor = span.tableEnd(cursor);
      else {
        const share = Math.min(runSlotsMax, span.tableEnd(cursor) - cursor);
        cursor = (await call(async () => mailbox.sweep(cursor, share, 1))) ?? span.end;
      }
    }
    return { records: span.end };
  });
}

type Call = <T>(task: () => Promise<T>) => Promise<T>;

async function timed(
  task: (call: Call) => Promise<Omit<BulkFigures, 'elapsedMs' | 'callMsMax'>>,
): Promise<BulkFigures> {
  let callMsMax = 0;
  const startMs = performance.now();
  const result = await task(async (call) => {
    const beginMs = performance.now();
    const value = await call();
    callMsMax = Math.max(callMsMax, performance.now() - beginMs);
    return value;
  });
  return { ...result, elapsedMs: performance.now() - startMs, callMsMax };
}

function writeCopy(page: Int32Array, at: number, example: Int32Array, number: number): void {
  const from = at * recordWords;
  page.set(example, from);
  page[from + RecordOffset.head] = page[from + RecordOffset.head]! & ~RecordFlag.local;
  page[from + RecordOffset.ports] = ((1024 + (number & 0x3fff)) << 16) | (example[RecordOffset.ports]! & 0xffff);
  const ipv6 = (example[RecordOffset.head]! & RecordFlag.ipv6) !== 0;
  const word = from + RecordOffset.clientAddress + (ipv6 ? 3 : 0);
  page[word] = (page[word]! & ~0xffff) | (number >>> 14);
}

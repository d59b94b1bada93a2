// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BpfMap, BpfRingReader } from '../../../src/engine/xdp/bpf-object.ts';
import { XdpConnectionPort } from '../../../src/engine/xdp/connection-port.ts';
import { MailboxLayout, PublishingLayout, TallyLayout, TotalsLayout } from '../../../src/engine/xdp/layout/structs.ts';
import { mailboxEnd } from '../../../src/engine/xdp/limits.ts';
import { loadSettings } from '../../../src/engine/xdp/load-settings.ts';
import { MappedArray } from '../../../src/engine/xdp/mapped-array.ts';
import { recordWords } from '../../../src/model/connection-batch.ts';
import { type FakeRun, fakeBpfObject } from '../../support/fake-bpf.ts';

const settings = loadSettings(
  { halfOpenMax: 8, establishedMax: 24_568 },
  { processors: 2, clockLagNs: 0, hashSeed: 1n },
);
/** 4 × 12288 slots in each table. */
const tableSlots = 49_152;

/** A program by what it makes of a mailbox: fields in, fields out. */
function program(
  answer: (box: Record<string, number>, records: Int32Array) => Readonly<Record<string, number>>,
): FakeRun {
  return (packet, maps) => {
    assert.equal(packet.length, 64);
    const array = new MappedArray(maps.get('mailbox') as BpfMap);
    const index = packet[0]!;
    const fields = Object.entries(MailboxLayout).filter(([name]) => name !== 'size' && name !== 'records');
    const box = Object.fromEntries(fields.map(([name, at]) => [name, array.readWord(index, at)]));
    const first = array.at(index, MailboxLayout.records) >> 2;
    const records = array.signedWords.subarray(first, first + 1024 * recordWords);
    for (const [name, value] of Object.entries(answer(box, records))) {
      array.writeWord(index, MailboxLayout[name as 'cursor'], value);
    }
  };
}

/** Time that only the test moves. */
class ManualClock {
  now = 0;
  readonly tasks: { atMs: number; task: () => void }[] = [];
  nowMs(): number {
    return this.now;
  }
  callAt(atMs: number, task: () => void): () => void {
    const entry = { atMs, task };
    this.tasks.push(entry);
    return () => void this.tasks.splice(this.tasks.indexOf(entry), 1);
  }
  advance(ms: number): void {
    this.now += ms;
    for (const entry of this.tasks.filter(({ atMs }) => atMs <= this.now)) {
      this.tasks.splice(this.tasks.indexOf(entry), 1);
      entry.task();
    }
  }
}

/** A ring that the test fills with records of which the first word counts. */
class FakeRing implements BpfRingReader {
  readonly waiting: number[] = [];
  stopped = false;
  closed = false;
  sleeping = false;
  position = 0;
  #next = 1;
  #wake = (_: boolean): void => undefined;

  fill(count: number): void {
    for (let i = 0; i < count; i += 1) this.waiting.push(this.#next++);
  }
  wake(): void {
    this.#wake(true);
  }
  read(recordsMax: number, visit: (words: Int32Array, offset: number, length: number) => void): number {
    const taken = this.waiting.splice(0, recordsMax);
    for (const value of taken) visit(Int32Array.of(0, 0, value, ...new Array<number>(16).fill(9)), 2, recordWords);
    this.position += 80 * taken.length;
    return taken.length;
  }
  wait(): Promise<boolean> {
    this.sleeping = true;
    return new Promise((resolve) => {
      this.#wake = (isReadable) => {
        this.sleeping = false;
        resolve(isReadable);
      };
    });
  }
  stop(): void {
    this.stopped = true;
    this.#wake(false);
  }
  close(): void {
    this.closed = true;
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a page is put together from short runs, and passes over an empty table', async () => {
  const asked: string[] = [];
  const object = fakeBpfObject(settings, {
    export_records: program(({ cursor, budget, count }, records) => {
      asked.push(`${cursor}+${budget} ${count}`);
      records[0] = cursor!;
      const next = cursor! + budget!;
      return { count: 1, cursor: next === 2 * tableSlots ? mailboxEnd : next };
    }),
  });
  const totals = new MappedArray(object.maps.get('.data.totals')!);
  totals.writeWord(0, TotalsLayout.entries6, 1);
  const port = new XdpConnectionPort({ object, mailbox: 1, clock: new ManualClock() });
  const page = await port.exportPage(0, 3);
  const firsts = (batch: Int32Array): number[] =>
    Array.from({ length: batch.length / recordWords }, (_, i) => batch[i * recordWords]!);
  assert.deepEqual(firsts(page.batch), [49_152, 53_248, 57_344]);
  assert.deepEqual(asked, ['49152+4096 3', '53248+4096 2', '57344+4096 1']);
  assert.equal(page.next, 61_440);
  const rest = await port.exportPage(61_440, 2_000);
  assert.deepEqual([rest.next, firsts(rest.batch).length], [undefined, 9]);
  assert.equal(asked[3], '61440+4096 1024');
  totals.writeWord(0, TotalsLayout.entries4, 1);
  assert.equal((await port.exportPage(0, 2_000)).next, 65_536, 'a page looks at so many slots');
  totals.writeWord(0, TotalsLayout.entries4, 0);
  totals.writeWord(0, TotalsLayout.entries6, 0);
  assert.deepEqual(await port.exportPage(0, 100), { batch: new Int32Array(0), next: undefined });
});

test('a batch is applied in parts, and their outcomes are summed', async () => {
  const counts: number[] = [];
  const object = fakeBpfObject(settings, {
    import_records: program(({ count }, records) => {
      counts.push(count!, records[0]!);
      return { applied: count! - 3, refusedLocal: 1, refusedUnknown: 2, refusedMethod: 3, refusedFull: 0 };
    }),
  });
  const port = new XdpConnectionPort({ object, mailbox: 1, clock: new ManualClock() });
  const batch = Int32Array.from({ length: 600 * recordWords + 5 }, (_, i) => Math.floor(i / recordWords));
  assert.deepEqual(await port.applyBatch(batch), {
    applied: 591,
    refusedLocal: 3,
    refusedUnknown: 6,
    refusedMethod: 9,
    refusedFull: 0,
  });
  assert.deepEqual(counts, [256, 0, 256, 256, 88, 512]);
});

test('a program of another version is not taken for one that worked', async () => {
  const object = fakeBpfObject(settings);
  const odd = { name: 'sweep', fd: -1, run: () => ({ verdict: 1, length: 64 }) };
  const programs = new Map([...object.programs, ['import_records', { ...odd, name: 'import_records' }]]);
  const port = new XdpConnectionPort({ object: { ...object, programs }, mailbox: 0, clock: new ManualClock() });
  await assert.rejects(port.applyBatch(new Int32Array(recordWords)), /program import_records .* ended with 1/);
  const without = { ...object, programs: new Map() };
  assert.throws(
    () => new XdpConnectionPort({ object: without, mailbox: 0, clock: new ManualClock() }),
    /no program sweep/,
  );
});

test('events: each millisecond while many come, otherwise asleep until the program wakes', async () => {
  const object = fakeBpfObject(settings);
  const clock = new ManualClock();
  const events = new FakeRing();
  const port = new XdpConnectionPort({ object, mailbox: 1, clock, events });
  const got: string[] = [];
  events.fill(16);
  port.onEvents((batch) => got.push(`${clock.now}: ${batch[0]} to ${batch[batch.length - recordWords]}`));
  assert.deepEqual(got, ['0: 1 to 16']);
  events.fill(15);
  clock.advance(0.5);
  assert.deepEqual([got.length, events.sleeping], [1, false]);
  clock.advance(0.5);
  assert.deepEqual([got.at(-1), events.sleeping], ['1: 17 to 31', true]);
  assert.equal(clock.tasks.length, 0);
  clock.advance(101);
  events.fill(600);
  events.wake();
  await settled();
  assert.deepEqual(got.slice(2), ['102: 32 to 543', '102: 544 to 631']);
  assert.equal(events.sleeping, false);
  await port.close();
  assert.deepEqual([events.stopped, events.closed, clock.tasks.length], [true, true, 0]);
});

test('the program is told what has been dealt with, not what has been read', async () => {
  const object = fakeBpfObject(settings);
  const publishing = new MappedArray(object.maps.get('.data.publishing')!);
  const events = new FakeRing();
  const port = new XdpConnectionPort({ object, mailbox: 1, clock: new ManualClock(), events });
  const taken = (): number => Number(publishing.loadLong(0, PublishingLayout.taken));
  const before: number[] = [];
  events.position = 4000;
  events.fill(513);
  port.onEvents(() => before.push(taken()));
  assert.deepEqual(before, [0, 4000 + 80 * 512]);
  assert.equal(taken(), 4000 + 80 * 513);
  await port.close();
});

test('events that nobody read in time are said once, and closing ends the sleep', async () => {
  const object = fakeBpfObject(settings);
  const events = new FakeRing();
  const clock = new ManualClock();
  const tallies = new MappedArray(object.maps.get('tallies')!);
  tallies.storeLong(1, TallyLayout.events + 8 * 7, 4n);
  const port = new XdpConnectionPort({ object, mailbox: 1, clock, events });
  let overruns = 0;
  port.onEvents(
    () => undefined,
    () => (overruns += 1),
  );
  assert.equal(overruns, 0, 'what was lost before is not this reader’s');
  tallies.storeLong(0, TallyLayout.events + 8 * 7, 2n);
  events.wake();
  await settled();
  clock.advance(1);
  assert.equal(overruns, 1);
  await port.close();
  assert.deepEqual([events.closed, clock.tasks.length], [true, 0]);
});

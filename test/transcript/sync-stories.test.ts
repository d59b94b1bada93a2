// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { parseFrame } from '../../sync/frame.ts';
import { parseMessage } from '../../sync/messages/body.ts';
import { DatagramType } from '../../sync/messages/table.ts';
import type { SyncTuning } from '../../sync/tuning.ts';
import { connectionRecord, type SimulatedDirector, SyncSimulation } from '../support/sync-simulation.ts';
import { assertTranscript } from '../support/transcript.ts';

const typeNames = new Map<number, string>(Object.entries(DatagramType).map(([name, type]) => [type, name]));

/** A simulation that writes down what happens; heartbeats only where they say something. */
class Story extends SyncSimulation {
  readonly lines: string[] = [];
  /** Datagrams lost on purpose. */
  lose: (type: DatagramType, source: IpAddress) => boolean = () => false;

  constructor(tuning: Partial<SyncTuning> = {}) {
    super(1, tuning);
    this.note = (director, what) => this.write(`${director} is ${what}`);
    this.segment.observe = (datagram, source) => {
      const frame = parseFrame(datagram, 51);
      if (!frame.ok) return true;
      const { type, sequence, resent } = frame.value;
      const lost = this.lose(type, source);
      if (type !== DatagramType.heartbeat) {
        const from = String.fromCharCode(96 + Number(source.split('.')[3]));
        const number = type < DatagramType.heartbeat ? ` ${sequence}` : '';
        const detail = describeBody(type, frame.value.body);
        this.write(
          `${from} -> ${typeNames.get(type)}${number}${detail}${resent ? ' again' : ''}${lost ? ' (lost)' : ''}`,
        );
      }
      return !lost;
    };
  }

  write(line: string): void {
    this.lines.push(`${this.time.nowMs().toFixed(1).padStart(8)}  ${line}`);
  }

  tables(): void {
    this.write(`tables ${[...this.directors.values()].map(({ name, table }) => `${name}:${table.size}`).join(' ')}`);
  }

  /** Leaves out what only makes the story long. */
  without(pattern: RegExp): void {
    this.lines.splice(0, this.lines.length, ...this.lines.filter((line) => !pattern.test(line)));
  }

  check(path: string): void {
    assertTranscript(`${this.lines.join('\n')}\n`, `test/transcript/sync/${path}.txt`);
  }
}

test('two directors start together', async () => {
  const story = new Story();
  seed(story.start('a'), 0, 60);
  seed(story.start('b'), 100, 20);
  await story.run(500);
  story.tables();
  assert.deepEqual(story.differences(), []);
  story.check('cold-start-of-both');
});

test('a director that finds nobody is alone; one that comes later gets the table', async () => {
  const story = new Story();
  seed(story.start('a'), 0, 5);
  await story.run(1000);
  story.write('b starts');
  story.start('b');
  await story.run(300);
  story.tables();
  assert.deepEqual(story.differences(), []);
  story.check('alone-then-joined');
});

test('a lost delta is asked for and sent again; the one after it waits', async () => {
  const story = await pairInSync();
  const { table } = story.directors.get('a')!;
  let lost = 0;
  story.lose = (type) => type === DatagramType.delta && lost++ === 0;
  table.touch(connectionRecord(1));
  await story.run(5);
  story.write('a removes the connection');
  table.remove(connectionRecord(1));
  await story.run(100);
  story.tables();
  assert.deepEqual(story.differences(), []);
  story.check('lost-delta');
});

test('the last delta before silence is lost: the next heartbeat shows it', async () => {
  const story = await pairInSync();
  let lost = 0;
  story.lose = (type) => type === DatagramType.delta && lost++ === 0;
  story.directors.get('a')!.table.touch(connectionRecord(1));
  await story.run(100);
  story.tables();
  assert.deepEqual(story.differences(), []);
  story.check('lost-tail');
});

test('what is no longer in the window is filled by a snapshot', async () => {
  const story = await pairInSync({ windowBytes: 0, datagramLength: 200, bulkWindowBytes: 4000 });
  const { address } = story.directors.get('a')!;
  story.write('b hears none of the deltas');
  story.lose = (type, source) => type === DatagramType.delta && source === address;
  seedByEvents(story.directors.get('a')!, 0, 400);
  await story.run(3);
  story.lose = () => false;
  await story.run(300);
  story.tables();
  assert.deepEqual(story.differences(), []);
  story.without(/delta \d+ .*(lost|again)|bulkChunk|bulkCredit/);
  story.check('gone');
});

test('a connection that ends while its snapshot is under way does not come back', async () => {
  const story = new Story({ datagramLength: 200, bulkWindowBytes: 600 });
  seed(story.start('a'), 0, 30);
  await story.run(500);
  story.lines.length = 0;
  story.write('b starts');
  story.start('b');
  const { table } = story.directors.get('a')!;
  for (let n = 0; n < 30; n += 2) {
    await story.run(0.5);
    table.remove(connectionRecord(n));
    table.touch(connectionRecord(n + 1, 900_000, 4));
  }
  await story.run(300);
  story.tables();
  assert.deepEqual(story.differences(), []);
  assert.equal(table.size, 15);
  story.check('removed-during-snapshot');
});

test('the peer dies in the middle of the snapshot: another one serves, then nobody', async () => {
  const story = new Story({ datagramLength: 400, bulkWindowBytes: 800 });
  seed(story.start('a'), 0, 200);
  story.start('b');
  await story.run(1500);
  story.lines.length = 0;
  story.write('c starts');
  story.start('c');
  await story.run(8);
  story.write('a dies');
  story.crash('a');
  await story.run(1000);
  story.without(/bulkChunk|bulkCredit/);
  story.tables();
  assert.deepEqual(story.differences(), []);
  story.write('b dies');
  story.crash('b');
  await story.run(1000);
  story.tables();
  story.check('death-during-snapshot');
});

test('a director restarts with a new epoch and gets its connections back', async () => {
  const story = await pairInSync();
  seedByEvents(story.directors.get('a')!, 0, 10);
  await story.run(20);
  story.write('a dies and starts again');
  story.crash('a');
  await story.run(50);
  story.start('a');
  await story.run(200);
  story.tables();
  assert.deepEqual(story.differences(), []);
  story.check('restart');
});

test('after a partition the tables merge', async () => {
  const story = await pairInSync();
  const [a, b] = [...story.directors.values()] as [SimulatedDirector, SimulatedDirector];
  story.write('the link is cut');
  story.segment.cut(a.address, b.address);
  await story.run(1000);
  seedByEvents(a, 0, 3);
  seedByEvents(b, 10, 4);
  await story.run(20);
  story.tables();
  story.write('the link is mended');
  story.segment.mend(a.address, b.address);
  await story.run(300);
  story.tables();
  assert.deepEqual(story.differences(), []);
  story.check('partition');
});

test('a slow table holds the stream back, and the gate with it', async () => {
  const story = new Story({ heldBytesMax: 2000 });
  seed(story.start('a'), 0, 20);
  await story.run(1000);
  story.lines.length = 0;
  story.write('b starts; its table takes nothing');
  story.start('b').table.stalled = true;
  await story.run(120);
  story.write('it takes entries again');
  story.directors.get('b')!.table.resume();
  await story.run(120);
  story.tables();
  assert.deepEqual(story.differences(), []);
  story.check('slow-table');
});

async function pairInSync(tuning: Partial<SyncTuning> = {}): Promise<Story> {
  const story = new Story(tuning);
  story.start('a');
  story.start('b');
  await story.run(500);
  assert.equal(story.gates(), 'a:inSync b:inSync');
  story.lines.length = 0;
  return story;
}

function seed(director: SimulatedDirector, from: number, count: number): void {
  for (let n = from; n < from + count; n += 1) director.table.seed(connectionRecord(n), true);
}

function seedByEvents(director: SimulatedDirector, from: number, count: number): void {
  for (let n = from; n < from + count; n += 1) director.table.touch(connectionRecord(n));
}

function describeBody(type: DatagramType, body: Uint8Array): string {
  const parsed = parseMessage(type, body);
  if (!parsed.ok) return ` ${parsed.reason}`;
  const message = parsed.value;
  switch (message.type) {
    case DatagramType.delta:
      return ` ${message.entries.length / 17} entries`;
    case DatagramType.bulkChunk:
      return ` to ${nameOf(message.requester)}: ${message.entries.length / 17} entries`;
    case DatagramType.bulkBegin:
      return ` to ${nameOf(message.requester)}`;
    case DatagramType.bulkEnd:
      return ` to ${nameOf(message.requester)}: ${message.chunks} chunks, ${message.records} entries`;
    case DatagramType.nack:
      return ` to ${nameOf(message.target.sender)}: ${message.ranges.map((range) => range.join('..')).join(' ')}`;
    case DatagramType.gone:
      return ` below ${message.oldest}`;
    case DatagramType.bulkRequest:
    case DatagramType.bulkCredit:
      return ` to ${nameOf(message.target.sender)}: up to chunk ${message.chunkLimit}`;
    default:
      return '';
  }
}

function nameOf(sender: number): string {
  return String.fromCharCode(96 + sender);
}

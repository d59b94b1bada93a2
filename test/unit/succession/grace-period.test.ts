// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { ElectionHandoverRecord } from '../../../src/director/election/election-view.ts';
import { DescriptorChannel, DescriptorListener } from '../../../src/platform/linux/process/descriptor-passing.ts';
import { readSealedText, sealText } from '../../../src/platform/linux/process/sealed-text.ts';
import { GracePeriod } from '../../../src/succession/grace-period.ts';
import {
  emitFinal,
  emitRequest,
  type GraceLogLine,
  parseFetched,
  parseFinal,
  type SuccessionRequest,
  successionPath,
} from '../../../src/succession/handover-messages.ts';
import { emitRecord } from '../../../src/succession/json-record.ts';
import { findPredecessor } from '../../../src/succession/predecessor.ts';
import {
  emitDescriptors,
  parseDescriptors,
  successorDescriptorsMax,
} from '../../../src/succession/successor-descriptors.ts';
import { assign } from '../../support/election.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';
import { defaultRouter } from '../../transcript/vrrp/lab.ts';

const logLines: readonly GraceLogLine[] = [
  { level: 'warn', sentence: 'has a rival', router: 'web' },
  { level: 'info', sentence: 'goes on' },
];
const record: ElectionHandoverRecord = {
  gateOpen: true,
  routers: [{ assignment: assign(defaultRouter), record: null }],
};

describe('the time between two directors', () => {
  let directory: string;
  let time: SimulatedTime;
  let events: string[];
  let gracePeriod: GracePeriod;
  let listener: DescriptorListener;
  let map: number;
  let opened: DescriptorChannel[];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'baton-test-'));
    time = new SimulatedTime(1000);
    events = [];
    opened = [];
    map = sealText('map', 'a map');
    listener = DescriptorListener.open(successionPath(directory));
    gracePeriod = new GracePeriod({
      clock: time,
      listener,
      held: { label: 'v1', descriptors: [{ name: 'leases', fd: map }] },
      handoverRecord: () => record,
      logLines: () => logLines,
      onReplaced: () => void events.push(`replaced at ${time.nowMs()}`),
      onEnded: () => void events.push(`ended at ${time.nowMs()}`),
    });
  });
  afterEach(() => {
    for (const channel of opened) channel.close();
    listener.close();
    closeSync(map);
    rmSync(directory, { recursive: true });
  });

  function connect(): DescriptorChannel {
    const channel = DescriptorChannel.connect(successionPath(directory));
    assert.ok(channel !== undefined);
    opened.push(channel);
    return channel;
  }

  /** Asks, and returns the answers that arrive within a few looks. */
  function ask(channel: DescriptorChannel, request: SuccessionRequest) {
    assert.ok(channel.send(emitRequest(request)));
    time.advanceBy(5);
    return channel.receive();
  }

  function fetch(): number {
    const answer = ask(connect(), { ask: 'fetch' });
    assert.ok(typeof answer !== 'string');
    const fetched = parseFetched(answer);
    assert.ok(fetched.ok);
    for (const { fd } of fetched.value.descriptors) closeSync(fd);
    return fetched.value.successorNumber;
  }

  test('ends 5 s after the director, once', () => {
    time.advanceTo(20_000);
    gracePeriod.end();
    assert.deepEqual(events, ['ended at 6000']);
  });

  test('a queue that is full for a moment is waited for', async () => {
    for (let full = false; !full; ) {
      try {
        connect();
      } catch (error) {
        full = true;
        assert.match(String(error), /EAGAIN/);
      }
    }
    // They have gone, and nobody has noticed yet.
    for (const channel of opened.splice(0)) channel.close();
    const found = findPredecessor(directory, () => undefined);
    for (let looks = 0; looks < 100; looks += 1) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      time.advanceBy(2);
    }
    const predecessor = await found;
    assert.equal(predecessor?.successorNumber, 1);
    for (const { fd } of predecessor!.descriptors) closeSync(fd);
  });

  test('ends when somebody wants it so', () => {
    time.advanceTo(2500);
    gracePeriod.end();
    time.advanceTo(20_000);
    assert.deepEqual(events, ['ended at 2500']);
  });

  test('gives descriptors, handover record and label, and lasts 5 s longer from the first question on, not from others', () => {
    time.advanceTo(4000);
    const answer = ask(connect(), { ask: 'fetch' });
    assert.ok(typeof answer !== 'string');
    const fetched = parseFetched(answer);
    assert.ok(fetched.ok);
    const [{ name, fd } = { name: '', fd: -1 }] = fetched.value.descriptors;
    assert.deepEqual(
      { ...fetched.value, descriptors: [name, readSealedText(fd, 100)] },
      {
        successorNumber: 1,
        label: 'v1',
        record,
        descriptors: ['leases', 'a map'],
      },
    );
    closeSync(fd);
    time.advanceTo(9000);
    assert.equal(fetch(), 2);
    time.advanceTo(30_000);
    assert.deepEqual(events, ['ended at 11000']);
  });

  test('is replaced by the one that asked last', () => {
    const [first, second] = [fetch(), fetch()];
    const refused = ask(connect(), { ask: 'replace', successorNumber: first });
    assert.ok(typeof refused !== 'string');
    assert.deepEqual(parseFinal(refused), { ok: false, reason: 'refused' });
    assert.deepEqual(events, []);
    const channel = connect();
    const replaced = ask(channel, { ask: 'replace', successorNumber: second });
    assert.ok(typeof replaced !== 'string');
    assert.deepEqual(parseFinal(replaced), { ok: true, value: { record, logLines } });
    time.advanceTo(30_000);
    gracePeriod.end();
    assert.equal(events.length, 1);
    assert.match(events[0]!, /^replaced at 10/);
  });

  test('is replaced by nobody that has not fetched', () => {
    const answer = ask(connect(), { ask: 'replace', successorNumber: 0 });
    assert.ok(typeof answer !== 'string');
    assert.deepEqual(parseFinal(answer), { ok: false, reason: 'refused' });
    assert.deepEqual(events, []);
  });

  test('is dismissed', () => {
    ask(connect(), { ask: 'dismiss' });
    assert.match(events[0]!, /^ended at 10/);
  });

  test('cuts off who says something else, and its descriptors are closed', () => {
    const before = readdirSync('/proc/self/fd').length;
    for (const request of [{}, { ask: 'yield' }, { ask: 'more' }]) {
      const channel = DescriptorChannel.connect(successionPath(directory))!;
      assert.ok(channel.send(emitRecord(request), [map, map]));
      time.advanceBy(5);
      assert.equal(channel.receive(), 'closed');
      channel.close();
    }
    const channel = DescriptorChannel.connect(successionPath(directory))!;
    channel.send(new Uint8Array([1, 2]));
    time.advanceBy(5);
    assert.equal(channel.receive(), 'closed');
    channel.close();
    assert.equal(readdirSync('/proc/self/fd').length, before);
    assert.deepEqual(events, []);
  });

  test('listens to 8 at a time', () => {
    for (let i = 0; i < 8; i += 1) connect();
    time.advanceBy(5);
    const ninth = connect();
    time.advanceBy(5);
    assert.equal(ninth.receive(), 'closed');
    opened.splice(0, 8).forEach((channel) => void channel.close());
    time.advanceBy(5);
    assert.equal(fetch(), 1);
  });
});

describe('what processes say to each other', () => {
  const open = (): number => openSync('/dev/null', 'r');
  const isOpen = (fd: number): boolean => {
    try {
      return fstatSync(fd).nlink >= 0;
    } catch {
      return false;
    }
  };

  test('descriptors keep their names', () => {
    const descriptors = [
      { name: 'leases', fd: open() },
      { name: 'eth0', fd: open() },
    ];
    const held = { label: 'v1', descriptors };
    const parsed = parseDescriptors({ bytes: emitDescriptors(held), descriptors: descriptors.map(({ fd }) => fd) });
    assert.deepEqual(parsed, { ok: true, value: held });
    for (const { fd } of descriptors) closeSync(fd);
  });

  test('too much to hold is a sentence', () => {
    const descriptors = Array.from({ length: successorDescriptorsMax + 1 }, (_, fd) => ({ name: `map${fd}`, fd }));
    assert.throws(
      () => emitDescriptors({ label: '', descriptors }),
      /^Error: at most 64 descriptors with names of at most 64/,
    );
    assert.throws(
      () => emitDescriptors({ label: '', descriptors: [{ name: '', fd: 1 }] }),
      /^Error: at most 64 descriptors/,
    );
    assert.throws(
      () => emitDescriptors({ label: 'x'.repeat(4097), descriptors: [] }),
      /^Error: a label has at most 4096/,
    );
    assert.ok(emitDescriptors({ label: 'x'.repeat(4096), descriptors: descriptors.slice(1) }).length < 16_384);
  });

  const state = '{"gateOpen":true,"routers":[]}';
  const whole = { format: 1, ticket: 1, label: '', names: ['a'] };
  const table: readonly [string, unknown, string | undefined, number, string][] = [
    // name, answer, state, further descriptors, reason
    ['no JSON', undefined, state, 1, 'malformed'],
    ['a refusal', { refused: true }, undefined, 0, 'refused'],
    ['another format', { ...whole, format: 2 }, state, 1, 'other-format'],
    ['no handover record', whole, undefined, 0, 'malformed'],
    ['a handover record that is none', whole, '{}', 1, 'malformed'],
    ['a descriptor without a name', whole, state, 2, 'malformed'],
    ['a name without a descriptor', whole, state, 0, 'malformed'],
    ['a name that is none', { ...whole, names: [1] }, state, 1, 'malformed'],
    ['no number', { ...whole, ticket: 'x' }, state, 1, 'malformed'],
    ['no label', { ...whole, label: undefined }, state, 1, 'malformed'],
    ['a handover record of more than 1 MiB', whole, ' '.repeat(1 << 20) + state, 1, 'malformed'],
  ];
  for (const [name, answer, text, further, reason] of table) {
    test(`an answer with ${name} is refused, and its descriptors are closed`, () => {
      const descriptors = text === undefined ? [] : [sealText('state', text)];
      for (let i = 0; i < further; i += 1) descriptors.push(open());
      const bytes = answer === undefined ? new Uint8Array([255]) : emitRecord(answer as Record<string, unknown>);
      assert.deepEqual(parseFetched({ bytes, descriptors }), { ok: false, reason });
      assert.deepEqual(descriptors.filter(isOpen), []);
    });
  }

  test('of too many log lines the last are told', () => {
    const line = (number: number): GraceLogLine => ({ level: 'info', sentence: `${number} ${'ä'.repeat(500)}` });
    const long = Array.from({ length: 50 }, (_, i) => line(i));
    const bytes = emitFinal(long);
    assert.ok(bytes.length <= 16_384 && bytes.length > 15_000);
    const parsed = parseFinal({ bytes, descriptors: [sealText('state', state)] });
    assert.ok(parsed.ok);
    assert.deepEqual(parsed.value.logLines, long.slice(-parsed.value.logLines.length));
    const whole = emitFinal(logLines);
    assert.equal(parseFinal({ bytes: whole, descriptors: [] }).ok, false, 'no state');
    for (const wrong of [undefined, 'x', [{}], [null], [{ level: 'loud', sentence: '' }], [{ level: 'info' }]]) {
      const answer = emitRecord({ format: 1, story: wrong });
      const refused = parseFinal({ bytes: answer, descriptors: [sealText('state', state)] });
      assert.deepEqual(refused, { ok: false, reason: 'malformed' });
    }
  });

  test('an answer with a whole handover record is taken', () => {
    const descriptors = [sealText('state', state), open()];
    const parsed = parseFetched({ bytes: emitRecord(whole), descriptors });
    assert.deepEqual(parsed, {
      ok: true,
      value: {
        successorNumber: 1,
        label: '',
        record: { gateOpen: true, routers: [] },
        descriptors: [{ name: 'a', fd: descriptors[1] }],
      },
    });
    assert.deepEqual(descriptors.map(isOpen), [false, true]);
    closeSync(descriptors[1]!);
  });
});

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { judgeAnswer } from '../../../src/drill/traffic/flow-client.ts';
import { emitMessage, type Message, messageLength, parseMessage } from '../../../src/drill/traffic/message.ts';
import { createSessionEnd } from '../../../src/drill/traffic/session.ts';
import { createStallClock, mergeStalls } from '../../../src/drill/traffic/stall-clock.ts';

const messages = fc.record<Message>(
  {
    kind: fc.constantFrom('payload', 'alarm'),
    direction: fc.constantFrom(0, 1),
    session: fc.nat(0xffff_ffff),
    sequence: fc.nat(0xffff_ffff),
    acknowledged: fc.nat(0xffff_ffff),
    seed: fc.nat(0xffff_ffff),
    payloadLength: fc.nat(64).map((words) => words * 4),
  },
  { noNullPrototype: true },
);

test('a message is parsed as it was emitted, at any offset', () => {
  fc.assert(
    fc.property(messages, fc.nat(20), (message, offset) => {
      assert.deepEqual(parseMessage(bytesOf(message, offset), offset), { ok: true, value: message });
    }),
  );
});

test('random bytes are refused, never thrown at', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assert.equal(parseMessage(bytes).ok, false);
    }),
  );
});

test('every single wrong byte after the header is found', () => {
  const message: Message = { ...sample, payloadLength: 40 };
  for (let i = 24; i < messageLength(message); i += 1) {
    const bytes = bytesOf(message, 0);
    bytes[i]! ^= 1;
    assert.deepEqual(parseMessage(bytes), { ok: false, reason: 'badPayload' }, `byte ${i}`);
  }
});

for (const { what, change, reason } of [
  { what: 'a cut message', change: (bytes: Uint8Array) => bytes.subarray(0, 63), reason: 'incomplete' },
  { what: 'another magic', change: (bytes: Uint8Array) => set(bytes, 0, 0), reason: 'badMagic' },
  { what: 'an unknown kind', change: (bytes: Uint8Array) => set(bytes, 2, 2), reason: 'badKind' },
  { what: 'an unknown direction', change: (bytes: Uint8Array) => set(bytes, 3, 2), reason: 'badKind' },
  { what: 'a length that is no multiple of 4', change: (bytes: Uint8Array) => set(bytes, 21, 39), reason: 'badLength' },
  { what: 'a length over the maximum', change: (bytes: Uint8Array) => set(bytes, 20, 0xff), reason: 'badLength' },
]) {
  test(`${what} is refused: ${reason}`, () => {
    assert.deepEqual(parseMessage(change(bytesOf({ ...sample, payloadLength: 40 }, 0))), { ok: false, reason });
  });
}

test('two ends verify each other, however the stream is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 5_000 }), { minLength: 1, maxLength: 20 }), (cuts) => {
      const client = createSessionEnd({ session: 3, direction: 0, seed: 9 });
      const server = createSessionEnd({ session: 3, direction: 1, seed: 9 });
      let stream = Buffer.concat(Array.from({ length: 40 }, () => client.next()));
      for (let i = 0; stream.length > 0; i += 1) {
        const length = cuts[i % cuts.length]!;
        assert.notEqual(server.accept(stream.subarray(0, length)), 'corrupted');
        stream = stream.subarray(length);
      }
      assert.equal(server.verified, 40);
      assert.equal(client.accept(server.next()), 'progress');
      assert.equal(client.acknowledged, 40);
    }),
  );
});

test('what does not belong into the stream at its place is corruption', () => {
  const story: readonly (readonly [string, () => Buffer])[] = [
    ['a message after one that was skipped', () => from(3, 1).next()],
    ['a message of another session', () => from(4).next()],
    ['a message with another seed', () => createSessionEnd({ session: 3, direction: 0, seed: 8 }).next()],
    ['a message of the own direction', () => createSessionEnd({ session: 3, direction: 1, seed: 9 }).next()],
    ['an alarm', () => from().alarm()],
    ['an acknowledgement of what was never sent', () => Buffer.from(bytesOf({ ...sample, acknowledged: 1 }, 0))],
  ];
  for (const [what, bytes] of story) {
    const end = createSessionEnd({ session: 3, direction: 1, seed: 9 });
    assert.equal(end.accept(bytes()), 'corrupted', what);
  }
});

test('a stall is silence beyond the period, and it is remembered', () => {
  const clock = createStallClock(100, 0);
  clock.progress(100);
  assert.equal(clock.stalledMs(200), 0);
  clock.progress(350);
  assert.equal(clock.stalledMs(400), 0);
  assert.equal(clock.longestMs(400), 150);
  clock.reset(400);
  assert.equal(clock.longestMs(450), 0);
  assert.equal(clock.longestMs(1_550), 1_100, 'the silence that still lasts');
});

test('a session has stalled for as long as either of its ends has seen', () => {
  const client = { sessions: Uint32Array.of(7, 9, 11), longestMs: Float64Array.of(10, 20, 30) };
  const servers = [
    { sessions: Uint32Array.of(9), longestMs: Float64Array.of(25) },
    { sessions: Uint32Array.of(11, 8), longestMs: Float64Array.of(5, 99) },
  ];
  assert.deepEqual(mergeStalls(client, servers), Float64Array.of(10, 25, 30));
});

test('a flow takes answers of one real server in their order, with gaps, and nothing else', () => {
  const answer = (change: Partial<Message>): Buffer =>
    Buffer.from(bytesOf({ ...sample, direction: 1, acknowledged: 2, ...change }, 0));
  const flow = { slot: 3, sent: 5, answered: 0, server: undefined };
  const story = [
    ['the answer after one that was lost', answer({ sequence: 2 }), undefined],
    ['the same again', answer({ sequence: 2 }), 'reordered'],
    ['one from before', answer({ sequence: 1 }), 'reordered'],
    ['an answer to what was never asked', answer({ sequence: 5 }), 'corrupted'],
    ['an answer of another flow', answer({ sequence: 3, session: 4 }), 'corrupted'],
    ['a question', answer({ sequence: 3, direction: 0 }), 'corrupted'],
    ['an altered byte', answer({ sequence: 3 }).fill(0, 30, 31), 'corrupted'],
    ['the next one', answer({ sequence: 3 }), undefined],
    ['one of another real server', answer({ sequence: 4, acknowledged: 1 }), 'moved'],
  ] as const;
  for (const [what, bytes, expected] of story) assert.equal(judgeAnswer(flow, bytes, 9), expected, what);
});

const sample: Message = {
  kind: 'payload',
  direction: 0,
  session: 3,
  sequence: 0,
  acknowledged: 0,
  seed: 9,
  payloadLength: 40,
};

function bytesOf(message: Message, offset: number): Uint8Array {
  const bytes = new Uint8Array(offset + messageLength(message)).fill(0xa5);
  emitMessage(message, bytes, offset);
  return bytes;
}

function set(bytes: Uint8Array, offset: number, value: number): Uint8Array {
  bytes[offset] = value;
  return bytes;
}

/** The client's end of a session, after it has sent some messages. */
function from(session = 3, sent = 0): ReturnType<typeof createSessionEnd> {
  const end = createSessionEnd({ session, direction: 0, seed: 9 });
  for (let i = 0; i < sent; i += 1) end.next();
  return end;
}

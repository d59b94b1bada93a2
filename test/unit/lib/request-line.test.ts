// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import {
  type LineRequest,
  OtherEndGone,
  RequestLine,
  type RequestLineParts,
  serve,
  serveLater,
} from '../../../src/lib/request-line.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';

interface Arithmetic {
  add(left: number, right: number): number;
  half(of: number): number;
}

describe('the asking end', () => {
  let time: SimulatedTime;
  let posted: LineRequest<Arithmetic>[];
  let line: RequestLine<Arithmetic>;

  function open(parts: Partial<RequestLineParts<Arithmetic>> = {}): void {
    line = new RequestLine<Arithmetic>({
      otherEnd: 'the abacus',
      post: (request) => void posted.push(request),
      timeout: { clock: time, answerTimeoutMs: 500 },
      ...parts,
    });
  }

  beforeEach(() => {
    time = new SimulatedTime(1000);
    posted = [];
    open();
  });

  test('is answered', async () => {
    const sum = line.ask('add', 1, 2);
    assert.deepEqual(posted, [{ id: 1, ask: 'add', args: [1, 2] }]);
    assert.equal(line.receive({ id: 1, answer: 3 }), true);
    assert.equal(await sum, 3);
    assert.equal(time.pendingCount, 0, 'the timeout is disarmed');
  });

  test('is answered out of order', async () => {
    const answers = [line.ask('add', 1, 2), line.ask('half', 8)];
    line.receive({ id: 2, answer: 4 });
    line.receive({ id: 1, answer: 3 });
    assert.deepEqual(await Promise.all(answers), [3, 4]);
  });

  test('is refused with a sentence', async () => {
    const half = line.ask('half', 3);
    line.receive({ id: 1, refused: '3 is odd' });
    await assert.rejects(half, { message: '3 is odd' });
    assert.equal(time.pendingCount, 0);
  });

  test('ignores an answer that nothing waits for', async () => {
    const sum = line.ask('add', 1, 2);
    assert.equal(line.receive({ id: 7, answer: 9 }), false);
    assert.equal(line.receive({ id: 1, answer: 3 }), true);
    assert.equal(line.receive({ id: 1, answer: 4 }), false, 'a second one');
    assert.equal(await sum, 3);
  });

  test('gives up after the timeout, and ignores the late answer', async () => {
    const sum = line.ask('add', 1, 2);
    time.advanceTo(1499);
    const half = line.ask('half', 8);
    time.advanceTo(1500);
    await assert.rejects(sum, { message: 'the abacus does not answer within 500 ms' });
    assert.equal(line.receive({ id: 1, answer: 3 }), false);
    line.receive({ id: 2, answer: 4 });
    assert.equal(await half, 4);
  });

  test('waits for ever without a timeout', async () => {
    line = new RequestLine<Arithmetic>({ otherEnd: 'the abacus', post: (request) => void posted.push(request) });
    const sum = line.ask('add', 1, 2);
    time.advanceBy(1e9);
    line.receive({ id: 1, answer: 3 });
    assert.equal(await sum, 3);
  });

  test('loses all that is pending with the other end, and asks the next one', async () => {
    const asked = [line.ask('add', 1, 2), line.ask('half', 8)];
    line.lose('the abacus is broken');
    const reasons = (await Promise.allSettled(asked)).map((each) => each.status === 'rejected' && each.reason);
    assert.ok(reasons.every((reason) => reason instanceof OtherEndGone && reason.message === 'the abacus is broken'));
    assert.equal(time.pendingCount, 0);
    const again = line.ask('half', 8);
    assert.equal(line.receive({ id: 2, answer: 5 }), false, 'of the former end');
    line.receive({ id: 3, answer: 4 });
    assert.equal(await again, 4);
  });

  test('is closed once, and rejects what is pending and what comes after', async () => {
    const sum = line.ask('add', 1, 2);
    line.close('the abacus is sold');
    line.close('the shop is shut');
    await assert.rejects(sum, { message: 'the abacus is sold' });
    await assert.rejects(line.ask('half', 8), { message: 'the abacus is sold' });
    assert.equal(posted.length, 1);
  });

  test('has a request rejected that cannot be posted', async () => {
    open({
      post: ({ ask }) => {
        if (ask === 'add') throw new Error('a bead is stuck');
        line.lose('the abacus is not there');
      },
    });
    await assert.rejects(line.ask('add', 1, 2), { message: 'a bead is stuck' });
    await assert.rejects(line.ask('half', 8), { message: 'the abacus is not there' });
    assert.equal(time.pendingCount, 0);
  });

  test('has a bound on what is pending', async () => {
    open({ pendingMax: 2 });
    const sums = [line.ask('add', 1, 2), line.ask('add', 3, 4)];
    await assert.rejects(line.ask('half', 8), { message: 'the abacus has 2 requests to answer already' });
    line.receive({ id: 1, answer: 3 });
    line.receive({ id: 2, answer: 7 });
    assert.deepEqual(await Promise.all(sums), [3, 7]);
    const half = line.ask('half', 8);
    line.receive({ id: 3, answer: 4 });
    assert.equal(await half, 4);
  });
});

describe('the serving end', () => {
  const half = (of: number): number => {
    if (of % 2 === 1) throw new Error(`${of} is odd`);
    return of / 2;
  };
  const procedures = { add: (left: number, right: number): number => left + right, half };
  const later = { add: async (left: number, right: number) => left + right, half: async (of: number) => half(of) };
  const table: readonly [string, LineRequest<Arithmetic>, unknown][] = [
    ['answers', { id: 7, ask: 'add', args: [1, 2] }, { id: 7, answer: 3 }],
    ['refuses with the sentence that was thrown', { id: 8, ask: 'half', args: [3] }, { id: 8, refused: '3 is odd' }],
    [
      'refuses what is not in its table',
      { id: 9, ask: 'toString', args: [] } as never,
      { id: 9, refused: 'there is no request toString' },
    ],
  ];
  for (const [name, request, reply] of table) {
    test(`${name}, at once or later`, async () => {
      assert.deepEqual(serve<Arithmetic>(procedures, request), reply);
      assert.deepEqual(await serveLater<Arithmetic>(procedures, request), reply);
      assert.deepEqual(await serveLater<Arithmetic>(later, request), reply);
    });
  }

  test('refuses what is no error, as text', () => {
    const add = (): never => {
      throw 'no beads';
    };
    assert.deepEqual(serve<Arithmetic>({ add, half }, { id: 1, ask: 'add', args: [1, 2] }), {
      id: 1,
      refused: 'no beads',
    });
  });
});

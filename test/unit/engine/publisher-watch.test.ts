// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PublisherWatch } from '../../../src/engine/portable/publisher-watch.ts';

function watchOf(taken = 0) {
  const state: { taken: number; released?: number } = { taken };
  const watch = new PublisherWatch({
    publisherUntilMs: () => 1_000,
    peerUntilMs: () => 1_000,
    takenBatch: () => state.taken,
    releasedBatch: () => state.released ?? state.taken,
  });
  return { state, watch };
}

test('a batch has left when it or a later one has been taken', () => {
  const { state, watch } = watchOf();
  const [first, second] = [watch.hand(0), watch.hand(0)];
  assert.deepEqual([watch.isReleased(first), watch.isReleased(second)], [false, false]);
  state.taken = first;
  assert.deepEqual([watch.isReleased(first), watch.isReleased(second)], [true, false]);
  state.taken = second;
  assert.deepEqual([watch.isReleased(first), watch.isReleased(second)], [true, true]);
});

test('a batch that has been taken may be released later, and is not under way meanwhile', () => {
  const { state, watch } = watchOf();
  const batch = watch.hand(0);
  state.taken = batch;
  state.released = 0;
  assert.deepEqual([watch.isReleased(batch), watch.keepsUp(100)], [false, true]);
  state.released = batch;
  assert.equal(watch.isReleased(batch), true);
});

test('a batch that a publisher took to its death never leaves, whatever its successor sends', () => {
  const { state, watch } = watchOf();
  const [sent, lost] = [watch.hand(0), watch.hand(0)];
  state.taken = sent;
  watch.begin();
  assert.equal(watch.keepsUp(100), true, 'it does not count as under way');
  const next = watch.hand(100);
  state.taken = next;
  assert.deepEqual(
    [sent, lost, next].map((batch) => watch.isReleased(batch)),
    [true, false, true],
  );
});

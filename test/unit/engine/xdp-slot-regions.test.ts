// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SlotRegions } from '../../../src/engine/xdp/slot-regions.ts';

test('the first gap that is large enough is taken, and neighbours are joined', () => {
  const regions = new SlotRegions(100);
  const [a, b, c] = [regions.allocate(10), regions.allocate(20), regions.allocate(30)];
  assert.deepEqual([a, b, c], [0, 10, 30]);
  regions.release(10, 20);
  assert.equal(regions.allocate(25), 60, 'the gap of 20 is too small');
  assert.equal(regions.allocate(15), 10);
  assert.equal(regions.allocate(20), undefined, 'no gap of 20, though 20 are free');
  assert.equal(regions.freeSlots, 20);
  regions.release(0, 10);
  regions.release(30, 30);
  regions.release(10, 15);
  assert.equal(regions.allocate(60), 0, 'three gaps have become one');
});

test('a region of none takes nothing', () => {
  const regions = new SlotRegions(4);
  assert.equal(regions.allocate(0), 0);
  regions.release(0, 0);
  assert.equal(regions.freeSlots, 4);
});

test('what is there already is reserved, once', () => {
  const regions = new SlotRegions(10);
  assert.deepEqual([regions.reserve(3, 4), regions.reserve(6, 1), regions.reserve(9, 2)], [true, false, false]);
  assert.equal(regions.allocate(4), undefined);
  assert.deepEqual([regions.allocate(3), regions.allocate(3)], [0, 7]);
});

test('what is released twice is a fault', () => {
  const regions = new SlotRegions(10);
  regions.reserve(0, 4);
  regions.release(0, 2);
  assert.throws(() => regions.release(1, 2), /slots 1 to 2 were free already/);
});

test('property: regions never overlap, and all that is released is one again', () => {
  const size = 64;
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(20)), { maxLength: 60 }), (steps) => {
      const regions = new SlotRegions(size);
      const held: [number, number][] = [];
      for (const [takes, number] of steps) {
        if (takes) {
          const start = regions.allocate(number + 1);
          if (start !== undefined) held.push([start, number + 1]);
        } else if (held.length > 0) regions.release(...held.splice(number % held.length, 1)[0]!);
        const owners = new Uint8Array(size);
        for (const [start, length] of held) for (let i = start; i < start + length; i += 1) owners[i]! += 1;
        assert.ok(owners.every((count) => count <= 1));
        assert.equal(regions.freeSlots, owners.filter((count) => count === 0).length);
      }
      for (const region of held) regions.release(...region);
      assert.equal(regions.allocate(size), 0);
    }),
  );
});

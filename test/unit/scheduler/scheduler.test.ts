// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { divisorMax, emptySlot, overheadFactorMax, type Selector } from '../../../src/model/selector.ts';
import type { SchedulerName, VirtualService } from '../../../src/model/virtual-service.ts';
import { compileService } from '../../../src/scheduler/compile.ts';
import { supportedSchedulers } from '../../../src/scheduler/schedulers.ts';
import { apportion } from '../../../src/scheduler/weights.ts';

interface Options {
  readonly dead?: readonly number[];
  readonly fallback?: boolean;
  readonly hashPort?: boolean;
}

function serviceOf(name: SchedulerName, weights: readonly number[], options: Options = {}): VirtualService {
  return {
    address: '192.0.2.1' as IpAddress,
    port: 80,
    protocol: 'tcp',
    scheduler: { name, hashPort: options.hashPort ?? false, fallback: options.fallback ?? false },
    realServers: weights.map((weight, i) => ({
      address: `198.51.${i >> 8}.${i & 255}` as IpAddress,
      port: 8080,
      weight,
      forwardingMethod: 'masquerade',
    })),
  };
}

function selectorOf(name: SchedulerName, weights: readonly number[], options: Options = {}): Selector {
  const dead = options.dead ?? [];
  return compileService(serviceOf(name, weights, options), (i) => !dead.includes(i)).selector;
}

/** Slots as letters: A is the first real server, `.` an empty slot. */
function letters(selector: Selector): string {
  assert.ok(selector.shape !== 'least');
  return Array.from(selector.slots, (slot) => (slot === emptySlot ? '.' : String.fromCharCode(65 + slot))).join('');
}

function countOf(selector: Selector): Map<number, number> {
  assert.ok(selector.shape !== 'least');
  const counts = new Map<number, number>();
  for (const slot of selector.slots) counts.set(slot, (counts.get(slot) ?? 0) + 1);
  return counts;
}

test('sequences of rr and wrr', () => {
  const cases: [SchedulerName, number[], Options, string][] = [
    ['rr', [1, 1, 1], {}, 'ABC'],
    ['rr', [5, 1, 3], {}, 'ABC'],
    ['rr', [1, 0, 1], {}, 'AC'],
    ['rr', [1, 1, 1], { dead: [0] }, 'BC'],
    ['rr', [0, 0], {}, ''],
    ['rr', [], {}, ''],
    ['wrr', [1, 1], {}, 'AB'],
    ['wrr', [4, 3, 2], {}, 'AABABCABC'],
    ['wrr', [40, 30, 20], {}, 'AABABCABC'],
    ['wrr', [2, 4, 6], {}, 'CBCABC'],
    ['wrr', [3, 0, 1], {}, 'AAAC'],
    ['wrr', [3, 2, 1], { dead: [0] }, 'BBC'],
    ['wrr', [100], {}, 'A'],
    ['wrr', [0, 0], {}, ''],
    ['wrr', [1, 1], { dead: [0, 1] }, ''],
    ['wrr', [], {}, ''],
  ];
  for (const [name, weights, options, expected] of cases) {
    assert.equal(letters(selectorOf(name, weights, options)), expected, `${name} ${weights}`);
  }
});

test('wrr with weights that do not fit scales them down, and nobody is left out', () => {
  const counts = countOf(selectorOf('wrr', [65535, 32768, 1]));
  assert.deepEqual(
    counts,
    new Map([
      [0, 2730],
      [1, 1365],
      [2, 1],
    ]),
  );
});

test('candidates of lc and wlc', () => {
  const cases: [SchedulerName, number[], Options, [number, number][]][] = [
    [
      'lc',
      [5, 0, 3],
      {},
      [
        [0, 1],
        [2, 1],
      ],
    ],
    [
      'wlc',
      [5, 0, 3],
      {},
      [
        [0, 5],
        [2, 3],
      ],
    ],
    [
      'wlc',
      [5, 2, 3],
      { dead: [0] },
      [
        [1, 2],
        [2, 3],
      ],
    ],
    ['lc', [0], {}, []],
    ['wlc', [], {}, []],
  ];
  for (const [name, weights, options, expected] of cases) {
    const candidates = expected.map(([realServer, divisor]) => ({ realServer, divisor }));
    const overhead = { active: 256, inactive: 1, constant: 0 };
    assert.deepEqual(
      selectorOf(name, weights, options),
      { shape: 'least', overhead, candidates },
      `${name} ${weights}`,
    );
  }
});

test('costs stay within the numbers for which engines compare them exactly', () => {
  for (const name of supportedSchedulers) {
    const selector = selectorOf(name, [1, 65_535]);
    if (selector.shape !== 'least') continue;
    for (const factor of Object.values(selector.overhead)) {
      assert.ok(Number.isInteger(factor) && factor >= 0 && factor <= overheadFactorMax, name);
    }
    for (const { divisor } of selector.candidates) {
      assert.ok(Number.isInteger(divisor) && divisor >= 1 && divisor <= divisorMax, name);
    }
  }
  assert.ok(overheadFactorMax * (2 ** 28 + 1) * divisorMax < Number.MAX_SAFE_INTEGER);
  assert.ok(BigInt(overheadFactorMax) * (2n ** 33n + 1n) * BigInt(divisorMax) < 2n ** 64n);
});

test('slots of sh', () => {
  const cases: [number[], Options, string][] = [
    [[1, 1], {}, 'AB'.repeat(128)],
    [[3, 1], {}, 'AAAB'.repeat(64)],
    [[1, 2, 1], {}, 'ABBC'.repeat(64)],
    // A quiesced real server keeps one slot, which refuses.
    [[1, 0, 2], {}, 'A.CC'.repeat(64)],
    // One that is dead leaves the table.
    [[1, 5, 2, 1], { dead: [1] }, 'ACCD'.repeat(64)],
    // With fallback its slots go to others and the rest stay. Slot i looks from slot 2i on.
    [[1, 1, 1, 1], { dead: [1], fallback: true }, 'ACCD'.repeat(64)],
    [[1, 1, 1, 1], { dead: [2], fallback: true }, 'ABAD'.repeat(64)],
    [[1, 0, 2], { fallback: true }, 'ACCC'.repeat(64)],
    [[128, 128], { dead: [1], fallback: true }, 'A'.repeat(256)],
    // More weight than slots.
    [[512, 256, 256], {}, 'A'.repeat(128) + 'B'.repeat(64) + 'C'.repeat(64)],
    [[0, 0], {}, '.'.repeat(256)],
    [[0, 0], { fallback: true }, '.'.repeat(256)],
    [[1, 1], { dead: [0, 1] }, '.'.repeat(256)],
    [[], {}, '.'.repeat(256)],
  ];
  for (const [weights, options, expected] of cases) {
    assert.equal(letters(selectorOf('sh', weights, options)), expected, `sh ${weights} ${JSON.stringify(options)}`);
  }
});

test('sh with more real servers than slots grows its table', () => {
  const counts = countOf(selectorOf('sh', new Array(300).fill(1)));
  assert.equal(counts.size, 300);
  assert.equal(
    [...counts.values()].reduce((a, b) => a + b),
    512,
  );
});

test('mh divides 4093 slots in proportion to the weights', () => {
  const cases: [number[], Options, [number, number][]][] = [
    [[1], {}, [[0, 4093]]],
    [
      [1, 1, 1, 1],
      {},
      [
        [0, 1024],
        [1, 1023],
        [2, 1023],
        [3, 1023],
      ],
    ],
    [
      [3, 1],
      {},
      [
        [0, 3070],
        [1, 1023],
      ],
    ],
    [
      [65535, 1],
      {},
      [
        [0, 4092],
        [1, 1],
      ],
    ],
    [
      [2, 0, 2],
      {},
      [
        [0, 2047],
        [2, 2046],
      ],
    ],
    [
      [2, 2, 2],
      { dead: [1] },
      [
        [0, 2047],
        [2, 2046],
      ],
    ],
    [[0, 0], {}, [[emptySlot, 4093]]],
    [[1, 1], { dead: [0, 1], fallback: true }, [[emptySlot, 4093]]],
    [[], {}, [[emptySlot, 4093]]],
  ];
  for (const [weights, options, expected] of cases) {
    const counts = [...countOf(selectorOf('mh', weights, options))].sort(([a], [b]) => a - b);
    assert.deepEqual(counts, expected, `mh ${weights}`);
  }
});

test('mh is the same table in every process and on every machine', () => {
  const table = letters(selectorOf('mh', [1, 1, 1, 1, 1]));
  assert.equal(table.slice(0, 48), 'CBDEEADAEDBCCCCDEBDDBEDBADCCABCEDEDDEAADEEBCCDEA');
  assert.equal(createHash('sha256').update(table).digest('hex').slice(0, 16), '92e7073568e1a826');
});

test('mh gives the same real server whatever the order of the configuration', () => {
  const service = serviceOf('mh', [3, 1, 2, 1]);
  const reversed = { ...service, realServers: service.realServers.toReversed() };
  const addresses = [service, reversed].map((each) => {
    const { selector } = compileService(each);
    assert.ok(selector.shape === 'hash');
    return Array.from(selector.slots, (slot) => each.realServers[slot]!.address);
  });
  assert.deepEqual(addresses[0], addresses[1]);
});

test('sh and mh say how to hash', () => {
  for (const name of ['sh', 'mh'] as const) {
    for (const hashPort of [false, true]) {
      const selector = selectorOf(name, [1], { hashPort });
      assert.ok(selector.shape === 'hash');
      assert.equal(selector.hashPort, hashPort);
    }
  }
});

test('a scheduler that is not compiled yet is refused with a sentence', () => {
  assert.deepEqual(supportedSchedulers, ['rr', 'wrr', 'lc', 'wlc', 'sh', 'mh']);
  assert.throws(() => compileService(serviceOf('dh', [1])), {
    message: 'virtual service tcp 192.0.2.1:80: scheduler dh is not supported yet; use one of rr, wrr, lc, wlc, sh, mh',
  });
});

test('slots are apportioned by largest remainder, one at least', () => {
  assert.deepEqual(apportion([1, 1, 1], 10), [4, 3, 3]);
  assert.deepEqual(apportion([5, 3, 1], 10), [6, 3, 1]);
  assert.deepEqual(apportion([1000, 1, 1], 10), [8, 1, 1]);
  assert.deepEqual(apportion([1000, 100, 1], 10), [8, 1, 1]);
  assert.deepEqual(apportion([1, 1], 2), [1, 1]);
});

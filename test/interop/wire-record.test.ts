// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Claim, longestOverlapMs, reignsOf } from './wire-record.ts';

/** `a10 b20! b30.`: a claims at 10 ms, b announces at 20 ms and resigns at 30 ms. */
function claims(text: string): Claim[] {
  return text.split(' ').map((word) => {
    const [, by, atMs, mark] = /^([a-z])(\d+)([!.]?)$/.exec(word)!;
    const kind = mark === '!' ? 'announcement' : mark === '.' ? 'resignation' : 'advertisement';
    return { by: by!, atMs: Number(atMs), kind };
  });
}

const cases: Readonly<Record<string, readonly [claims: string, order: string, overlapMs: number]>> = {
  'one after the other': ['a0 a100 a200 a201. b300 b301! b400', 'ab', 0],
  'a transition': ['a0 a100 b110 a115 b120! b210', 'ab', 5],
  'a router that goes on although another has taken over': ['a0 a100 b110 b210 a200 a300', 'abaa', 0],
  'an announcement long after losing': ['a0 a100 b110 b210 a310! b310', 'aba', 0],
  'silence ends a reign': ['a0 a100 a400 a500', 'aa', 0],
};
for (const [name, [text, order, overlapMs]] of Object.entries(cases)) {
  test(`the record shows: ${name}`, () => {
    const sorted = claims(text).sort((one, other) => one.atMs - other.atMs);
    const reigns = reignsOf(sorted, 250, 40);
    assert.equal(reigns.map(({ by }) => by).join(''), order);
    assert.equal(longestOverlapMs(reigns), overlapMs);
  });
}

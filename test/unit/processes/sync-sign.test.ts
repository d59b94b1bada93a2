// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sign } from '../../../src/model/lease.ts';
import { signLife } from '../../../src/processes/sync/sign.ts';

/** Until when, from now on, each part counts as alive. */
function signs(peersHeard: number, leaves: boolean): Record<string, number> {
  const words: Record<string, number> = {};
  const nameOf = (part: Sign): string => Object.entries(Sign).find(([, number]) => number === part)![0];
  const memory = {
    sign: (part: Sign, untilMs: number) => {
      words[nameOf(part)] = Math.max(0, untilMs - 50_000);
    },
  };
  signLife(memory, 50_000, peersHeard, leaves);
  return words;
}

test('new connections are admitted while a peer is told of them, and where there is none', () => {
  assert.deepEqual(signs(1, true), { sync: 600, peer: 600, publisher: 250 });
  assert.deepEqual(signs(0, true), { sync: 600, peer: 0, publisher: 12_000 });
});

test('they wait while a peer is heard, but what is published does not leave', () => {
  assert.deepEqual(signs(1, false), { sync: 600, peer: 600, publisher: 0 });
  assert.deepEqual(signs(0, false), { sync: 600, peer: 0, publisher: 12_000 });
});

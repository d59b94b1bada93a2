// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { deadServerSilenceMs, leavesDeadServer, udpLeavesDeadServer } from '../../../src/connection/dead-servers.ts';

test('which segment ends the entry of a dead real server', () => {
  const rows: [string, Parameters<typeof leavesDeadServer>, boolean][] = [
    ['data', ['udp', false, false, deadServerSilenceMs], false],
    ['a SYN in the handshake', ['udp', true, true, 0], true],
    ['an ACK in the handshake', ['udp', false, true, deadServerSilenceMs], false],
    ['a SYN, perhaps forged', ['udp', true, false, deadServerSilenceMs - 1], false],
    ['a SYN after silence', ['udp', true, false, deadServerSilenceMs], true],
    ['a SYN after silence, without the setting', ['none', true, false, deadServerSilenceMs], true],
    ['data, with the setting', ['all', false, false, 0], true],
  ];
  for (const [what, packet, expected] of rows) assert.equal(leavesDeadServer(...packet), expected, what);
  assert.deepEqual((['none', 'udp', 'all'] as const).map(udpLeavesDeadServer), [false, true, true]);
});

test('the silence is as long in the XDP program', () => {
  const text = readFileSync('src/engine/xdp/bpf/dead-server.h', 'utf8');
  assert.equal(Number(text.match(/#define DEAD_SERVER_SILENCE (\d+)u/)?.[1]), deadServerSilenceMs);
});

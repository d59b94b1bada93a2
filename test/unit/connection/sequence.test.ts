// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { advances, clientEvent, closingSilenceMs, sequenceWindow } from '../../../src/connection/sequence.ts';
import { stateAfter, TcpDirection, TcpFlag, tcpEvent } from '../../../src/connection/tcp-transitions.ts';
import { TcpState } from '../../../src/model/tcp-state.ts';

const { inputOnly } = TcpDirection;
const { established, synReceived, finWait, close, timeWait } = TcpState;
const ack = TcpFlag.ack;

test('which segments of a client count', () => {
  type Segment = [TcpDirection, TcpState, number, boolean, number, number, number, number];
  const rows: [string, Segment, TcpState][] = [
    ['RST, exact', [inputOnly, established, TcpFlag.rst, true, 0, 0, 0, 0], close],
    ['RST, one beside', [inputOnly, established, TcpFlag.rst, true, 1, -1, 0, 0], established],
    ['RST, not known', [inputOnly, established, TcpFlag.rst, false, 0, 0, 0, 0], established],
    ['FIN, a gap', [inputOnly, established, TcpFlag.fin | ack, true, -sequenceWindow, sequenceWindow, 0, 0], finWait],
    ['FIN, far', [inputOnly, established, TcpFlag.fin | ack, true, 0, sequenceWindow + 1, 0, 0], established],
    ['FIN, far behind', [inputOnly, established, TcpFlag.fin, true, 0, -sequenceWindow - 1, 0, 0], established],
    ['FIN, not known', [inputOnly, established, TcpFlag.fin, false, 0, 12345, 0, 0], finWait],
    ['SYN in the handshake', [inputOnly, synReceived, TcpFlag.syn, true, 5, 9, 0, 0], synReceived],
    ['SYN, closing', [inputOnly, finWait, TcpFlag.syn, true, 5, 9, 0, closingSilenceMs - 1], finWait],
    ['SYN, after silence', [inputOnly, finWait, TcpFlag.syn, true, 5, 9, 0, closingSilenceMs], synReceived],
    ['SYN-ACK', [inputOnly, finWait, TcpFlag.syn | ack, true, 5, 9, 0, closingSilenceMs], finWait],
    ['data behind a FIN', [inputOnly, finWait, ack, true, 0, 1, 1, 0], established],
    ['data behind a RST', [inputOnly, close, ack, true, 0, 1, 1, 0], established],
    ['data sent again', [inputOnly, finWait, ack, true, 1, 0, 1, 0], finWait],
    ['an ACK behind a FIN', [inputOnly, finWait, ack, true, 0, 0, 0, 0], finWait],
    ['data, not known', [inputOnly, finWait, ack, false, 0, 7, 1, 0], established],
    ['data, not known, reset by the server', [inputOnly, close, ack, false, 0, 7, 1, 0], close],
    ['data behind both FINs', [TcpDirection.input, timeWait, ack, true, 0, 1, 1, 0], established],
  ];
  for (const [what, [direction, state, flags, isKnown, behind, ahead, length, idleMs], expected] of rows) {
    const event = clientEvent(direction, state, { flags, isKnown, behind, ahead, length, idleMs });
    assert.equal(stateAfter(event, state), expected, what);
  }
});

test('what is expected moves on within the window only', () => {
  const rows = [0, 1, sequenceWindow, sequenceWindow + 1, -1, -0x8000_0000];
  assert.deepEqual(rows.map(advances), [false, true, true, false, false, false]);
});

test('an event is direction and flags side by side', () => {
  assert.equal(tcpEvent(TcpDirection.revived, 0xff), (3 << 9) | (0x1f << 4));
});

test('window and silence are the same in the XDP program', () => {
  const text = readFileSync('src/engine/xdp/bpf/sequence.h', 'utf8');
  assert.equal(Number(text.match(/#define SEQUENCE_WINDOW (\d+)u/)?.[1]), sequenceWindow);
  assert.equal(Number(text.match(/#define CLOSING_SILENCE (\d+)u/)?.[1]), closingSilenceMs);
});

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  completesHandshake,
  isActiveTcpState,
  isHalfOpenTcpState,
  isPublishedTcpState,
} from '../../../src/connection/lifecycle.ts';
import { nextTcpState, TcpDirection, TcpFlag } from '../../../src/connection/tcp-transitions.ts';
import { timeoutsByState } from '../../../src/connection/timeouts.ts';
import { TcpState, tcpStateNames } from '../../../src/model/tcp-state.ts';
import { defaultTimeouts } from '../../../src/model/timeouts.ts';

const states = tcpStateNames.map((_, state) => state as TcpState);

function namesWhere(predicate: (state: TcpState) => boolean): string[] {
  return states.filter(predicate).map((state) => tcpStateNames[state]);
}

test('each state is half-open or published, and one is active', () => {
  assert.deepEqual(namesWhere(isActiveTcpState), ['ESTABLISHED']);
  assert.deepEqual(namesWhere(isHalfOpenTcpState), ['NONE', 'SYN_SENT', 'SYN_RECV', 'LISTEN', 'SYNACK']);
  assert.deepEqual(namesWhere(isPublishedTcpState), [
    'ESTABLISHED',
    'FIN_WAIT',
    'TIME_WAIT',
    'CLOSE',
    'CLOSE_WAIT',
    'LAST_ACK',
  ]);
});

test('what completes the handshake of an entry in SYN_RECV', () => {
  const { syn, ack, fin, rst } = TcpFlag;
  const cases: [keyof typeof TcpDirection, number, boolean][] = [
    ['input', syn, false],
    ['input', ack, true],
    ['input', fin | ack, true],
    ['input', rst, false],
    ['output', syn | ack, false],
    ['output', ack, true],
    ['output', rst | ack, false],
    ['inputOnly', syn, false],
    ['inputOnly', ack, true],
    ['inputOnly', fin | ack, true],
    ['inputOnly', rst, false],
    ['inputOnly', 0, false],
  ];
  for (const [direction, flags, completes] of cases) {
    const before = TcpState.synReceived;
    const after = nextTcpState(TcpDirection[direction], before, flags);
    assert.equal(completesHandshake(before, after), completes, `${direction} 0x${flags.toString(16)}`);
  }
});

test('an established entry does not complete a handshake again', () => {
  for (const after of states) assert.equal(completesHandshake(TcpState.established, after), false);
});

test('the timeouts are those of IPVS', () => {
  assert.deepEqual(Object.fromEntries(tcpStateNames.map((name, i) => [name, timeoutsByState(defaultTimeouts)[i]])), {
    NONE: 2_000,
    ESTABLISHED: 900_000,
    SYN_SENT: 120_000,
    SYN_RECV: 60_000,
    FIN_WAIT: 120_000,
    TIME_WAIT: 120_000,
    CLOSE: 10_000,
    CLOSE_WAIT: 60_000,
    LAST_ACK: 30_000,
    LISTEN: 120_000,
    SYNACK: 120_000,
  });
});

test('lvs_timeouts sets ESTABLISHED and FIN_WAIT, and nothing else of TCP', () => {
  const usual = timeoutsByState(defaultTimeouts);
  const set = timeoutsByState({ tcpMs: 5_000, tcpFinMs: 7_000, udpMs: 9_000 });
  const changed = states.filter((state) => usual[state] !== set[state]).map((s) => [tcpStateNames[s], set[s]]);
  assert.deepEqual(changed, [
    ['ESTABLISHED', 5_000],
    ['FIN_WAIT', 7_000],
  ]);
});

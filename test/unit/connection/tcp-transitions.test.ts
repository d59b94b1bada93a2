// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextTcpState, TcpDirection, TcpFlag } from '../../../src/connection/tcp-transitions.ts';
import { TcpState, tcpStateNames } from '../../../src/model/tcp-state.ts';

// One column per state before, in the order of their numbers:
//      NO ES SS SR FW TW CL CW LA LI SA
const expected = {
  input: {
    syn: 'SR ES ES SR SR SR SR SR SR SR SR',
    fin: 'CL CW SS TW TW TW CL CW LA LI TW',
    ack: 'CL ES SS ES FW TW CL CW CL LI ES',
    rst: 'CL CL CL SR CL CL CL CL LA LI SR',
  },
  output: {
    syn: 'SS ES SS SR SS SS SS SS SS LI SR',
    fin: 'TW FW SS TW FW TW CL TW LA LI TW',
    ack: 'ES ES SS ES FW TW CL CW LA ES ES',
    rst: 'CL CL SS CL CL TW CL CL CL CL CL',
  },
  inputOnly: {
    syn: 'SR ES ES SR SR SR SR SR SR SR SR',
    fin: 'CL FW SS TW FW TW CL CW LA LI TW',
    ack: 'CL ES SS ES FW TW CL CW CL LI ES',
    rst: 'CL CL CL SR CL CL CL CL LA LI CL',
  },
} as const;

const shortNames = ['NO', 'ES', 'SS', 'SR', 'FW', 'TW', 'CL', 'CW', 'LA', 'LI', 'SA'];
const states = tcpStateNames.map((_, state) => state as TcpState);

function row(direction: TcpDirection, flags: number): string {
  return states.map((state) => shortNames[nextTcpState(direction, state, flags)]).join(' ');
}

test('the transitions are those of IPVS, in all three directions', () => {
  for (const direction of ['input', 'output', 'inputOnly'] as const) {
    const actual = {
      syn: row(TcpDirection[direction], TcpFlag.syn),
      fin: row(TcpDirection[direction], TcpFlag.fin),
      ack: row(TcpDirection[direction], TcpFlag.ack),
      rst: row(TcpDirection[direction], TcpFlag.rst),
    };
    assert.deepEqual(actual, expected[direction], direction);
  }
});

test('RST outweighs SYN, SYN outweighs FIN, FIN outweighs ACK, and other flags say nothing', () => {
  for (const direction of ['input', 'output', 'inputOnly'] as const) {
    for (let flags = 0; flags < 256; flags += 1) {
      const decisive = flags & TcpFlag.rst ? 'rst' : flags & TcpFlag.syn ? 'syn' : flags & TcpFlag.fin ? 'fin' : 'ack';
      const silent = (flags & (TcpFlag.rst | TcpFlag.syn | TcpFlag.fin | TcpFlag.ack)) === 0;
      const want = silent ? shortNames.join(' ') : expected[direction][decisive];
      assert.equal(row(TcpDirection[direction], flags), want, `${direction}, flags 0x${flags.toString(16)}`);
    }
  }
});

const { syn, ack, fin, rst, psh } = TcpFlag;
const stories: { name: string; segments: [keyof typeof TcpDirection, number, string][] }[] = [
  {
    name: 'masquerade: handshake, the real server closes first',
    segments: [
      ['input', syn, 'SYN_RECV'],
      ['output', syn | ack, 'SYN_RECV'],
      ['input', ack, 'ESTABLISHED'],
      ['input', psh | ack, 'ESTABLISHED'],
      ['output', fin | ack, 'FIN_WAIT'],
      ['input', ack, 'FIN_WAIT'],
      ['input', fin | ack, 'TIME_WAIT'],
      ['output', ack, 'TIME_WAIT'],
    ],
  },
  {
    name: 'masquerade: the client closes first',
    segments: [
      ['input', syn, 'SYN_RECV'],
      ['output', syn | ack, 'SYN_RECV'],
      ['input', ack, 'ESTABLISHED'],
      ['input', fin | ack, 'CLOSE_WAIT'],
      ['output', ack, 'CLOSE_WAIT'],
      ['output', fin | ack, 'TIME_WAIT'],
      ['input', ack, 'TIME_WAIT'],
      ['input', syn, 'SYN_RECV'],
    ],
  },
  {
    name: 'masquerade: the real server refuses',
    segments: [
      ['input', syn, 'SYN_RECV'],
      ['output', rst | ack, 'CLOSE'],
    ],
  },
  {
    name: 'direct-route: only the client is heard',
    segments: [
      ['inputOnly', syn, 'SYN_RECV'],
      ['inputOnly', syn, 'SYN_RECV'],
      ['inputOnly', ack, 'ESTABLISHED'],
      ['inputOnly', psh | ack, 'ESTABLISHED'],
      ['inputOnly', fin | ack, 'FIN_WAIT'],
      ['inputOnly', ack, 'FIN_WAIT'],
      ['inputOnly', rst, 'CLOSE'],
    ],
  },
];

for (const { name, segments } of stories) {
  test(name, () => {
    let state: TcpState = TcpState.none;
    const actual = segments.map(([direction, flags]) => {
      state = nextTcpState(TcpDirection[direction], state, flags);
      return [direction, flags, tcpStateNames[state]];
    });
    assert.deepEqual(actual, segments);
  });
}

// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createOpeningTrace, openingPacketOf } from '../../../src/drill/measure/opening-trace.ts';
import { describeOpenings, type OpeningEvidence, openingFigures } from '../../../src/drill/opening.ts';

const port = 7003;

const evidence: OpeningEvidence = {
  report: {
    attempted: 900,
    opened: 890,
    unanswered: 7,
    refused: 3,
    unclosed: 1,
    broken: [
      {
        address: '198.51.100.100',
        port: 40_001,
        cause: 'reset',
        synMs: 995.04,
        establishedMs: 996,
        lastAnswerMs: 998.5,
        brokenMs: 1_360,
        answers: 1,
      },
      {
        address: '198.51.100.100',
        port: 40_002,
        cause: 'stalled',
        synMs: 999,
        establishedMs: 999.5,
        lastAnswerMs: undefined,
        brokenMs: 11_000,
        answers: 0,
      },
    ],
    connectMs: Float64Array.of(1, 2, 1_050.26),
    stallsMs: Float64Array.of(0.5, 350, 400),
    elapsedMs: 2_000,
  },
  packets: new Map([
    [
      40_001,
      [
        { atMs: 200, director: 'a', way: 'forwarded', flags: 'FIN ACK' },
        { atMs: 995.2, director: 'a', way: 'forwarded', flags: 'SYN' },
        { atMs: 998, director: 'a', way: 'forwarded', flags: 'ACK' },
        { atMs: 1_355, director: 'b', way: 'returned', flags: 'RST' },
      ],
    ],
  ]),
};

test('sessions opened meanwhile are told with the packets of those that broke, and with a rate that was not reached', () => {
  const figures = openingFigures(evidence, 500, 1_000);
  assert.deepEqual(figures.brokenBy, { reset: 1, closed: 0, corrupted: 0, stalled: 1 });
  assert.equal(figures.breakages[0]!.packetCount, 3, 'packets of the port before its SYN are of another session');
  assert.deepEqual(describeOpenings(figures, 1), [
    'opened meanwhile: 890, broken: 2, unanswered: 7, refused: 3, unclosed: 1',
    '  until established: p50 2 ms, p99 1050.3 ms, max 1050.3 ms; longest wait for an answer: p99 400 ms, max 400 ms',
    '  this machine has begun 450 sessions a second, not 500',
    '  reset +360 ms: client port 40001 of 198.51.100.100, SYN -5 ms, established -4 ms; 1 answers, the last -1.5 ms; ' +
      'director a: SYN -4.8 ms to ACK -2 ms; director b: RST +355 ms to RST +355 ms, RST returned +355 ms',
    '  and 1 more',
  ]);
  assert.match(describeOpenings(figures, 2).at(-1)!, /stalled \+10000 ms: .*; never answered$/);
});

for (const { what, frame, expected } of [
  {
    what: 'a SYN towards the service',
    frame: tcpFrame(40_000, port, 0x02),
    expected: { clientPort: 40_000, marks: 2 },
  },
  {
    what: 'an answer, also over IPv6',
    frame: tcpFrame(port, 40_000, 0x12, true),
    expected: { clientPort: 40_000, marks: 0x8012 },
  },
  { what: 'another service', frame: tcpFrame(40_000, 80, 0x02), expected: undefined },
  { what: 'a frame that was cut', frame: tcpFrame(40_000, port, 0x02).subarray(0, 40), expected: undefined },
]) {
  test(`the trace on ${what}`, () => {
    assert.deepEqual(openingPacketOf(frame, port), expected);
  });
}

test('the trace gives the packets of a port with direction and flags, until it is cleared', () => {
  const trace = createOpeningTrace();
  trace.add(openingPacketOf(tcpFrame(40_000, port, 0x02), port)!, 1);
  trace.add(openingPacketOf(tcpFrame(40_001, port, 0x02), port)!, 2);
  trace.add(openingPacketOf(tcpFrame(port, 40_000, 0x1c), port)!, 3);
  assert.deepEqual(trace.packetsOf(new Set([40_000]), 'a').get(40_000), [
    { atMs: 1, director: 'a', way: 'forwarded', flags: 'SYN' },
    { atMs: 3, director: 'a', way: 'returned', flags: 'RST ACK' },
  ]);
  trace.clear();
  assert.equal(trace.packetsOf(new Set([40_000]), 'a').size, 0);
});

function tcpFrame(from: number, to: number, flags: number, isIpv6 = false): Uint8Array {
  const tcp = isIpv6 ? 54 : 34;
  const frame = Buffer.alloc(tcp + 20);
  frame.writeUInt16BE(isIpv6 ? 0x86dd : 0x0800, 12);
  if (isIpv6) frame[20] = 6;
  else frame.set([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6], 14);
  frame.writeUInt16BE(from, tcp);
  frame.writeUInt16BE(to, tcp + 2);
  frame[tcp + 13] = flags;
  return frame;
}

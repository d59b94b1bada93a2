// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeDeserted } from '../../../src/drill/scenarios/server-death.ts';
import type { Asking } from '../../../src/drill/traffic/deserted-clients.ts';

// Real server 0 lives, 1 dies; its checks take it out at 4000 for TCP and at 4200 for UDP.

const verdicts = { tcpVerdictMs: 4_000, udpVerdictMs: 4_200 } as const;

const held = asking('held', { formerServer: 0, answers: [[0, 4_500]] });
const synInTime = asking('syn', { askedMs: 3_500, answers: [[0, 4_900]] });
const portInTime = asking('port', { formerServer: 1, askedMs: 4_300, answers: [[0, 4_700]] });
const flowInTime = asking('flow', {
  formerServer: 1,
  answers: [
    [1, 500],
    [0, 4_260],
  ],
});

test('clients of the dead real server that are answered in time have their waits told', () => {
  const earlier = [
    asking('syn', { askedMs: 3_000, answers: [[0, 3_001]] }),
    asking('port', { formerServer: 0, askedMs: 4_300, answers: [] }),
  ];
  assert.deepEqual(judge([synInTime, portInTime, flowInTime, held, ...earlier]), {
    sentences: [
      'SYNs under way: 1 at the dead real server, 1 answered by the living one, p50 900 ms, max 900 ms after the verdict (at most 2300)',
      'ports used again: 1 at the dead real server, 1 answered by the living one, p50 400 ms, max 400 ms after their SYN (at most 800)',
      'UDP clients: 1 at the dead real server, 1 answered by the living one, p50 60 ms, max 60 ms after the verdict (at most 800)',
      'at the living real server: 1 flows and connections, 0 broken',
    ],
    failures: [],
  });
});

for (const { what, clients, failure } of [
  {
    what: 'a SYN that is answered later than its repetition',
    clients: [asking('syn', { askedMs: 3_500, answers: [[0, 6_301]] }), portInTime, flowInTime, held],
    failure: '1 of 1 SYNs under way were not answered in time',
  },
  {
    what: 'a port whose SYN goes to the dead real server',
    clients: [synInTime, asking('port', { formerServer: 1, askedMs: 4_300, answers: [] }), flowInTime, held],
    failure: '1 of 1 ports used again were not answered in time',
  },
  {
    what: 'a flow that stays with the dead real server',
    clients: [synInTime, portInTime, asking('flow', { formerServer: 1, answers: [[1, 500]] }), held],
    failure: '1 of 1 UDP clients were not answered in time',
  },
  {
    what: 'no flow that had the dead real server',
    clients: [synInTime, portInTime, held],
    failure: 'no UDP clients were at the dead real server',
  },
  {
    what: 'a flow of the living real server that falls silent',
    clients: [synInTime, portInTime, flowInTime, asking('flow', { formerServer: 0, answers: [[0, 500]] })],
    failure: '1 of 1 flows and connections at the living real server broke',
  },
]) {
  test(`the death of a real server fails with ${what}`, () => {
    assert.deepEqual(judge(clients).failures, [failure]);
  });
}

function judge(asked: readonly Asking[]): { readonly sentences: string[]; readonly failures: string[] } {
  const judgements = judgeDeserted(asked, verdicts);
  return {
    sentences: judgements.map(({ sentence }) => sentence),
    failures: judgements.flatMap(({ failure }) => failure ?? []),
  };
}

interface Given {
  readonly formerServer?: number;
  readonly askedMs?: number;
  readonly answers: readonly (readonly [number, number])[];
}

function asking(kind: Asking['kind'], { askedMs = 500, answers, ...rest }: Given): Asking {
  const named = answers.map(([server, atMs]) => ({ server, atMs }));
  return { kind, ...rest, askedMs, answers: named, lastAnswerMs: named.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY };
}

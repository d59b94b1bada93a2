// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { assign } from '../support/election.ts';
import { type Director, Lab } from '../transcript/vrrp/lab.ts';

// Directors that can hear each other, through any sequence of freezes, hand-overs, gates, reloads and deaths: never two
// of them hold a lease at once, and once the faults are over the best one does. All priorities stay apart: two backups of
// equal priority end their skew time together, and no VRRP router can know of the other before it has spoken.

type Fault =
  | 'freeze'
  | 'thaw'
  | 'handOver'
  | 'releaseHold'
  | 'openGate'
  | 'closeGate'
  | 'stop'
  | 'start'
  | 'mute'
  | 'speak'
  | 'raise'
  | 'lower';

const faults: readonly Fault[] = [
  'freeze',
  'thaw',
  'handOver',
  'releaseHold',
  'openGate',
  'closeGate',
  'stop',
  'start',
  'mute',
  'speak',
  'raise',
  'lower',
];

interface Act {
  readonly who: number;
  readonly fault: Fault;
  readonly thenMs: number;
}

const act: fc.Arbitrary<Act> = fc.record(
  {
    who: fc.nat(2),
    fault: fc.constantFrom(...faults),
    thenMs: fc.oneof(fc.constantFrom(0, 1, 5, 10, 100), fc.integer({ min: 0, max: 900 })),
  },
  { noNullPrototype: true },
);

const performances: Readonly<Record<Fault, (director: Director, lab: Lab) => void>> = {
  freeze: ({ host }) => host.freeze(),
  thaw: ({ host }) => host.thaw(),
  handOver: ({ election }) => {
    election.handOver();
  },
  releaseHold: ({ election }) => election.releaseHold(),
  openGate: ({ election }) => election.setGate(true),
  closeGate: ({ election }) => election.setGate(false),
  stop: ({ election }) => {
    election.configure([]);
  },
  start: (director, lab) => lab.start(director),
  mute: ({ port }) => {
    port.sendError = new Error('no buffer space');
  },
  speak: ({ port }) => {
    port.sendError = undefined;
  },
  raise: ({ election, router }) => {
    election.configure([assign({ ...router, priority: router.priority + 100 })]);
  },
  lower: ({ election, router }) => {
    election.configure([assign({ ...router, priority: router.priority - 20 })]);
  },
};

function perform(lab: Lab, director: Director, fault: Fault): void {
  // A frozen process does nothing of what it is asked; in this model nobody asks.
  if (fault === 'thaw' || !director.host.frozen) performances[fault](director, lab);
}

function live(acts: readonly Act[], priorities: readonly number[]): void {
  const lab = new Lab();
  const directors = priorities.map((priority, i) => lab.add('abc'.charAt(i), { priority }));
  for (const director of directors) lab.start(director);
  lab.time.advanceTo(1000);
  for (const { who, fault, thenMs } of acts) {
    const director = directors[who % directors.length];
    if (director === undefined) continue;
    lab.say(`${director.name}: ${fault}`);
    perform(lab, director, fault);
    lab.time.advanceBy(thenMs);
  }
  for (const director of directors) {
    perform(lab, director, 'thaw');
    perform(lab, director, 'speak');
    perform(lab, director, 'openGate');
    perform(lab, director, 'start');
    perform(lab, director, 'releaseHold');
  }
  lab.time.advanceBy(3000);
  const holders = directors.filter(({ name }) => lab.leaseValid(name)).map(({ name }) => name);
  const context = `\n${lab.story()}`;
  assert.deepEqual(lab.violations, [], context);
  // Distinct priorities and all gates open: the best one holds in the end.
  const best = directors.reduce((left, right) => (right.router.priority > left.router.priority ? right : left));
  assert.deepEqual(holders, [best.name], context);
}

for (const [name, priorities] of [
  ['two', [150, 100]],
  ['three', [150, 100, 60]],
] as const) {
  test(`${name} directors never hold two leases at once`, () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 40 }), (acts) => live(acts, priorities)),
      { numRuns: 300 },
    );
  });
}

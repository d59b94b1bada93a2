// SPDX-License-Identifier: Apache-2.0

/** A run that once found a fault, and a description of the fault. It must stay without a violation. */
export interface NamedSeed {
  readonly seed: number;
  readonly found: string;
}

export const namedSeeds: readonly NamedSeed[] = [
  { seed: 4, found: 'of two directors that stood still together one took over at once, and the other took back' },
  {
    seed: 833,
    found: 'the winner of a healed split brain never heard the loser, so the switch went on sending to the loser',
  },
  {
    seed: 4503,
    found: 'a backup that had heard two active routers took over at the pace of the faster one, unsettled',
  },
  {
    seed: 6084,
    found: 'a backup woke from a pause and preempted at once, on an advertisement that had waited in its socket',
  },
  {
    seed: 25_324,
    found:
      'a frozen director preempted when it went on, by a gate that its event loop, which hung, had told open before',
  },
  {
    seed: 42_407,
    found:
      'a router that made way for a better one was replaced, because its last advertisement was read after that of the other',
  },
  {
    seed: 35_797,
    found:
      'a director whose event loop hung preempted by its open gate, while sync, which was cut, could not have it closed',
  },
  {
    seed: 33_797,
    found:
      'a backup of one virtual router noticed its pause only after the timer of another one, active in it, had run',
  },
  { seed: 10_908, found: 'the gate opened while nothing that the peers said got into the table' },
];

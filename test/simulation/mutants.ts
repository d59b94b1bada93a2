// SPDX-License-Identifier: Apache-2.0

import type { ConnectionPort } from '../../src/engine/engine.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { recordWords } from '../../src/model/connection-batch.ts';
import type { SimulatedHost } from '../support/simulated-segment.ts';
import type { Mutation } from './director.ts';
import { keyOf } from './engine.ts';
import type { Rule } from './rules.ts';

/** A director that is broken on purpose, and the rule that must find it. */
export interface Mutant {
  readonly name: string;
  readonly rule: Rule;
  readonly mutation: Mutation;
}

const inertiaMs = 1;
/** The vrrp process is woken more often than this: a longer gap is a pause. */
const pauseMinMs = 60;

/** Reading a page of the table takes seconds, and with it every snapshot. */
const slowSnapshots: Mutation = {
  connections: (inner) => ({
    onEvents: (listener) => inner.onEvents(listener),
    expectRecords: (forMs) => inner.expectRecords(forMs),
    applyBatch: (batch) => inner.applyBatch(batch),
    exportPage: async (cursor, recordsMax) => {
      // Each turn takes the table's own latency.
      for (let turn = 0; turn < 2500; turn += 1) await inner.applyBatch(new Int32Array(0));
      return inner.exportPage(cursor, recordsMax);
    },
  }),
};

/** Every look for a pause takes place as if it were in time, and before any other task. */
function seamlessClock(host: SimulatedHost): Clock {
  let look: (() => void) | undefined;
  let begun = false;
  let lookAtMs = 0;
  let lookingMs: number | undefined;
  const nowMs = (): number => lookingMs ?? host.nowMs();
  const catchUp = (): void => {
    while (look !== undefined && lookAtMs <= host.nowMs()) {
      const due = look;
      look = undefined;
      lookingMs = lookAtMs;
      due();
      lookingMs = undefined;
    }
  };
  return {
    nowMs,
    callAt: (atMs, task) => {
      // The election begins with a look, and each look arms the next one.
      if (!begun || lookingMs !== undefined) {
        begun = true;
        look = task;
        lookAtMs = atMs;
        return atMs > host.nowMs() ? host.callAt(atMs, catchUp) : () => {};
      }
      return host.callAt(atMs, () => {
        catchUp();
        task();
      });
    },
  };
}

export const mutants: readonly Mutant[] = [
  {
    name: 'the lease lasts ten times as long',
    rule: 'one lease',
    mutation: {
      leaseWriter: (inner, clock) => ({
        grant: (slot, untilMs) => inner.grant(slot, clock.nowMs() + 10 * (untilMs - clock.nowMs())),
        revoke: (slot) => inner.revoke(slot),
      }),
    },
  },
  {
    name: 'long timers never fire',
    rule: 'an active one',
    mutation: {
      electionClock: (host) => ({
        nowMs: () => host.nowMs(),
        callAt: (atMs, task) => (atMs - host.nowMs() > 100 ? () => {} : host.callAt(atMs, task)),
      }),
    },
  },
  {
    name: 'the gate is open before the copy is complete, and snapshots are slow',
    rule: 'proven copy',
    mutation: { ...slowSnapshots, gate: (_open, gate) => gate === 'joining' || gate === 'inSync' },
  },
  {
    name: 'the gate opens when sync hears nobody',
    rule: 'heard by both',
    mutation: { gate: (_open, gate) => gate !== 'joining' },
  },
  {
    name: 'one record in three is not applied',
    rule: 'equal tables',
    mutation: {
      connections: (inner) => {
        let count = 0;
        return {
          onEvents: (listener) => inner.onEvents(listener),
          exportPage: (cursor, recordsMax) => inner.exportPage(cursor, recordsMax),
          expectRecords: (forMs) => inner.expectRecords(forMs),
          applyBatch: (batch) => {
            count += 1;
            return inner.applyBatch(keepRecords(batch, (index) => (index + count) % 3 > 0));
          },
        };
      },
    },
  },
  {
    name: 'nothing is applied',
    rule: 'no broken session',
    mutation: {
      connections: (inner) => ({
        onEvents: (listener) => inner.onEvents(listener),
        exportPage: (cursor, recordsMax) => inner.exportPage(cursor, recordsMax),
        expectRecords: (forMs) => inner.expectRecords(forMs),
        applyBatch: () => inner.applyBatch(new Int32Array(0)),
      }),
    },
  },
  {
    name: 'the announcement overtakes the lease',
    rule: 'takeover order',
    mutation: {
      leaseWriter: (inner, clock) => ({
        grant: (slot, untilMs) => void clock.callAt(clock.nowMs() + inertiaMs, () => inner.grant(slot, untilMs)),
        revoke: (slot) => inner.revoke(slot),
      }),
    },
  },
  {
    name: 'the farewell overtakes the end of the lease',
    rule: 'takeover order',
    mutation: {
      leaseWriter: (inner, clock) => ({
        grant: (slot, untilMs) => inner.grant(slot, untilMs),
        revoke: (slot) => void clock.callAt(clock.nowMs() + inertiaMs, () => inner.revoke(slot)),
      }),
    },
  },
  {
    name: 'the farewell overtakes the removal of the addresses',
    rule: 'takeover order',
    mutation: {
      addressKeeper: (inner, clock) => ({
        add: (...place) => inner.add(...place),
        remove: (...place) => void clock.callAt(clock.nowMs() + inertiaMs, () => inner.remove(...place)),
      }),
    },
  },
  {
    name: 'the clock of the election stands still while the process does',
    rule: 'silent after a pause',
    mutation: { electionClock: standingClock },
  },
  {
    name: 'the word of the publisher is not looked at',
    rule: 'publisher alive',
    mutation: { publisher: (inner) => ({ ...inner, publisherUntilMs: () => Number.POSITIVE_INFINITY }) },
  },
  {
    name: 'every batch counts as sent',
    rule: 'published first',
    mutation: { publisher: (inner) => ({ ...inner, takenBatch: () => 0x3fff_ffff, releasedBatch: () => 0x3fff_ffff }) },
  },
  {
    name: 'nothing is learnt of a connection until its first refresh',
    rule: 'youngest session',
    mutation: { connections: forgettingTwice },
  },
  {
    name: 'every part counts as alive',
    rule: 'hang handed over',
    mutation: {
      signedUntilMs: () => () => Number.POSITIVE_INFINITY,
      engineAliveUntilMs: () => Number.POSITIVE_INFINITY,
    },
  },
  {
    name: 'the election notices no pause',
    rule: 'one change',
    mutation: { electionClock: seamlessClock },
  },
  {
    name: 'socket buffers without a bound',
    rule: 'bounded memory',
    mutation: { arrivalsMax: Number.POSITIVE_INFINITY },
  },
];

/** Not a mutant by itself: the gate keeps such a director from preempting. */
export const slowButCorrect: Mutation = slowSnapshots;

function standingClock(host: SimulatedHost): Clock {
  let offsetMs = 0;
  let seenMs = host.nowMs();
  const look = (): number => {
    const nowMs = host.nowMs();
    if (nowMs - seenMs > pauseMinMs) offsetMs += nowMs - seenMs;
    seenMs = nowMs;
    return nowMs - offsetMs;
  };
  return { nowMs: look, callAt: (atMs, task) => host.callAt(atMs + offsetMs, task) };
}

/** The records at the SYN and at the ACK are lost between sync and the table. */
function forgettingTwice(inner: ConnectionPort): ConnectionPort {
  const seen = new Map<string, number>();
  return {
    onEvents: (listener) => inner.onEvents(listener),
    exportPage: (cursor, recordsMax) => inner.exportPage(cursor, recordsMax),
    expectRecords: (forMs) => inner.expectRecords(forMs),
    applyBatch: (batch) =>
      inner.applyBatch(
        keepRecords(batch, (index) => {
          const key = keyOf(batch.subarray(index * recordWords, (index + 1) * recordWords));
          const count = (seen.get(key) ?? 0) + 1;
          seen.set(key, count);
          return count > 2;
        }),
      ),
  };
}

function keepRecords(batch: Int32Array, keep: (index: number) => boolean): Int32Array {
  const records: number[] = [];
  for (let at = 0; at < batch.length; at += recordWords) {
    if (keep(at / recordWords)) records.push(...batch.subarray(at, at + recordWords));
  }
  return Int32Array.from(records);
}

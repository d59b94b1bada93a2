// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../director.ts';
import { isActive, isBackupInSync, readyTimeoutMs } from '../health.ts';
import { activeDownIntervalMs } from '../lab/configuration.ts';
import type { DirectorName } from '../lab/topology.ts';
import type { Sent } from '../measure/capture.ts';
import type { Scenario } from '../stage.ts';

// Both directors stand still at the same time, as two virtual machines of one host do: neither is dead, and each finds the
// other one silent when it goes on.

const stalledMs = 3_000;
/** A role that changes hands more than once does so within seconds, once the tables are copies of each other again. */
const watchedMs = 10_000;
const changesMax = 1;
/** What the directors and the machine need beside the active down interval. */
const slackMs = 50;

export const bothStall: Scenario = {
  from: 'a',
  to: 'a',
  run: async ({ pair, options, note, say, check }) => {
    const { a, b } = pair.directors;
    const what = 'SIGSTOP to every process of both directors';
    say(what);
    const stoppedMs = a.freeze();
    b.freeze();
    note(what, stoppedMs);
    await delay(Math.max(0, stoppedMs + stalledMs - monotonicMs()));
    const continuedMs = a.resume();
    b.resume();
    const goOn = 'SIGCONT to every process of both directors';
    say(goOn);
    note(goOn, continuedMs);
    await delay(watchedMs);
    await a.await('active', isActive, readyTimeoutMs);
    await b.await('a backup in sync', isBackupInSync, readyTimeoutMs);
    const boundMs = activeDownIntervalMs('b', options.advertIntervalMs) + slackMs;
    check(({ wire }) =>
      pair.families.flatMap((family) =>
        checkContinued({ a: wire.a![family], b: wire.b![family] }, continuedMs, boundMs),
      ),
    );
  },
};

/** Somebody forwards again within `boundMs`, and the role of director a has changed hands at most once. */
export function checkContinued(
  wire: Readonly<Record<DirectorName, Sent>>,
  continuedMs: number,
  boundMs: number,
): string[] {
  const failures: string[] = [];
  const first = Math.min(
    ...(['a', 'b'] as const).map((name) => wire[name].forwarded.find((atMs) => atMs > continuedMs) ?? Infinity),
  );
  if (first - continuedMs > boundMs) {
    failures.push(`nobody forwarded within ${Math.round(boundMs)} ms of being continued`);
  }
  const changes = changesOfRole(wire, continuedMs);
  if (changes.length > changesMax)
    failures.push(`the role changed hands ${changes.length} times: ${changes.join(', ')}`);
  return failures;
}

/** Each time at which the other director is the one that advertises. */
function changesOfRole(wire: Readonly<Record<DirectorName, Sent>>, continuedMs: number): string[] {
  const claims = (['a', 'b'] as const)
    .flatMap((name) => wire[name].signs.map(({ kind, atMs }) => ({ name, kind, atMs })))
    .filter(({ kind, atMs }) => kind === 'advertisement' && atMs > continuedMs)
    .toSorted((left, right) => left.atMs - right.atMs);
  let holder: DirectorName = 'a';
  const changes: string[] = [];
  for (const { name, atMs } of claims) {
    if (name !== holder) changes.push(`${name} after ${Math.round(atMs - continuedMs)} ms`);
    holder = name;
  }
  return changes;
}

// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../director.ts';
import { isActive, isBackupInSync, readyTimeoutMs } from '../health.ts';
import { activeDownIntervalMs } from '../lab/configuration.ts';
import type { Sent } from '../measure/capture.ts';
import type { Evidence, Scenario, Stage } from '../stage.ts';
import { compareTables, readTable } from '../table.ts';

// The directors lose sight of each other, not of the clients: both are active for a time. Once they hear each other
// again, the one of the higher priority remains.

const splitMs = 2_000;
const openTimeoutMs = 10_000;
const mergeTimeoutMs = 5_000;
const mergePollMs = 50;
/** Sessions opened while two are active, as a share of all: only one of the two knows each of them. */
const newShare = 0.1;

export const partition: Scenario = {
  from: 'a',
  to: 'a',
  run: (stage) =>
    split(stage, 'the directors cannot hear each other', (apart) => stage.pair.lab.setApart(['a', 'b'], apart)),
};

export const asymmetric: Scenario = {
  from: 'a',
  to: 'a',
  run: (stage) => split(stage, 'director b does not hear director a', (deaf) => stage.pair.lab.setDeaf('a', 'b', deaf)),
};

async function split(stage: Stage, what: string, setSplit: (split: boolean) => Promise<void>): Promise<void> {
  const { pair, options, note, say } = stage;
  const { a, b } = pair.directors;
  say(what);
  const splitAtMs = monotonicMs();
  note(what, splitAtMs);
  await setSplit(true);
  await b.await('active beside director a', isActive, readyTimeoutMs);
  await a.await('active still', isActive, readyTimeoutMs);
  note('director b says that it is active too');
  const extra = Math.max(2, Math.ceil(options.sessions * newShare));
  await pair.client.call('open', extra, openTimeoutMs);
  note(`${extra} more sessions opened`);
  await delay(Math.max(0, splitAtMs + splitMs - monotonicMs()));
  say('the directors hear each other again');
  const healedMs = monotonicMs();
  note('the directors hear each other again', healedMs);
  await setSplit(false);
  await b.await('a backup in sync', isBackupInSync, readyTimeoutMs);
  await a.await('active', isActive, readyTimeoutMs);
  note('director b says that it is a backup in sync');
  await awaitMerged(stage);
  const boundMs = 2 * activeDownIntervalMs('b', options.advertIntervalMs);
  stage.check((evidence) => [
    ...pair.families.flatMap((family) =>
      checkHealed({ a: evidence.wire.a![family], b: evidence.wire.b![family] }, healedMs, boundMs),
    ),
    ...checkCarried(stage, evidence, splitAtMs, healedMs),
  ]);
}

/** Both directors know the same connections to the same real servers, all living sessions among them. */
async function awaitMerged({ pair, options, note, fail }: Stage): Promise<void> {
  if (!options.sync) return;
  const givenUpMs = performance.now() + mergeTimeoutMs;
  let difference = '';
  while (performance.now() < givenUpMs) {
    const living = await pair.client.call<number>('count');
    const [a, b] = [await readTable(pair.directors.a), await readTable(pair.directors.b)];
    difference = compareTables(a, b, living);
    if (difference === '') {
      note(`both tables hold the same ${a.size} connections`);
      return;
    }
    await delay(mergePollMs);
  }
  fail(`the tables were not merged within ${mergeTimeoutMs / 1000} s: ${difference}`);
}

/** Director a alone remains active within `boundMs`, and announces the addresses again. */
export function checkHealed(wire: Readonly<Record<'a' | 'b', Sent>>, healedMs: number, boundMs: number): string[] {
  const failures: string[] = [];
  const claims = (sent: Sent): number[] =>
    sent.signs.filter(({ kind, atMs }) => kind === 'advertisement' && atMs > healedMs).map(({ atMs }) => atMs);
  const lastOfB = claims(wire.b).at(-1);
  if (lastOfB !== undefined && lastOfB - healedMs > boundMs) {
    failures.push(`director b was active for ${Math.round(lastOfB - healedMs)} ms after healing`);
  }
  if (claims(wire.a).length === 0) failures.push('director a did not remain active after healing');
  const announced = wire.a.signs.some(
    ({ kind, atMs }) => kind === 'announcement' && atMs > healedMs && atMs < healedMs + boundMs,
  );
  if (!announced) failures.push('director a did not announce the addresses again after healing');
  return failures;
}

/** Which director carried each session while there were two, by its last packet then. */
function checkCarried(stage: Stage, { wire, brokenPorts }: Evidence, splitAtMs: number, healedMs: number): string[] {
  const lastCarrier = new Map<number, { readonly name: 'a' | 'b'; readonly atMs: number }>();
  const packets = { a: 0, b: 0 };
  for (const name of ['a', 'b'] as const) {
    for (const family of stage.pair.families) {
      const { forwarded, clientPorts } = wire[name]![family];
      for (const [i, atMs] of forwarded.entries()) {
        if (atMs < splitAtMs || atMs > healedMs) continue;
        packets[name] += 1;
        const port = clientPorts[i]!;
        if ((lastCarrier.get(port)?.atMs ?? 0) < atMs) lastCarrier.set(port, { name, atMs });
      }
    }
  }
  stage.tell(`meanwhile director a forwarded ${packets.a} packets, director b ${packets.b}`);
  const ofRemaining = brokenPorts.filter((port) => lastCarrier.get(port)?.name === 'a').length;
  const ofOther = brokenPorts.length - ofRemaining;
  stage.tell(`sessions broken: ${ofRemaining} that the remaining director carried, ${ofOther} others`);
  return ofRemaining === 0 ? [] : [`${ofRemaining} sessions that the remaining director carried broke`];
}

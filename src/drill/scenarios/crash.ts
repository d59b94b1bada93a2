// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../director.ts';
import { isActive } from '../health.ts';
import { activeDownIntervalMs } from '../lab/configuration.ts';
import type { Sent } from '../measure/capture.ts';
import type { Scenario, Stage } from '../stage.ts';

// The active director vanishes without sending priority 0, and comes back.

const frozenMs = 3_000;
const cutOffMs = 2_000;
const noticeTimeoutMs = 5_000;
const takeoverTimeoutMs = 15_000;

export const kill: Scenario = {
  from: 'a',
  to: 'b',
  run: async (stage) => {
    const { a } = stage.pair.directors;
    await stage.takeOver('a', 'b', 'failure', 'kill -9 of every process of director a', () => a.kill());
  },
};

export const failback: Scenario = {
  from: 'b',
  to: 'a',
  prepare: async ({ pair }) => {
    // As a scenario of its own it begins with a healthy pair.
    const { a, b } = pair.directors;
    if (!a.isRunning) return;
    a.kill();
    await b.await('active', isActive, takeoverTimeoutMs);
  },
  run: async (stage) => {
    await stage.takeOver('b', 'a', 'planned', 'director a is started again', () => start(stage));
  },
};

export const freeze: Scenario = {
  from: 'a',
  to: 'b',
  run: async (stage) => {
    await freezeAndContinue(stage, frozenMs);
  },
};

export const poweroff: Scenario = {
  from: 'a',
  to: 'b',
  run: async (stage) => {
    const { lab, directors, watchAgain } = stage.pair;
    await stage.takeOver('a', 'b', 'failure', 'director a, its namespace and its cables vanish', async () => {
      const atMs = directors.a.kill();
      await lab.removeStation('a');
      return atMs;
    });
    await lab.restoreStation('a');
    await watchAgain('a');
    await stage.takeOver('b', 'a', 'planned', 'director a is recreated and started', () => start(stage));
  },
};

export const linkDown: Scenario = {
  from: 'a',
  to: 'b',
  run: async (stage) => {
    await loseLink(stage, cutOffMs);
  },
};

/** Checks that a continued director is silent until it takes over again, and does so no earlier than it may. */
export async function freezeAndContinue(stage: Stage, durationMs: number): Promise<void> {
  const { a } = stage.pair.directors;
  const what = 'SIGSTOP to every process of director a';
  const frozenAtMs = await stage.takeOver('a', 'b', 'failure', what, () => a.freeze());
  await delay(Math.max(0, frozenAtMs + durationMs - monotonicMs()));
  const continuedMs = await stage.takeOver('b', 'a', 'planned', 'SIGCONT to director a', () => a.resume());
  const untilMs = monotonicMs();
  stage.check(({ wire }) =>
    stage.pair.families.flatMap((family) => [
      ...silenceBeforeClaim({ a: wire.a![family], b: wire.b![family] }, frozenAtMs, continuedMs),
      ...silenceAfter(wire.a![family], continuedMs, untilMs, activeDownIntervalMs('a', stage.options.advertIntervalMs)),
    ]),
  );
}

/** The front link goes down at the switch, and up again. */
export async function loseLink(stage: Stage, durationMs: number): Promise<void> {
  const { lab } = stage.pair;
  const set = (plugged: boolean) => async (): Promise<number> => {
    const atMs = monotonicMs();
    await lab.setCable('a', 'front', plugged);
    return atMs;
  };
  const downMs = await stage.takeOver('a', 'b', 'failure', "director a's front link goes down", set(false));
  await stage.pair.directors.a.await('inactive without its link', (status) => !isActive(status), noticeTimeoutMs);
  await delay(Math.max(0, downMs + durationMs - monotonicMs()));
  if (isActive(await stage.pair.directors.a.await('ready', () => true, noticeTimeoutMs))) {
    stage.fail('director a became active again while its link was down');
  }
  await stage.takeOver('b', 'a', 'planned', "director a's front link comes up", set(true));
}

/**
 * The kernel may forward for a frozen director until its lease is over, and its peer claims the addresses after that
 * only.
 */
function silenceBeforeClaim(
  wire: Readonly<Record<'a' | 'b', Sent>>,
  frozenAtMs: number,
  continuedMs: number,
): string[] {
  const claim = wire.b.signs.find(({ kind, atMs }) => kind === 'advertisement' && atMs > frozenAtMs);
  if (claim === undefined) return [];
  const late = wire.a.forwarded.filter((atMs) => atMs >= claim.atMs && atMs < continuedMs).length;
  return late === 0 ? [] : [`director a, frozen, forwarded ${late} packets after director b had claimed the addresses`];
}

/** A sentence for everything that a continued director sent before its turn had come. */
export function silenceAfter(sent: Sent, continuedMs: number, untilMs: number, downIntervalMs: number): string[] {
  const within = (atMs: number): boolean => atMs > continuedMs && atMs < untilMs;
  const firstClaim = sent.signs.find(({ kind, atMs }) => kind === 'advertisement' && within(atMs))?.atMs;
  const untilClaim = (atMs: number): boolean => within(atMs) && atMs < (firstClaim ?? untilMs);
  const failures: string[] = [];
  const early = {
    'packets forwarded': sent.forwarded.filter(untilClaim).length,
    'packets returned to clients': sent.returned.filter(untilClaim).length,
    'announcements, answers and resignations': sent.signs.filter(({ atMs }) => untilClaim(atMs)).length,
  };
  for (const [what, count] of Object.entries(early)) {
    if (count > 0) failures.push(`director a, continued, sent ${count} ${what} before it had taken over again`);
  }
  if (firstClaim !== undefined && firstClaim - continuedMs < downIntervalMs) {
    const afterMs = Math.round(firstClaim - continuedMs);
    failures.push(
      `director a advertised ${afterMs} ms after being continued, before its active down interval was over`,
    );
  }
  return failures;
}

function start({ pair }: Stage): number {
  const atMs = monotonicMs();
  pair.directors.a.start();
  return atMs;
}

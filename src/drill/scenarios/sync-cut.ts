// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from 'node:timers/promises';
import type { DirectorStatus } from '../../director/status.ts';
import { monotonicMs } from '../director.ts';
import { isActive, readyTimeoutMs } from '../health.ts';
import type { Evidence, Scenario, Stage } from '../stage.ts';

// Connection synchronisation alone is cut: VRRP is heard. The better director comes back meanwhile, with an empty table.

const watchedMs = 3_000;

export const syncCut: Scenario = {
  from: 'a',
  to: 'b',
  run: async (stage) => {
    const { a, b } = stage.pair.directors;
    const { lab } = stage.pair;
    await stage.takeOver('a', 'b', 'failure', 'kill -9 of every process of director a', () => a.kill());
    await cut(stage);
    const startedMs = monotonicMs();
    try {
      stage.note('director a is started again', startedMs);
      stage.say('director a is started again');
      a.start();
      if (stage.options.sync) await watch(stage);
    } catch (error) {
      await lab.setSyncCut(['a', 'b'], false);
      throw error;
    }
    if (!isActive(await b.await('ready', () => true, readyTimeoutMs))) {
      stage.fail('director b did not remain active while synchronisation was cut');
    }
    const healedMs = await stage.takeOver('b', 'a', 'planned', 'synchronisation is whole again', async () => {
      const atMs = monotonicMs();
      await lab.setSyncCut(['a', 'b'], false);
      return atMs;
    });
    stage.check((evidence) => claimsOf(stage, evidence, startedMs, healedMs));
  },
};

async function cut(stage: Stage): Promise<void> {
  const what = 'synchronisation is cut between the directors, VRRP is not';
  stage.say(what);
  await stage.pair.lab.setSyncCut(['a', 'b'], true);
  stage.note(what);
}

/** Director a hears that director b is active, says what is wrong, and leaves it at that. */
async function watch(stage: Stage): Promise<void> {
  const { a } = stage.pair.directors;
  const decided = (status: DirectorStatus): boolean => isCutOff(status) || isActive(status);
  const { sync } = await a.await('a backup that is cut off', decided, readyTimeoutMs);
  stage.note(`director a says that it is ${sync.state}`);
  if (sync.warning === undefined) stage.fail('director a does not say what is wrong');
  await delay(watchedMs);
  if (!isCutOff(await a.await('ready', () => true, readyTimeoutMs))) {
    stage.fail('director a did not remain a backup while synchronisation was cut');
  }
}

function isCutOff({ virtualRouters, sync }: DirectorStatus): boolean {
  return virtualRouters.every(({ state }) => state === 'backup') && sync.state === 'cutOff';
}

function claimsOf({ pair }: Stage, { wire }: Evidence, startedMs: number, healedMs: number): string[] {
  return pair.families.flatMap((family) => {
    const claims = wire.a![family].signs.filter(
      ({ kind, atMs }) => kind === 'advertisement' && atMs > startedMs && atMs < healedMs,
    ).length;
    return claims === 0 ? [] : [`director a took over while synchronisation was cut (${family})`];
  });
}

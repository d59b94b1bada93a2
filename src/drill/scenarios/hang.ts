// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../director.ts';
import { isActive, isBackupInSync, readyTimeoutMs } from '../health.ts';
import type { Scenario, Stage } from '../stage.ts';

// A part of the active director fails, and the rest of it lives on: its vrrp process goes on advertising for a while.

/** The grace that a director gets that is to come back, and what a takeover needs after it. */
const takeoverMaxMs = 8_000;
/** How long the director stays stopped in all, so that sessions are opened before and after it is replaced. */
const hungMs = 10_000;

export const directorHang: Scenario = {
  from: 'a',
  to: 'b',
  run: async (stage) => {
    const { a, b } = stage.pair.directors;
    const what = 'SIGSTOP to the director process alone';
    stage.say(what);
    const stoppedMs = a.hang();
    stage.note(what, stoppedMs);
    await expectTakeover(stage, stoppedMs, 'a director that hangs');
    await delay(Math.max(0, stoppedMs + hungMs - monotonicMs()));
    stage.note('SIGCONT to the director process', a.resume());
    await a.await('active', isActive, readyTimeoutMs);
    await b.await('a backup in sync', isBackupInSync, readyTimeoutMs);
    stage.note('director a says that it is active');
  },
};

export const directorKill: Scenario = {
  from: 'a',
  to: 'b',
  run: async (stage) => {
    const { a } = stage.pair.directors;
    const what = 'kill -9 of the director process alone, which does not come back';
    stage.say(what);
    const killedMs = await a.killDirector();
    stage.note(what, killedMs);
    if (!(await expectTakeover(stage, killedMs, 'a director that is dead'))) return;
    await stage.takeOver('b', 'a', 'planned', 'director a is started again', () => {
      const atMs = monotonicMs();
      a.start();
      return atMs;
    });
  },
};

/** Within the grace the rest of the director may go on forwarding, so the gap begins when it stops, not at the failure. */
async function expectTakeover(stage: Stage, sinceMs: number, ofWhom: string): Promise<boolean> {
  const taken = await stage.awaitTakeover('a', 'b', 'failure', sinceMs, takeoverMaxMs);
  if (!taken) stage.fail(`nobody took over from ${ofWhom} within ${takeoverMaxMs / 1_000} s`);
  return taken;
}

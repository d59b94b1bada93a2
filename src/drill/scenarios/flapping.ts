// SPDX-License-Identifier: Apache-2.0
import { monotonicMs } from '../director.ts';
import { isBackupInSync, readyTimeoutMs } from '../health.ts';
import type { Scenario, Stage } from '../stage.ts';
import { freezeAndContinue, loseLink } from './crash.ts';
import { handOver } from './planned.ts';

// Ten failures in a row, each healed before the next.

const failureCount = 10;
/** Long enough that the failure is noticed by everybody, short enough that caches and timers of the last one are left. */
const shortMs = 1_000;

const failures: readonly ((stage: Stage) => Promise<void>)[] = [
  async (stage) => {
    const { a } = stage.pair.directors;
    await stage.takeOver('a', 'b', 'failure', 'kill -9 of every process of director a', () => a.kill());
    await stage.takeOver('b', 'a', 'planned', 'director a is started again', () => {
      const atMs = monotonicMs();
      a.start();
      return atMs;
    });
  },
  async (stage) => {
    await handOver(stage, 'a', 'b');
    await stage.pair.directors.a.await('a backup in sync', isBackupInSync, readyTimeoutMs);
    await handOver(stage, 'b', 'a');
  },
  (stage) => freezeAndContinue(stage, shortMs),
  (stage) => loseLink(stage, shortMs),
];

export const flapping: Scenario = {
  from: 'a',
  to: 'b',
  run: async (stage) => {
    for (let i = 0; i < failureCount; i += 1) {
      await failures[i % failures.length]!(stage);
      await stage.pair.directors.b.await('a backup in sync', isBackupInSync, readyTimeoutMs);
    }
  },
};

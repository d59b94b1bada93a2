// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../director.ts';
import type { Scenario } from '../stage.ts';

// The address that the active director speaks from is taken off its interface, while the link stays up.

const lostMs = 3_000;
const takeoverMaxMs = 3_000;

export const addressLost: Scenario = {
  from: 'a',
  to: 'b',
  run: async (stage) => {
    const { lab, families } = stage.pair;
    const what = "director a's own addresses are removed from its front interface";
    stage.say(what);
    const atMs = monotonicMs();
    stage.note(what, atMs);
    await lab.setOwnAddresses('a', 'front', families, false);
    const taken = await stage.awaitTakeover('a', 'b', 'failure', atMs, takeoverMaxMs);
    if (!taken) {
      stage.fail(`nobody took over from a director without an address within ${takeoverMaxMs / 1_000} s`);
    }
    await delay(Math.max(0, atMs + lostMs - monotonicMs()));
    const restore = async (): Promise<number> => {
      const restoredMs = monotonicMs();
      await lab.setOwnAddresses('a', 'front', families, true);
      return restoredMs;
    };
    const restored = 'the addresses are back';
    if (taken) await stage.takeOver('b', 'a', 'planned', restored, restore);
    else stage.note(restored, await restore());
  },
};

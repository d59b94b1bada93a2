// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from 'node:timers/promises';
import { forwardingMethods } from '../../model/forwarding-method.ts';
import { monotonicMs } from '../director.ts';
import type { Pair } from '../pair.ts';
import type { Scenario } from '../stage.ts';

// Something of the host that the active director cannot do without is lost, while its links stay up.

const lostMs = 3_000;
const takeoverMaxMs = 3_000;

interface Loss {
  readonly what: string;
  readonly restored: string;
  /** The director without it, for the sentence that nobody has taken over. */
  readonly without: string;
  readonly set: (pair: Pair, present: boolean) => Promise<void>;
}

export const addressLost = lose({
  what: "director a's own addresses are removed from its front interface",
  restored: 'the addresses are back',
  without: 'an address',
  set: ({ lab, families }, present) => lab.setOwnAddresses('a', 'front', families, present),
});

export const routeLost = lose({
  what: "director a's routes to all real servers are removed",
  restored: 'the routes are back',
  without: 'a route to its real servers',
  set: ({ lab, forwarding, families }, present) => {
    const interfaceName = forwardingMethods[forwarding].seesReplies ? 'back' : 'front';
    return lab.setRoutes('a', interfaceName, families, present);
  },
});

function lose({ what, restored, without, set }: Loss): Scenario {
  return {
    from: 'a',
    to: 'b',
    run: async (stage) => {
      stage.say(what);
      const atMs = monotonicMs();
      stage.note(what, atMs);
      await set(stage.pair, false);
      const taken = await stage.awaitTakeover('a', 'b', 'failure', atMs, takeoverMaxMs);
      if (!taken) {
        stage.fail(`nobody took over from a director without ${without} within ${takeoverMaxMs / 1_000} s`);
      }
      await delay(Math.max(0, atMs + lostMs - monotonicMs()));
      const restore = async (): Promise<number> => {
        const restoredMs = monotonicMs();
        await set(stage.pair, true);
        return restoredMs;
      };
      if (taken) await stage.takeOver('b', 'a', 'planned', restored, restore);
      else stage.note(restored, await restore());
    },
  };
}

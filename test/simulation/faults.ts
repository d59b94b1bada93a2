// SPDX-License-Identifier: Apache-2.0
import type { Prng } from '../../src/lib/prng.ts';
import type { Channel } from './network.ts';
import { chance, changeRouter, pick } from './plan.ts';
import type { Part, World } from './world.ts';

type Fault = (world: World, name: string, dice: Prng) => void;

const both: readonly Channel[] = ['vrrp', 'sync'];

/** Every failure, by its name in the transcript. `World.heal` heals it. */
const faults: Readonly<Record<string, Fault>> = {
  kill: (world, name) => world.kill(name),
  'kill and start': (world, name, dice) => {
    world.kill(name);
    world.later(dice.below(1000), () => world.start(name));
  },
  freeze: (world, name) => world.freeze(name),
  'short freeze': (world, name, dice) => {
    world.freeze(name);
    world.later(dice.below(pick(dice, [10, 100, 1000])), () => world.thaw(name));
  },
  'vrrp process stalls': (world, name, dice) => {
    world.freeze(name, 'vrrp');
    world.later(dice.below(pick(dice, [5, 50, 1000])), () => world.thaw(name));
  },
  'sync thread stalls': (world, name, dice) => {
    world.freeze(name, 'sync');
    world.later(dice.below(pick(dice, [50, 1000])), () => world.thaw(name));
  },
  'engine stalls': (world, name, dice) => {
    world.freeze(name, 'engine');
    world.later(dice.below(pick(dice, [50, 1500])), () => world.thaw(name));
  },
  'link down': (world, name) => {
    for (const other of world.others(name)) {
      for (const channel of both) {
        world.worsen(channel, name, other, { up: false });
        world.worsen(channel, other, name, { up: false });
      }
    }
  },
  asymmetric: (world, name) => {
    for (const other of world.others(name)) {
      for (const channel of both) world.worsen(channel, name, other, { up: false });
    }
  },
  'loses advertisements': (world, name, dice) => {
    for (const other of world.others(name)) world.worsen('vrrp', name, other, { loss: dice.fraction() * 0.5 });
  },
  'loses sync datagrams': (world, name, dice) => {
    for (const other of world.others(name)) {
      world.worsen('sync', name, other, { loss: dice.fraction() * 0.3 });
      world.worsen('sync', other, name, { loss: dice.fraction() * 0.3 });
    }
  },
  'slow link': (world, name, dice) => {
    const delayMaxMs = 4 + dice.below(20);
    for (const other of world.others(name)) {
      world.worsen('vrrp', name, other, { delayMaxMs });
      world.worsen('sync', name, other, { delayMaxMs, duplication: 0.1 });
    }
  },
  mute: (world, name, dice) => {
    world.mute(name, true);
    world.later(dice.below(pick(dice, [20, 500, 4000])), () => world.mute(name, false));
  },
  'hand over': (world, name) => world.director(name)?.handOver(),
  restart: (world, name, dice) => {
    world.shutDown(name);
    world.later(20 + dice.below(1500), () => world.start(name));
  },
  reload: (world, name, dice) => {
    const director = world.director(name);
    if (director === undefined) return;
    const routers = director.routers.map((router) => (chance(dice, 0.6) ? changeRouter(router, dice) : router));
    director.reconfigure(routers);
    world.remember(name, routers);
  },
};

/** Only sync is cut: VRRP is heard. In the second one the director comes back meanwhile, with an empty table. */
export const syncCuts: Readonly<Record<string, Fault>> = {
  'sync cut': cutSync,
  'sync cut, kill and start': (world, name, dice) => {
    cutSync(world, name);
    world.later(dice.below(300), () => {
      world.kill(name);
      // Another one is active by then: the first one back would be, with an empty table, and that is two failures at once.
      world.later(4 * world.plan.intervalMaxMs + 50 + dice.below(600), () => world.start(name));
    });
  },
  'sync cut one way': (world, name, dice) => {
    for (const other of world.others(name)) {
      const [from, to] = chance(dice, 0.5) ? [name, other] : [other, name];
      world.worsen('sync', from, to, { up: false });
    }
  },
};

/** A failure, and how long it lasts at least. */
type Stall = (world: World, name: string, dice: Prng) => number;

/** An entry outlives it, and the takeover after it, although a third of its timeout has passed: see `engineTimes`. */
const stallMaxMs = 1_200;

/** A part of a director stands still alone, for longer than its watch allows or not; or all directors do, at the same time. */
export const stalls: Readonly<Record<string, Stall>> = {
  'event loop hangs': hang('main', [300, 2_000, 8_000]),
  'sync thread hangs': hang('sync', [300, 1_000, 4_000]),
  'engine hangs': hang('engine', [300, 1_000, 4_000]),
  'vrrp process hangs': hang('vrrp', [300, 1_000, 4_000]),
  'director process hangs': hang('process', [300, 1_000, 4_000]),
  'all stall': (world, _name, dice) => {
    const forMs = 100 + dice.below(pick(dice, [400, stallMaxMs]));
    world.stallAll(forMs);
    return forMs + 1;
  },
};

function hang(part: Part, limitsMs: readonly number[]): Stall {
  return (world, name, dice) => {
    const forMs = 50 + dice.below(pick(dice, limitsMs));
    world.freeze(name, part);
    world.later(forMs, () => world.thaw(name));
    return forMs + 1;
  };
}

/** What is sent may not arrive. */
export const wireCuts: ReadonlySet<string> = new Set([
  ...Object.keys(syncCuts),
  'link down',
  'asymmetric',
  'loses advertisements',
  'loses sync datagrams',
  'slow link',
]);

export const faultNames = Object.keys(faults);

function cutSync(world: World, name: string): void {
  for (const other of world.others(name)) {
    world.worsen('sync', name, other, { up: false });
    world.worsen('sync', other, name, { up: false });
  }
}

/** When the data path is in the kernel, the election survives a director that dies. */
export const faultsInPlace: Readonly<Record<string, Fault>> = {
  ...faults,
  'restart in place': (world, name, dice) => world.restartInPlace(name, dice.below(pick(dice, [5, 300, 1500]))),
};

/** Half of the failures are restarts in place. */
export const faultNamesInPlace = [...faultNames, ...faultNames.map(() => 'restart in place')];

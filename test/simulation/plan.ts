// SPDX-License-Identifier: Apache-2.0

import type { IpAddress } from '../../src/lib/ip-address.ts';
import { createPrng, type Prng } from '../../src/lib/prng.ts';
import type { VirtualRouter } from '../../src/model/virtual-router.ts';
import type { FlatRouter } from '../support/election.ts';

/** The parameters of a run, all derived from its seed. */
export interface Plan {
  readonly seed: number;
  /**
   * `single`: one failure at a time, each healed before the next, so that no session may break. `wild`: failures overlap
   * as they come.
   */
  readonly style: 'single' | 'wild';
  /** a, b, c, d. */
  readonly names: readonly string[];
  /** By name: the virtual routers as that director has them configured. */
  readonly routers: ReadonlyMap<string, readonly FlatRouter[]>;
  /** The longest configured interval, from which the bounds are computed. */
  readonly intervalMaxMs: number;
  readonly sessions: number;
  readonly faults: number;
  readonly link: LinkCondition;
  /** The directors start within this time: all at once, or one after the other. */
  readonly startSpreadMs: number;
}

/** One direction between two directors. */
export interface LinkCondition {
  readonly up: boolean;
  /** Probabilities for each message. */
  readonly loss: number;
  readonly duplication: number;
  /** Delays are uniform between the two, so that messages overtake each other. */
  readonly delayMinMs: number;
  readonly delayMaxMs: number;
}

const intervals = [10, 20, 50, 50, 100, 100, 250, 1000] as const;

export function makePlan(seed: number): Plan {
  const dice = createPrng(seed ^ 0x9e37_79b9);
  const count = pick(dice, [2, 2, 2, 3, 3, 4]);
  const names = ['a', 'b', 'c', 'd'].slice(0, count);
  const common = makeRouters(dice);
  const mixed = chance(dice, 0.15);
  const routers = new Map<string, readonly FlatRouter[]>();
  for (const name of names)
    routers.set(
      name,
      common.map((router) => personalise(router, dice, mixed)),
    );
  const all = [...routers.values()].flat();
  return {
    seed,
    style: chance(dice, 0.5) ? 'single' : 'wild',
    names,
    routers,
    intervalMaxMs: Math.max(...all.map(({ advertIntervalMs }) => advertIntervalMs)),
    sessions: 3 + dice.below(8),
    faults: 1 + dice.below(3),
    link: {
      up: true,
      loss: 0,
      duplication: chance(dice, 0.3) ? dice.fraction() * 0.1 : 0,
      delayMinMs: 0.05,
      delayMaxMs: 0.1 + dice.fraction() * (chance(dice, 0.3) ? 3 : 0.5),
    },
    startSpreadMs: chance(dice, 0.3) ? 0 : dice.below(1500),
  };
}

/** The configuration of a director after a reload with some change. */
export function changeRouter(router: FlatRouter, dice: Prng): FlatRouter {
  switch (dice.below(5)) {
    case 0:
      return { ...router, priority: 1 + dice.below(254) };
    case 1:
      return { ...router, preempt: !router.preempt };
    case 2:
      return router.version === 3 ? { ...router, advertIntervalMs: pick(dice, [10, 50, 100, 250]) } : router;
    case 3:
      return { ...router, preemptDelayMs: pick(dice, [0, 200, 1000]) };
    default:
      return router.version === 3 ? { ...router, addresses: changeAddresses(router) } : router;
  }
}

export function chance(dice: Prng, probability: number): boolean {
  return dice.fraction() < probability;
}

export function pick<Value>(dice: Prng, values: readonly Value[]): Value {
  return values[dice.below(values.length)]!;
}

function makeRouters(dice: Prng): FlatRouter[] {
  const intervalMs = pick(dice, intervals);
  const count = pick(dice, [1, 1, 2, 3]);
  return Array.from({ length: count }, (_, slot) => {
    const version = chance(dice, 0.08) ? 2 : 3;
    const family: VirtualRouter['family'] = version === 3 && chance(dice, 0.25) ? 'ipv6' : 'ipv4';
    const [address, gateway] =
      family === 'ipv4'
        ? [`198.51.100.${10 + slot}`, `192.0.2.${250 + slot}`]
        : [`2001:db8::a${slot}`, `fe80::a${slot}`];
    return {
      name: `vr${slot}`,
      interface: 'eth0',
      family,
      vrid: 51 + slot,
      version,
      priority: 100,
      advertIntervalMs: version === 2 ? 1000 : intervalMs,
      startAs: 'backup',
      preempt: !chance(dice, 0.3),
      preemptDelayMs: chance(dice, 0.2) ? pick(dice, [100, 500, 1500]) : 0,
      addresses: [
        { address: address as IpAddress, prefixLength: 32, interface: 'eth0', install: false },
        { address: gateway as IpAddress, prefixLength: 24, interface: 'eth0', install: true },
      ],
      announcement: { repeat: pick(dice, [1, 5]), delayMs: pick(dice, [0, 500]), ...refresh(dice), intervalMs: 0 },
      leaseSlot: slot,
    };
  });
}

function refresh(dice: Prng): { refreshMs: number; refreshRepeat: number } {
  return { refreshMs: chance(dice, 0.2) ? 300 : 0, refreshRepeat: 1 };
}

/** The differences between directors: priority, `state MASTER`, and in some runs the interval and preemption. */
function personalise(router: FlatRouter, dice: Prng, mixed: boolean): FlatRouter {
  const priority = chance(dice, 0.08) ? 255 : chance(dice, 0.25) ? 100 : 1 + dice.below(254);
  const advertIntervalMs = mixed && router.version === 3 ? pick(dice, intervals) : router.advertIntervalMs;
  const preempt = mixed && chance(dice, 0.3) ? !router.preempt : router.preempt;
  return { ...router, priority, advertIntervalMs, preempt, startAs: chance(dice, 0.3) ? 'active' : 'backup' };
}

function changeAddresses(router: FlatRouter): FlatRouter['addresses'] {
  if (router.addresses.length > 2) return router.addresses.slice(0, 2);
  const address = (
    router.family === 'ipv4' ? `198.51.100.${90 + router.leaseSlot}` : `2001:db8::b${router.leaseSlot}`
  ) as IpAddress;
  return [...router.addresses, { address, prefixLength: 32, interface: 'eth0', install: true }];
}

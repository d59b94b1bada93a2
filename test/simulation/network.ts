// SPDX-License-Identifier: Apache-2.0
import type { Prng } from '../../src/lib/prng.ts';
import type { SimulatedTime } from '../support/simulated-time.ts';
import { delayBoundMs } from './hearing.ts';
import type { LinkCondition } from './plan.ts';

export type Channel = 'vrrp' | 'sync';

/** A message on its way in one direction. */
export interface Flight {
  readonly channel: Channel;
  readonly from: string;
  readonly to: string;
  readonly sentAtMs: number;
}

/** The segment between the directors: one condition for each ordered pair and channel. */
export class Network {
  readonly #time: SimulatedTime;
  readonly #dice: Prng;
  readonly #usual: LinkCondition;
  readonly #conditions = new Map<string, LinkCondition>();

  constructor(time: SimulatedTime, dice: Prng, usual: LinkCondition) {
    this.#time = time;
    this.#dice = dice;
    this.#usual = usual;
  }

  condition(channel: Channel, from: string, to: string): LinkCondition {
    return this.#conditions.get(key(channel, from, to)) ?? this.#usual;
  }

  worsen(channel: Channel, from: string, to: string, change: Partial<LinkCondition>): void {
    this.#conditions.set(key(channel, from, to), { ...this.condition(channel, from, to), ...change });
  }

  heal(): void {
    this.#conditions.clear();
  }

  /** `arrive` is called for each copy that gets there, `lose` when none does, or the first one comes too late. */
  send(flight: Flight, arrive: (copy: number) => void, lose: () => void): void {
    const { up, loss, duplication, delayMinMs, delayMaxMs } = this.condition(flight.channel, flight.from, flight.to);
    const lost = this.#dice.fraction() < loss;
    const copies = this.#dice.fraction() < duplication ? 2 : 1;
    if (!up || lost) {
      lose();
      return;
    }
    for (let copy = 0; copy < copies; copy += 1) {
      const delayMs = delayMinMs + this.#dice.fraction() * (delayMaxMs - delayMinMs);
      if (copy === 0 && delayMs > delayBoundMs) lose();
      this.#time.callAt(flight.sentAtMs + delayMs, () => arrive(copy));
    }
  }
}

function key(channel: Channel, from: string, to: string): string {
  return `${channel} ${from} ${to}`;
}

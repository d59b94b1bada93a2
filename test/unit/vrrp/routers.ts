// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { createRouter, nextDeadline, step } from '../../../vrrp/machine.ts';
import type { RouterAction, RouterConfiguration, RouterEvent, RouterState } from '../../../vrrp/state.ts';

export const lesser = '192.0.2.1' as IpAddress;
export const own = '192.0.2.5' as IpAddress;
export const greater = '192.0.2.128' as IpAddress;
export const virtual = '198.51.100.10' as IpAddress;

export const defaults: RouterConfiguration = {
  version: 3,
  priority: 100,
  intervalMs: 1000,
  primaryAddress: own,
  addresses: [virtual],
  startAs: 'backup',
  preempt: true,
  preemptDelayMs: 0,
  announcement: { repeat: 2, delayMs: 5000, refreshMs: 0, refreshRepeat: 1, intervalMs: 0 },
};

/** A machine with its clock, for tables: feeds events and words its actions shortly. */
export class Bench {
  state: RouterState;
  nowMs = 0;

  constructor(changes: Partial<RouterConfiguration> = {}) {
    this.state = createRouter({ ...defaults, ...changes }, 0);
  }

  feed(event: RouterEvent): string[] {
    const { state, actions } = step(this.state, event, this.nowMs);
    this.state = state;
    return actions.map(wordAction);
  }

  /** An advertisement from another router. */
  hear(
    priority: number,
    { from = lesser, intervalMs = 1000 }: { from?: IpAddress; intervalMs?: number } = {},
  ): string[] {
    return this.feed({ kind: 'advertisementReceived', source: from, priority, intervalMs });
  }

  /** The advertisement asked for just now has left. */
  sent(
    priority = this.state.config.priority,
    intervalMs = this.state.config.intervalMs,
    sentAtMs = this.nowMs,
  ): string[] {
    return this.feed({ kind: 'advertisementSent', sentAtMs, priority, intervalMs });
  }

  at(nowMs: number): this {
    this.nowMs = nowMs;
    return this;
  }

  timer(): string[] {
    return this.feed({ kind: 'timer' });
  }

  get deadline(): number | undefined {
    return nextDeadline(this.state);
  }

  start({ gate = true }: { gate?: boolean } = {}): string[] {
    if (gate) this.feed({ kind: 'gateOpened' });
    return this.feed({ kind: 'startup', interfaceUp: true });
  }
}

/** Active and holding since 10 000 ms, gate open. */
export function activeBench(changes: Partial<RouterConfiguration> = {}): Bench {
  const bench = new Bench(changes);
  bench.start();
  bench.at(6000).hear(100, { from: greater });
  bench.hear(0, { from: greater });
  const deadline = bench.deadline;
  if (deadline === undefined) throw new Error('a backup has a deadline');
  bench.at(deadline).timer();
  bench.sent();
  return bench;
}

function wordAction(action: RouterAction): string {
  switch (action.kind) {
    case 'sendAdvertisement':
      return `send ${action.priority}/${action.intervalMs}`;
    case 'grantLease':
      return `grant ${action.untilMs}`;
    case 'revokeLease':
      return 'revoke';
    case 'acquireAddresses':
      return `acquire ${action.addresses.join(' ')}`;
    case 'releaseAddresses':
      return `release ${action.addresses.join(' ')}`;
    case 'announce':
      return `announce ${action.addresses.join(' ')}`;
    case 'notify':
      return `${action.from} to ${action.to}: ${action.reason}`;
    case 'note':
      return `(${action.note})`;
  }
}

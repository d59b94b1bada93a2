// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import type { VirtualRouter } from '../../../src/model/virtual-router.ts';
import type { FaultKind, FaultReason } from '../../../vrrp/faults.ts';
import { createRouter, nextDeadline, step } from '../../../vrrp/machine.ts';
import type { RouterAction, RouterEvent, RouterState } from '../../../vrrp/state.ts';

export const lesser = '192.0.2.1' as IpAddress;
export const own = '192.0.2.5' as IpAddress;
export const greater = '192.0.2.128' as IpAddress;
export const virtual = '198.51.100.10' as IpAddress;

/** The settings of a machine that tests change. */
export interface Setting
  extends Pick<VirtualRouter, 'version' | 'priority' | 'startAs' | 'preempt' | 'preemptDelayMs' | 'announcement'> {
  readonly intervalMs: number;
  readonly maxAdoptedIntervalMs?: number;
  readonly primaryAddress: IpAddress;
  readonly addresses: readonly IpAddress[];
}

const defaults: Setting = {
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

export function routerOf(changes: Partial<Setting> = {}): VirtualRouter {
  const { intervalMs, primaryAddress: _, addresses, ...setting } = { ...defaults, ...changes };
  return {
    ...setting,
    name: 'web',
    interface: 'eth0',
    family: 'ipv4',
    vrid: 51,
    advertIntervalMs: intervalMs,
    addresses: addresses.map((address) => ({ address, prefixLength: 32, interface: 'eth0' })),
  };
}

/** A machine with its clock, for tables: feeds events and words its actions shortly. */
export class Bench {
  state: RouterState;
  nowMs = 0;
  #setting: Setting;

  constructor(changes: Partial<Setting> = {}) {
    this.#setting = { ...defaults, ...changes };
    this.state = createRouter(routerOf(changes), this.#setting.primaryAddress, 0);
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
    priority = this.state.effectivePriority,
    intervalMs = this.state.router.advertIntervalMs,
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
    return this.feed({ kind: 'startup' });
  }

  /** A reload that changes this much. */
  reconfigure(changes: Partial<Setting>): string[] {
    this.#setting = { ...this.#setting, ...changes };
    const { primaryAddress, priority } = this.#setting;
    const router = routerOf(this.#setting);
    return this.feed({ kind: 'configurationChanged', router, primaryAddress, effectivePriority: priority });
  }

  raise(kind: FaultKind, name?: string): string[] {
    return this.feed({ kind: 'faultRaised', reason: { kind, ...(name === undefined ? {} : { name }) } });
  }

  clear(kind: FaultKind, name?: string): string[] {
    return this.feed({ kind: 'faultCleared', reason: { kind, ...(name === undefined ? {} : { name }) } });
  }
}

/** Active and holding since 10 000 ms, gate open. */
export function activeBench(changes: Partial<Setting> = {}): Bench {
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
      return `${action.from} to ${action.to}: ${action.reason}${action.fault === undefined ? '' : ` ${wordFault(action.fault)}`}`;
    case 'note':
      return `(${action.note})`;
  }
}

function wordFault({ kind, name }: FaultReason): string {
  return name === undefined ? kind : `${kind} ${name}`;
}

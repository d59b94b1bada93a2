// SPDX-License-Identifier: Apache-2.0
import { dueAnnouncements, noAnnouncements, startAnnouncing } from './announcement.ts';
import type {
  ActiveState,
  BackupState,
  Heard,
  RouterAction,
  RouterConfiguration,
  RouterState,
  Settling,
  Step,
  TransitionReason,
} from './state.ts';
import { activeDownIntervalMs, leaseMs } from './timers.ts';

export const ownerPriority = 255;
/** How long a preempted router gets to step down before its successor acquires the addresses. */
export const settleMs = 10;
/** Interval in the last advertisements of a router that resigns: the smallest of version 3, one centisecond. */
const farewellIntervalMs = 10;

const settleRepeats = 2;

const allowed: Record<RouterState['kind'], readonly RouterState['kind'][]> = {
  initialize: ['backup', 'active', 'fault'],
  backup: ['initialize', 'active', 'fault'],
  active: ['initialize', 'backup', 'fault'],
  // A link that has come back hears first who is active.
  fault: ['initialize', 'backup'],
};

/** * -> initialize. */
export function becomeInitialize(state: RouterState, nowMs: number): Step {
  const { config, gateOpen } = state;
  return {
    state: { kind: 'initialize', config, gateOpen, heldOff: false, sinceMs: nowMs },
    actions: [...relinquish(state), transition(state, 'initialize', 'shutdown')],
  };
}

/** initialize | backup | active -> fault. Nothing is sent: nobody would hear it. */
export function becomeFault(state: RouterState, nowMs: number): Step {
  const { config, gateOpen, heldOff } = state;
  return {
    state: { kind: 'fault', config, gateOpen, heldOff, sinceMs: nowMs },
    actions: [...relinquish(state), transition(state, 'fault', 'interface-down')],
  };
}

/** initialize | active | fault -> backup, with a full active down interval unless `downAtMs` says otherwise. */
export function becomeBackup(
  state: RouterState,
  nowMs: number,
  reason: TransitionReason,
  { heard, downAtMs, heldOff = state.heldOff }: { heard?: Heard; downAtMs?: number; heldOff?: boolean } = {},
): Step {
  const { config, gateOpen } = state;
  const activeIntervalMs = heard === undefined ? config.intervalMs : adoptedIntervalMs(config, heard.intervalMs);
  const backup: BackupState = {
    kind: 'backup',
    config,
    gateOpen,
    heldOff,
    sinceMs: nowMs,
    downAtMs: downAtMs ?? nowMs + activeDownIntervalMs(config.priority, activeIntervalMs),
    activeIntervalMs,
    heard,
    claimedUntilMs: Number.NEGATIVE_INFINITY,
    preemptAfterMs: undefined,
    preemptDue: false,
    rechecking: false,
  };
  return { state: backup, actions: [...relinquish(state), transition(state, 'backup', reason)] };
}

/**
 * initialize | backup -> active. Sends the first advertisement; the addresses come once it has left (`acquire`), and
 * not before the settle time is over where another router may still hold them.
 */
export function becomeActive(
  state: RouterState,
  nowMs: number,
  reason: TransitionReason,
  contested?: { rival: Heard | undefined },
): Step {
  const { config, gateOpen } = state;
  const settling = contested === undefined ? undefined : startSettling(config, nowMs, contested.rival);
  const active: ActiveState = {
    kind: 'active',
    config,
    gateOpen,
    heldOff: false,
    sinceMs: nowMs,
    advertiseAtMs: nowMs + (settling === undefined ? config.intervalMs : repeatGapMs(config)),
    voiceUntilMs: nowMs + leaseMs(config.intervalMs),
    voiced: undefined,
    settling,
    holding: false,
    announcements: noAnnouncements,
  };
  return { state: active, actions: [advertise(config), transition(state, 'active', reason)] };
}

/** The takeover proper, within the active state: lease, addresses, announcement last. Needs a sent advertisement. */
export function acquire(state: ActiveState, nowMs: number): Step {
  const { config } = state;
  const started = startAnnouncing(config.addresses, config.announcement, nowMs);
  const { due, schedule } = dueAnnouncements(started, config.addresses, config.announcement, nowMs);
  return {
    state: { ...state, settling: undefined, holding: true, announcements: schedule },
    actions: [
      { kind: 'grantLease', untilMs: state.voiceUntilMs },
      { kind: 'acquireAddresses', addresses: config.addresses },
      ...announceAll(due),
      { kind: 'note', note: 'acquired' },
    ],
  };
}

/**
 * Gives the role away on purpose. The lease goes first, so that by the time a peer hears of it nothing is forwarded
 * here. Version 3 backups adopt the tiny interval of the first farewell, which shrinks the skew time that the second
 * one (priority 0) sets their timer to.
 */
export function resign(state: ActiveState, nowMs: number, reason: 'handover' | 'shutdown'): Step {
  const { config } = state;
  const farewells: RouterAction[] =
    config.version === 3
      ? [
          { kind: 'sendAdvertisement', priority: config.priority, intervalMs: farewellIntervalMs },
          { kind: 'sendAdvertisement', priority: 0, intervalMs: farewellIntervalMs },
        ]
      : [{ kind: 'sendAdvertisement', priority: 0, intervalMs: config.intervalMs }];
  const next =
    reason === 'shutdown' ? becomeInitialize(state, nowMs) : becomeBackup(state, nowMs, 'handover', { heldOff: true });
  const actions = [...next.actions];
  actions.splice(actions.length - 1, 0, ...farewells);
  return { state: next.state, actions };
}

export function advertise(config: RouterConfiguration): RouterAction {
  return { kind: 'sendAdvertisement', priority: config.priority, intervalMs: config.intervalMs };
}

export function announceAll(addresses: readonly RouterConfiguration['addresses'][number][]): RouterAction[] {
  return addresses.length === 0 ? [] : [{ kind: 'announce', addresses }];
}

/** RFC 9568 section 6.4.2: version 3 waits at the active router's pace. Version 2 has one pace for all. */
export function adoptedIntervalMs(config: RouterConfiguration, advertisedMs: number): number {
  return config.version === 3 ? advertisedMs : config.intervalMs;
}

/** The gap between the repeated first advertisements of a preemption. */
export function repeatGapMs(config: RouterConfiguration): number {
  return Math.min(settleMs / (settleRepeats + 1), config.intervalMs);
}

/** From `nowMs`, when the first advertisement goes out: the other one needs that long to hear it and step down. */
export function startSettling(config: RouterConfiguration, nowMs: number, rival: Heard | undefined): Settling {
  const slowestMs = Math.max(config.intervalMs, rival?.intervalMs ?? 0);
  return {
    untilMs: nowMs + settleMs,
    limitMs: nowMs + settleMs + leaseMs(slowestMs),
    rival: rival?.source,
    repeatsLeft: settleRepeats,
  };
}

function relinquish(state: RouterState): RouterAction[] {
  if (state.kind !== 'active') return [];
  if (!state.holding) return [{ kind: 'revokeLease' }];
  return [{ kind: 'revokeLease' }, { kind: 'releaseAddresses', addresses: state.config.addresses }];
}

function transition(from: RouterState, to: RouterState['kind'], reason: TransitionReason): RouterAction {
  if (!allowed[from.kind].includes(to)) throw new Error(`a virtual router cannot go from ${from.kind} to ${to}`);
  return { kind: 'notify', from: from.kind, to, reason };
}

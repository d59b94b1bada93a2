// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../src/lib/ip-address.ts';
import {
  addressesOf,
  ownerPriority,
  type VirtualRouter,
  type VirtualRouterState,
} from '../src/model/virtual-router.ts';
import { adoptedIntervalMs, adoptedMaxMs, followSeries } from './adoption.ts';
import { type AnnouncementSchedule, dueAnnouncements, noAnnouncements, startAnnouncing } from './announcement.ts';
import { uncontested } from './contest.ts';
import { type FaultReason, isMute } from './faults.ts';
import type {
  ActiveState,
  BackupState,
  Common,
  Heard,
  RouterAction,
  RouterConfiguration,
  RouterState,
  Settling,
  Step,
  TransitionReason,
} from './state.ts';
import { activeDownIntervalMs, leaseMs } from './timers.ts';

/** How long a preempted router gets to step down before its successor acquires the addresses. */
export const settleMs = 10;
/** The interval in the last advertisements of a router that resigns: one centisecond, the smallest in version 3. */
const farewellIntervalMs = 10;

const settleRepeats = 2;

const allowed: Record<VirtualRouterState, readonly VirtualRouterState[]> = {
  initialize: ['backup', 'active', 'fault'],
  backup: ['initialize', 'active', 'fault'],
  active: ['initialize', 'backup', 'fault'],
  // A router that could not take part first listens which router is active.
  fault: ['initialize', 'backup'],
};

/** Any state -> initialize. */
export function becomeInitialize(state: RouterState, nowMs: number): Step {
  return {
    state: { ...commonOf(state), kind: 'initialize', heldOff: false, sinceMs: nowMs },
    actions: [...relinquish(state), transition(state, 'initialize', 'shutdown')],
  };
}

/** initialize | backup | active -> fault. An active router resigns where it can still be heard. */
export function becomeFault(state: RouterState, nowMs: number, fault: FaultReason): Step {
  const farewells = state.kind === 'active' && !isMute(fault) ? farewellsOf(state) : [];
  return {
    state: { ...commonOf(state), kind: 'fault', sinceMs: nowMs },
    actions: [...relinquish(state), ...farewells, transition(state, 'fault', 'fault-raised', fault)],
  };
}

/**
 * initialize | active | fault -> backup, with a full Active_Down_Interval unless `activeDownTimerAtMs` says otherwise.
 */
export function becomeBackup(
  state: RouterState,
  nowMs: number,
  reason: TransitionReason,
  {
    heard,
    activeDownTimerAtMs,
    heldOff = state.heldOff,
    fault,
  }: { heard?: Heard; activeDownTimerAtMs?: number; heldOff?: boolean; fault?: FaultReason } = {},
): Step {
  const { router, effectivePriority } = state;
  const common = { ...commonOf(state), heldOff };
  const followed = heard === undefined ? common : followSeries(common, heard);
  const activeAdverIntervalMs = heard === undefined ? router.advertIntervalMs : adoptedIntervalMs(followed, heard);
  const backup: BackupState = {
    ...followed,
    kind: 'backup',
    sinceMs: nowMs,
    activeDownTimerAtMs: activeDownTimerAtMs ?? nowMs + activeDownIntervalMs(effectivePriority, activeAdverIntervalMs),
    activeAdverIntervalMs,
    heard,
    heardBefore: undefined,
    otherActiveUntilMs: Number.NEGATIVE_INFINITY,
    preemptDelayUntilMs: undefined,
    preemptDue: false,
    rechecking: false,
  };
  return { state: backup, actions: [...relinquish(state), transition(state, 'backup', reason, fault)] };
}

/**
 * initialize | backup -> active. Sends the first advertisement. The addresses are acquired once it has left
 * (`acquire`), and only after the settle time where another router may still hold them.
 */
export function becomeActive(
  state: RouterState,
  nowMs: number,
  reason: TransitionReason,
  contested?: { rival: Heard | undefined },
): Step {
  const { router } = state;
  const settling = contested === undefined ? undefined : startSettling(router, nowMs, contested.rival);
  const active: ActiveState = {
    ...commonOf(state),
    kind: 'active',
    heldOff: false,
    sinceMs: nowMs,
    adverTimerAtMs: nowMs + (settling === undefined ? router.advertIntervalMs : repeatGapMs(router)),
    leaseUntilMs: nowMs + leaseMs(router.advertIntervalMs),
    lastAdvertisementSent: undefined,
    settling,
    holding: false,
    announcements: noAnnouncements,
    contest: uncontested,
  };
  return { state: active, actions: [advertise(active), transition(state, 'active', reason)] };
}

/** Takes over the addresses, within the active state: lease first, announcement last. Needs a sent advertisement. */
export function acquire(state: ActiveState, nowMs: number): Step {
  const { announcements, actions } = announceTakeover(state.router, nowMs);
  return {
    state: { ...state, settling: undefined, holding: true, announcements },
    actions: [
      { kind: 'grantLease', untilMs: state.leaseUntilMs },
      { kind: 'acquireAddresses', addresses: addressesOf(state.router) },
      ...actions,
      { kind: 'note', note: 'acquired' },
    ],
  };
}

/**
 * Gives up the active role on purpose. The lease is revoked first, so that nothing is forwarded here by the time a peer
 * receives priority 0.
 */
export function resign(state: ActiveState, nowMs: number, reason: 'handover' | 'shutdown'): Step {
  const next =
    reason === 'shutdown' ? becomeInitialize(state, nowMs) : becomeBackup(state, nowMs, 'handover', { heldOff: true });
  const actions = [...next.actions];
  actions.splice(actions.length - 1, 0, ...farewellsOf(state));
  return { state: next.state, actions };
}

/**
 * Version 3 backups adopt the tiny interval of the first of the two advertisements, which shortens the skew time to which
 * the second one (priority 0) sets their timer.
 */
function farewellsOf({ router, effectivePriority }: ActiveState): readonly RouterAction[] {
  if (router.version === 2) return [{ kind: 'sendAdvertisement', priority: 0, intervalMs: router.advertIntervalMs }];
  return [
    { kind: 'sendAdvertisement', priority: effectivePriority, intervalMs: farewellIntervalMs },
    { kind: 'sendAdvertisement', priority: 0, intervalMs: farewellIntervalMs },
  ];
}

export function advertise({ effectivePriority, router }: Common): RouterAction {
  return { kind: 'sendAdvertisement', priority: effectivePriority, intervalMs: router.advertIntervalMs };
}

/** The announcements of a takeover: those that are due now, and the schedule of the rest. */
export function announceTakeover(
  router: VirtualRouter,
  nowMs: number,
): { readonly announcements: AnnouncementSchedule; readonly actions: readonly RouterAction[] } {
  const addresses = addressesOf(router);
  const started = startAnnouncing(addresses, router.announcement, nowMs);
  const { due, schedule } = dueAnnouncements(started, addresses, router.announcement, nowMs);
  return { announcements: schedule, actions: announceAll(due) };
}

export function announceAll(addresses: readonly IpAddress[]): RouterAction[] {
  return addresses.length === 0 ? [] : [{ kind: 'announce', addresses }];
}

/** The same state with another configuration. */
export function reconfigured<State extends Common>(
  state: State,
  { router, primaryAddress, effectivePriority }: RouterConfiguration,
): State {
  return { ...state, router, primaryAddress, effectivePriority: effectivePriorityOf(router, effectivePriority) };
}

/**
 * Tracking never changes the priority of the address owner, and never gives another router that of the owner
 * (keepalived: vrrp_set_effective_priority).
 */
export function effectivePriorityOf({ priority }: VirtualRouter, effectivePriority: number): number {
  return priority === ownerPriority ? ownerPriority : Math.min(Math.max(effectivePriority, 1), ownerPriority - 1);
}

/** The gap between the repeated first advertisements of a preemption. */
export function repeatGapMs(router: VirtualRouter): number {
  return Math.min(settleMs / (settleRepeats + 1), router.advertIntervalMs);
}

/** Starts at `nowMs`, when the first advertisement is sent: the other router needs time to hear it and step down. */
export function startSettling(router: VirtualRouter, nowMs: number, rival: Heard | undefined): Settling {
  const slowestMs = Math.max(router.advertIntervalMs, Math.min(rival?.intervalMs ?? 0, adoptedMaxMs(router)));
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
  return [{ kind: 'revokeLease' }, { kind: 'releaseAddresses', addresses: addressesOf(state.router) }];
}

/** The fields that every state has, to be copied into the next one. */
export function commonOf(state: RouterState): Common {
  const { router, primaryAddress, effectivePriority, faults, gateOpen, heldOff, sinceMs, series } = state;
  return { router, primaryAddress, effectivePriority, faults, gateOpen, heldOff, sinceMs, series };
}

function transition(
  from: RouterState,
  to: VirtualRouterState,
  reason: TransitionReason,
  fault?: FaultReason,
): RouterAction {
  if (!allowed[from.kind].includes(to)) throw new Error(`a virtual router cannot go from ${from.kind} to ${to}`);
  return { kind: 'notify', from: from.kind, to, reason, ...(fault === undefined ? {} : { fault }) };
}

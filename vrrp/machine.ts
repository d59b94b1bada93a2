// SPDX-License-Identifier: Apache-2.0

import type { IpAddress } from '../src/lib/ip-address.ts';
import { ownerPriority, type VirtualRouter } from '../src/model/virtual-router.ts';
import { stepActive } from './active.ts';
import { nextAnnouncementMs } from './announcement.ts';
import { stepBackup } from './backup.ts';
import { clearFault, raiseFault } from './faults.ts';
import { continueFrom } from './handover-record.ts';
import type { FaultState, InitializeState, RouterEvent, RouterState, Step } from './state.ts';
import { skewTimeMs } from './timers.ts';
import {
  becomeActive,
  becomeBackup,
  becomeFault,
  becomeInitialize,
  effectivePriorityOf,
  reconfigured,
} from './transitions.ts';

/**
 * A virtual router before its startup event. The gate is closed until `gateOpened`: the table is a proven copy then.
 */
export function createRouter(router: VirtualRouter, primaryAddress: IpAddress, nowMs: number): RouterState {
  return {
    kind: 'initialize',
    router,
    primaryAddress,
    effectivePriority: router.priority,
    faults: [],
    gateOpen: false,
    heldOff: false,
    sinceMs: nowMs,
    series: undefined,
  };
}

/**
 * RFC 9568 section 6.4 with a lease. Pure: the same arguments give the same result. The caller executes the actions in
 * order, reports every advertisement that has left (`advertisementSent`), and sends a `timer` event at or after
 * `nextDeadline`.
 */
export function step(state: RouterState, event: RouterEvent, nowMs: number): Step {
  // A router whose lease has ended was frozen, starved or unable to send: a peer may have taken over. Whatever the
  // event is, it sends nothing and waits as backup, like a router that has just started (promise P2).
  if (state.kind === 'active' && nowMs >= state.leaseUntilMs) {
    const lapsed = becomeBackup(state, nowMs, 'lease-expired');
    const next = stepLive(lapsed.state, event, nowMs);
    return { state: next.state, actions: [...lapsed.actions, ...next.actions] };
  }
  return stepLive(state, event, nowMs);
}

/** When the next `timer` event is due; undefined when no timer runs. */
export function nextDeadline(state: RouterState): number | undefined {
  if (state.kind === 'backup') return state.activeDownTimerAtMs;
  if (state.kind !== 'active') return undefined;
  // Until an advertisement is confirmed as sent, the end of settling changes nothing.
  const settledAtMs =
    state.settling === undefined || state.lastAdvertisementSent === undefined ? undefined : state.settling.untilMs;
  return Math.min(
    state.adverTimerAtMs,
    state.leaseUntilMs,
    settledAtMs ?? Number.POSITIVE_INFINITY,
    state.holding ? nextAnnouncementMs(state.announcements) : Number.POSITIVE_INFINITY,
  );
}

function stepLive(state: RouterState, event: RouterEvent, nowMs: number): Step {
  // These events mean the same in every state.
  switch (event.kind) {
    case 'gateOpened':
    case 'gateClosed':
      return { state: { ...state, gateOpen: event.kind === 'gateOpened' }, actions: [] };
    case 'holdReleased':
      return { state: { ...state, heldOff: false }, actions: [] };
    case 'priorityChanged': {
      const effectivePriority = effectivePriorityOf(state.router, event.effectivePriority);
      return { state: { ...state, effectivePriority }, actions: [] };
    }
    case 'faultRaised': {
      const faulty = { ...state, faults: raiseFault(state.faults, event.reason) };
      const takesPart = state.kind === 'backup' || state.kind === 'active';
      return takesPart ? becomeFault(faulty, nowMs, event.reason) : { state: faulty, actions: [] };
    }
    case 'faultCleared': {
      const cleared = { ...state, faults: clearFault(state.faults, event.reason) };
      const mended = state.kind === 'fault' && cleared.faults.length === 0;
      if (!mended) return { state: cleared, actions: [] };
      return becomeBackup(cleared, nowMs, 'fault-cleared', { fault: event.reason });
    }
  }
  switch (state.kind) {
    case 'initialize':
      return stepInitialize(state, event, nowMs);
    case 'backup':
      return stepBackup(state, event, nowMs);
    case 'active':
      return stepActive(state, event, nowMs);
    case 'fault':
      return stepFault(state, event, nowMs);
  }
}

function stepInitialize(state: InitializeState, event: RouterEvent, nowMs: number): Step {
  if (event.kind === 'configurationChanged') return { state: reconfigured(state, event), actions: [] };
  if (event.kind === 'succession') return continueFrom(state, event.record, nowMs);
  if (event.kind !== 'startup') return { state, actions: [] };
  const { router, effectivePriority, gateOpen, faults } = state;
  const [fault] = faults;
  if (fault !== undefined) return becomeFault(state, nowMs, fault);
  // RFC 9568 section 6.4.1 makes the owner active at once. A backup may hold its addresses by now, so the owner settles
  // as in a preemption; and while the gate is closed (P3) it starts as backup like any other router.
  if (router.priority === ownerPriority && gateOpen) return becomeActive(state, nowMs, 'owner', { rival: undefined });
  // `state MASTER` makes the first wait shorter, one interval instead of three, as in keepalived's vrrp_init_state.
  // That amounts to a preemption, so it needs the open gate too.
  if (router.startAs === 'active' && gateOpen) {
    const intervalMs = router.advertIntervalMs;
    const activeDownTimerAtMs = nowMs + intervalMs + skewTimeMs(effectivePriority, intervalMs);
    return becomeBackup(state, nowMs, 'startup', { activeDownTimerAtMs });
  }
  return becomeBackup(state, nowMs, 'startup');
}

function stepFault(state: FaultState, event: RouterEvent, nowMs: number): Step {
  if (event.kind === 'shutdown') return becomeInitialize(state, nowMs);
  if (event.kind === 'configurationChanged') return { state: reconfigured(state, event), actions: [] };
  return { state, actions: [] };
}

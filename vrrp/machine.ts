// SPDX-License-Identifier: Apache-2.0

import { stepActive } from './active.ts';
import { nextAnnouncementMs } from './announcement.ts';
import { stepBackup } from './backup.ts';
import { continueFrom } from './handover-record.ts';
import type { InitializeState, RouterConfiguration, RouterEvent, RouterState, Step } from './state.ts';
import { skewTimeMs } from './timers.ts';
import { becomeActive, becomeBackup, becomeFault, becomeInitialize, ownerPriority } from './transitions.ts';

/** A virtual router before its startup event. The gate is closed until someone says that the table is a proven copy. */
export function createRouter(config: RouterConfiguration, nowMs: number): RouterState {
  return { kind: 'initialize', config, gateOpen: false, heldOff: false, sinceMs: nowMs };
}

/**
 * RFC 9568 section 6.4 with a lease. Pure: the same arguments give the same result. The caller executes the actions in
 * order, reports every advertisement that has left (`advertisementSent`), and sends a `timer` event at or after
 * `nextDeadline`.
 */
export function step(state: RouterState, event: RouterEvent, nowMs: number): Step {
  // Whatever woke a router whose lease has ended, it has been frozen, starved or mute: peers may have taken over. It
  // says nothing and waits like one that has just come (promise P2).
  if (state.kind === 'active' && nowMs >= state.voiceUntilMs) {
    const lapsed = becomeBackup(state, nowMs, 'lapsed');
    const next = stepLive(lapsed.state, event, nowMs);
    return { state: next.state, actions: [...lapsed.actions, ...next.actions] };
  }
  return stepLive(state, event, nowMs);
}

/** When the next `timer` event is due; undefined when nothing is waited for. */
export function nextDeadline(state: RouterState): number | undefined {
  if (state.kind === 'backup') return state.downAtMs;
  if (state.kind !== 'active') return undefined;
  // Without a sent advertisement the end of settling changes nothing: what is waited for is the confirmation.
  const settledAtMs = state.settling === undefined || state.voiced === undefined ? undefined : state.settling.untilMs;
  return Math.min(
    state.advertiseAtMs,
    state.voiceUntilMs,
    settledAtMs ?? Number.POSITIVE_INFINITY,
    state.holding ? nextAnnouncementMs(state.announcements) : Number.POSITIVE_INFINITY,
  );
}

function stepLive(state: RouterState, event: RouterEvent, nowMs: number): Step {
  // What is the same in every state.
  if (event.kind === 'gateOpened' || event.kind === 'gateClosed') {
    return { state: { ...state, gateOpen: event.kind === 'gateOpened' }, actions: [] };
  }
  if (event.kind === 'holdReleased') return { state: { ...state, heldOff: false }, actions: [] };
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
  if (event.kind === 'configurationChanged') return { state: { ...state, config: event.config }, actions: [] };
  if (event.kind === 'succession') return continueFrom(state, event.record, nowMs);
  if (event.kind !== 'startup') return { state, actions: [] };
  if (!event.interfaceUp) return becomeFault(state, nowMs);
  const { config, gateOpen } = state;
  // RFC 9568 section 6.4.1 makes the owner active at once. It may be coming back to a backup that holds its addresses,
  // so it settles as in a preemption; and while the gate is closed (P3) it waits like any other.
  if (config.priority === ownerPriority && gateOpen) return becomeActive(state, nowMs, 'owner', { rival: undefined });
  // `state MASTER` is a shorter first wait, one interval instead of three, as keepalived's vrrp_init_state has it. It
  // would preempt just the same, so it too needs the open gate.
  if (config.startAs === 'active' && gateOpen) {
    const downAtMs = nowMs + config.intervalMs + skewTimeMs(config.priority, config.intervalMs);
    return becomeBackup(state, nowMs, 'startup', { downAtMs });
  }
  return becomeBackup(state, nowMs, 'startup');
}

function stepFault(state: RouterState, event: RouterEvent, nowMs: number): Step {
  if (event.kind === 'interfaceUp') return becomeBackup(state, nowMs, 'interface-up');
  if (event.kind === 'shutdown') return becomeInitialize(state, nowMs);
  if (event.kind === 'configurationChanged') return { state: { ...state, config: event.config }, actions: [] };
  return { state, actions: [] };
}

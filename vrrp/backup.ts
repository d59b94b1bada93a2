// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../src/lib/ip-address.ts';
import { ownerPriority } from '../src/model/virtual-router.ts';
import type { BackupState, Heard, RouterEvent, Step } from './state.ts';
import { activeDownIntervalMs, skewTimeMs } from './timers.ts';
import { adoptedIntervalMs, becomeActive, becomeInitialize, reconfigured } from './transitions.ts';

/** Timers of an idle process fire 0.1 to 0.4 ms late. Beyond that it stood still, and advertisements may lie unread. */
const latenessMaxMs = 0.5;
/** Enough for one turn of the event loop, which reads them. */
const recheckMs = 2;
/** After longer pauses a skew time comes on top, as of this interval: a whole rack may wake at once. */
const recheckIntervalMaxMs = 10;

type Received = Extract<RouterEvent, { kind: 'advertisementReceived' }>;

/** RFC 9568 section 6.4.2. */
export function stepBackup(state: BackupState, event: RouterEvent, nowMs: number): Step {
  switch (event.kind) {
    case 'shutdown':
      return becomeInitialize(state, nowMs);
    case 'advertisementReceived':
      return event.priority === 0 ? hearResignation(state, event, nowMs) : hearActive(state, event, nowMs);
    case 'timer':
      return nowMs < state.activeDownTimerAtMs ? { state, actions: [] } : activeDown(state, nowMs);
    case 'configurationChanged': {
      const { router } = event;
      const activeAdverIntervalMs = adoptedIntervalMs(router, state.heard?.intervalMs ?? router.advertIntervalMs);
      // A priority that somebody has just set is meant to decide: it ends a hold.
      const heldOff = state.heldOff && router.priority === state.router.priority;
      return { state: { ...reconfigured(state, event), activeAdverIntervalMs, heldOff }, actions: [] };
    }
    default:
      // `startup` is over; nothing is held that could be handed over.
      return { state, actions: [] };
  }
}

function hearActive(state: BackupState, event: Received, nowMs: number): Step {
  const { router, effectivePriority } = state;
  const heard: Heard = {
    source: event.source,
    priority: event.priority,
    intervalMs: event.intervalMs,
    atMs: nowMs,
    resigned: false,
  };
  const lower = event.priority < effectivePriority;
  // keepalived's preempt_delay runs from the first lower-priority advertisement; a better active router stops it.
  const startsDelay = lower && router.preemptDelayMs > 0 && state.preemptDelayUntilMs === undefined;
  const preemptDelayUntilMs = startsDelay
    ? nowMs + router.preemptDelayMs
    : lower
      ? state.preemptDelayUntilMs
      : undefined;
  const activeAdverIntervalMs = adoptedIntervalMs(router, event.intervalMs);
  const activeDownTimerAtMs = nowMs + activeDownIntervalMs(effectivePriority, activeAdverIntervalMs);
  const next: BackupState = {
    ...state,
    heard,
    otherActiveUntilMs: othersActiveUntilMs(state, event.source),
    preemptDelayUntilMs,
    rechecking: false,
  };
  if (lower && mayPreempt(next, nowMs)) {
    if (state.preemptDue) return becomeActive(next, nowMs, 'preempting', { rival: heard });
    // Ignored: the timer is left to run out, and then this router takes over.
    return { state: next, actions: [] };
  }
  return {
    state: { ...next, activeAdverIntervalMs, activeDownTimerAtMs, preemptDue: false },
    actions: startsDelay ? [{ kind: 'note', note: 'preempt-delayed' }] : [],
  };
}

/**
 * The timer becomes the skew time. A router that resigns although another one is heard to be active (it lost a split
 * brain, or is stepping aside) leaves no gap to fill.
 */
function hearResignation(state: BackupState, event: Received, nowMs: number): Step {
  const { router, effectivePriority, heard } = state;
  if (heard !== undefined && heard.source !== event.source && isAlive(state, nowMs)) {
    const otherActiveUntilMs = Number.NEGATIVE_INFINITY;
    return { state: { ...state, otherActiveUntilMs }, actions: [{ kind: 'note', note: 'rival-ignored' }] };
  }
  // A backup about to preempt has not adopted the farewell's interval, yet may use it just as well.
  const advertisedMs = adoptedIntervalMs(router, event.intervalMs);
  const skewMs = skewTimeMs(effectivePriority, Math.min(state.activeAdverIntervalMs, advertisedMs));
  const resigned: Heard = {
    source: event.source,
    priority: 0,
    intervalMs: event.intervalMs,
    atMs: nowMs,
    resigned: true,
  };
  return { state: { ...state, heard: resigned, activeDownTimerAtMs: nowMs + skewMs, rechecking: false }, actions: [] };
}

function activeDown(state: BackupState, nowMs: number): Step {
  const lateMs = nowMs - state.activeDownTimerAtMs;
  if (!state.rechecking && lateMs > latenessMaxMs) {
    const { router, effectivePriority } = state;
    const skewMs = skewTimeMs(effectivePriority, Math.min(lateMs, recheckIntervalMaxMs));
    // A full socket buffer keeps what came first: the active router of the moment may be missing in it.
    const missedUntilMs =
      lateMs > recheckIntervalMaxMs
        ? nowMs + activeDownIntervalMs(effectivePriority, router.advertIntervalMs)
        : state.otherActiveUntilMs;
    const otherActiveUntilMs = Math.max(state.otherActiveUntilMs, missedUntilMs);
    // An advertisement that lay in the socket does not show that its sender is awake, nor has sync had its say about the pause.
    const preemptDue = false;
    return {
      state: {
        ...state,
        otherActiveUntilMs,
        activeDownTimerAtMs: nowMs + recheckMs + skewMs,
        preemptDue,
        rechecking: true,
      },
      actions: [{ kind: 'note', note: 'late-timer' }],
    };
  }
  const { heard } = state;
  // Nobody has been heard since this router began to listen: others may have begun together with it, and of those one
  // must yield before anybody acquires. There is no session yet that the settle time could cost.
  if (heard === undefined) return becomeActive(state, nowMs, 'active-down', { rival: undefined });
  if (!isAlive(state, nowMs)) {
    // The router obeyed last may have been a fast rival of a slow active one, and has yielded to it since.
    const contested = nowMs < state.otherActiveUntilMs ? { rival: undefined } : undefined;
    return becomeActive(state, nowMs, heard.resigned ? 'active-resigned' : 'active-down', contested);
  }
  // An active router that has just fallen silent may be frozen: it could not step down, and its lease outlasts the settle
  // time. So a preemption waits for its next advertisement, at most one interval in which it goes on forwarding. If none
  // comes, this becomes an ordinary takeover when its time is over. The gate may have closed while the timer ran.
  const activeDownTimerAtMs = silentFromMs(state, heard);
  return {
    state: { ...state, activeDownTimerAtMs, rechecking: false, preemptDue: mayPreempt(state, nowMs) },
    actions: [],
  };
}

/** How long routers other than `source` may be active by what they have said. */
function othersActiveUntilMs(state: BackupState, source: IpAddress): number {
  const { heard, otherActiveUntilMs } = state;
  if (heard === undefined || heard.resigned || heard.source === source) return otherActiveUntilMs;
  return Math.max(otherActiveUntilMs, silentFromMs(state, heard));
}

/** Someone else holds the addresses: an advertisement came within its own active down interval, and no resignation. */
function isAlive(state: BackupState, nowMs: number): boolean {
  const { heard } = state;
  return heard !== undefined && !heard.resigned && nowMs < silentFromMs(state, heard);
}

/** When the sender of an advertisement has been silent for an Active_Down_Interval of its own pace. */
function silentFromMs({ router, effectivePriority }: BackupState, { atMs, intervalMs }: Heard): number {
  return atMs + activeDownIntervalMs(effectivePriority, adoptedIntervalMs(router, intervalMs));
}

/** RFC 9568 section 6.1: the owner preempts whatever Preempt_Mode says. Nobody does with an unproven table (P3). */
function mayPreempt(state: BackupState, nowMs: number): boolean {
  const { router, gateOpen, heldOff, preemptDelayUntilMs } = state;
  if (!gateOpen || heldOff) return false;
  if (router.priority === ownerPriority) return true;
  return router.preempt && (preemptDelayUntilMs === undefined || nowMs >= preemptDelayUntilMs);
}

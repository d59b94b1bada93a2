// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../src/lib/ip-address.ts';
import type { BackupState, Heard, RouterEvent, Step } from './state.ts';
import { activeDownIntervalMs, skewTimeMs } from './timers.ts';
import { adoptedIntervalMs, becomeActive, becomeFault, becomeInitialize, ownerPriority } from './transitions.ts';

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
    case 'interfaceDown':
      return becomeFault(state, nowMs);
    case 'advertisementReceived':
      return event.priority === 0 ? hearResignation(state, event, nowMs) : hearActive(state, event, nowMs);
    case 'timer':
      return nowMs < state.downAtMs ? { state, actions: [] } : activeDown(state, nowMs);
    case 'configurationChanged': {
      const { config } = event;
      const activeIntervalMs = adoptedIntervalMs(config, state.heard?.intervalMs ?? config.intervalMs);
      // A priority that somebody has just set is meant to decide: it ends a hold.
      const heldOff = state.heldOff && config.priority === state.config.priority;
      return { state: { ...state, config, activeIntervalMs, heldOff }, actions: [] };
    }
    default:
      // `startup` and `interfaceUp` are true already; nothing is held that could be handed over.
      return { state, actions: [] };
  }
}

function hearActive(state: BackupState, event: Received, nowMs: number): Step {
  const { config } = state;
  const heard: Heard = {
    source: event.source,
    priority: event.priority,
    intervalMs: event.intervalMs,
    atMs: nowMs,
    resigned: false,
  };
  const lower = event.priority < config.priority;
  // keepalived's preempt_delay runs from the first lower-priority advertisement; a better active router stops it.
  const startsDelay = lower && config.preemptDelayMs > 0 && state.preemptAfterMs === undefined;
  const preemptAfterMs = startsDelay ? nowMs + config.preemptDelayMs : lower ? state.preemptAfterMs : undefined;
  const activeIntervalMs = adoptedIntervalMs(config, event.intervalMs);
  const downAtMs = nowMs + activeDownIntervalMs(config.priority, activeIntervalMs);
  const next: BackupState = {
    ...state,
    heard,
    claimedUntilMs: claimOfOthers(state, event.source),
    preemptAfterMs,
    rechecking: false,
  };
  if (lower && mayPreempt(next, nowMs)) {
    if (state.preemptDue) return becomeActive(next, nowMs, 'preempting', { rival: heard });
    // Ignored: the timer is left to run out, and then this router takes over.
    return { state: next, actions: [] };
  }
  return {
    state: { ...next, activeIntervalMs, downAtMs, preemptDue: false },
    actions: startsDelay ? [{ kind: 'note', note: 'preempt-delayed' }] : [],
  };
}

/**
 * The timer becomes the skew time. A router that resigns although another one is heard to be active (it lost a split
 * brain, or is stepping aside) leaves no gap to fill.
 */
function hearResignation(state: BackupState, event: Received, nowMs: number): Step {
  const { config, heard } = state;
  if (heard !== undefined && heard.source !== event.source && isAlive(state, nowMs)) {
    const claimedUntilMs = Number.NEGATIVE_INFINITY;
    return { state: { ...state, claimedUntilMs }, actions: [{ kind: 'note', note: 'rival-ignored' }] };
  }
  // A backup about to preempt has not adopted the farewell's interval, yet may use it just as well.
  const advertisedMs = adoptedIntervalMs(config, event.intervalMs);
  const skewMs = skewTimeMs(config.priority, Math.min(state.activeIntervalMs, advertisedMs));
  const resigned: Heard = {
    source: event.source,
    priority: 0,
    intervalMs: event.intervalMs,
    atMs: nowMs,
    resigned: true,
  };
  return { state: { ...state, heard: resigned, downAtMs: nowMs + skewMs, rechecking: false }, actions: [] };
}

function activeDown(state: BackupState, nowMs: number): Step {
  const lateMs = nowMs - state.downAtMs;
  if (!state.rechecking && lateMs > latenessMaxMs) {
    const { priority, intervalMs } = state.config;
    const skewMs = skewTimeMs(priority, Math.min(lateMs, recheckIntervalMaxMs));
    // A full socket buffer keeps what came first: the active router of the moment may be missing in it.
    const missedUntilMs =
      lateMs > recheckIntervalMaxMs ? nowMs + activeDownIntervalMs(priority, intervalMs) : state.claimedUntilMs;
    const claimedUntilMs = Math.max(state.claimedUntilMs, missedUntilMs);
    // What lies in the socket does not show that its sender is awake, nor has sync had its say about the pause.
    const preemptDue = false;
    return {
      state: { ...state, claimedUntilMs, downAtMs: nowMs + recheckMs + skewMs, preemptDue, rechecking: true },
      actions: [{ kind: 'note', note: 'late-timer' }],
    };
  }
  const { heard, config } = state;
  // Nobody has been heard since this router began to listen: others may have begun together with it, and of those one
  // must yield before anybody acquires. There is no session yet that the settle time could cost.
  if (heard === undefined) return becomeActive(state, nowMs, 'active-down', { rival: undefined });
  if (!isAlive(state, nowMs)) {
    // The router obeyed last may have been a fast rival of a slow active one, and has yielded to it since.
    const contested = nowMs < state.claimedUntilMs ? { rival: undefined } : undefined;
    return becomeActive(state, nowMs, heard.resigned ? 'active-resigned' : 'active-down', contested);
  }
  // An active router that has just fallen silent may be frozen: it could not step down, and its lease outlasts the settle
  // time. So a preemption waits for its next advertisement, at most one interval in which it goes on forwarding. If none
  // comes, this becomes an ordinary takeover when its time is over. The gate may have closed while the timer ran.
  const downAtMs = heard.atMs + activeDownIntervalMs(config.priority, adoptedIntervalMs(config, heard.intervalMs));
  return {
    state: { ...state, downAtMs, rechecking: false, preemptDue: mayPreempt(state, nowMs) },
    actions: [],
  };
}

/** How long routers other than `source` may be active by what they have said. */
function claimOfOthers({ heard, claimedUntilMs, config }: BackupState, source: IpAddress): number {
  if (heard === undefined || heard.resigned || heard.source === source) return claimedUntilMs;
  const intervalMs = adoptedIntervalMs(config, heard.intervalMs);
  return Math.max(claimedUntilMs, heard.atMs + activeDownIntervalMs(config.priority, intervalMs));
}

/** Someone else holds the addresses: an advertisement came within its own active down interval, and no resignation. */
function isAlive(state: BackupState, nowMs: number): boolean {
  const { heard, config } = state;
  if (heard === undefined || heard.resigned) return false;
  const intervalMs = adoptedIntervalMs(config, heard.intervalMs);
  return nowMs < heard.atMs + activeDownIntervalMs(config.priority, intervalMs);
}

/** RFC 9568 section 6.1: the owner preempts whatever Preempt_Mode says. Nobody does with an unproven table (P3). */
function mayPreempt(state: BackupState, nowMs: number): boolean {
  const { config, gateOpen, heldOff, preemptAfterMs } = state;
  if (!gateOpen || heldOff) return false;
  if (config.priority === ownerPriority) return true;
  return config.preempt && (preemptAfterMs === undefined || nowMs >= preemptAfterMs);
}

// SPDX-License-Identifier: Apache-2.0
import { compareIpAddresses, type IpAddress } from '../src/lib/ip-address.ts';
import { adoptedIntervalMs, followSeries, leaseOverMs, mayPreempt, silentFromMs } from './adoption.ts';
import type { BackupState, Heard, RouterEvent, Step } from './state.ts';
import { activeDownIntervalMs, leaseMs, skewTimeMs } from './timers.ts';
import { becomeActive, becomeInitialize, reconfigured } from './transitions.ts';

/**
 * Timers of an idle process fire 0.1 to 0.4 ms late. After a longer delay, unread advertisements may be in the socket.
 */
const latenessMaxMs = 0.5;
/** An advertisement that comes so much later than its interval says, and before a timer, tells of a pause. */
const pauseMs = 100;
/** Long enough for one turn of the event loop, which reads them. */
const recheckMs = 2;
/**
 * The recheck adds the skew time of an interval as long as the delay, at most this one: a whole rack may wake at once.
 */
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
    case 'stoodStill':
      return listenAgain(state, event.forMs, nowMs);
    case 'configurationChanged': {
      const { router } = event;
      // An operator who has just changed the priority wants it to decide, so it ends the hold.
      const heldOff = state.heldOff && router.priority === state.router.priority;
      const next: BackupState = { ...reconfigured(state, event), heldOff };
      const { heard } = next;
      const activeAdverIntervalMs = heard === undefined ? router.advertIntervalMs : adoptedIntervalMs(next, heard);
      return { state: { ...next, activeAdverIntervalMs }, actions: [] };
    }
    default:
      // `startup` has happened already, and a backup holds nothing that it could hand over.
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
  const next: BackupState = {
    ...followSeries(state, heard),
    heard,
    heardBefore: isOther(state.heard, event.source) ? state.heard : state.heardBefore,
    otherActiveUntilMs: othersActiveUntilMs(state, event.source),
    preemptDelayUntilMs,
    rechecking: false,
  };
  if (lower && mayPreempt(next, nowMs)) {
    if (state.preemptDue && isInTime(state, nowMs)) return becomeActive(next, nowMs, 'preempting', { rival: heard });
    if (state.preemptDue) {
      const recheckAtMs = nowMs + recheckMs;
      return { state: { ...next, activeDownTimerAtMs: recheckAtMs, preemptDue: false }, actions: [] };
    }
    // RFC 9568 section 6.4.2: discarded, so that Active_Down_Timer runs out and this router takes over.
    return { state: next, actions: [] };
  }
  const activeAdverIntervalMs = adoptedIntervalMs(next, heard);
  const activeDownTimerAtMs = nowMs + activeDownIntervalMs(effectivePriority, activeAdverIntervalMs);
  return {
    state: { ...next, activeAdverIntervalMs, activeDownTimerAtMs, preemptDue: false },
    actions: startsDelay ? [{ kind: 'note', note: 'preempt-delayed' }] : [],
  };
}

/**
 * RFC 9568 section 6.4.2: Active_Down_Timer becomes the skew time. When another router is known to be active, the one
 * that resigned (after a split brain, or because it was outranked) needs no replacement.
 */
function hearResignation(state: BackupState, event: Received, nowMs: number): Step {
  const { effectivePriority, heard } = state;
  if (heard !== undefined && heard.source !== event.source && isAlive(state, nowMs)) {
    const otherActiveUntilMs = Number.NEGATIVE_INFINITY;
    return { state: { ...state, otherActiveUntilMs }, actions: [{ kind: 'note', note: 'rival-ignored' }] };
  }
  const winner = winnerOver(state, event.source, nowMs);
  if (winner !== undefined) {
    const activeDownTimerAtMs = Math.min(state.activeDownTimerAtMs, silentFromMs(state, winner));
    const next: BackupState = { ...state, heard: winner, heardBefore: undefined, activeDownTimerAtMs };
    return { state: next, actions: [{ kind: 'note', note: 'rival-ignored' }] };
  }
  // A backup that is about to preempt has not adopted the interval of this advertisement, but may use it all the same.
  const skewMs = skewTimeMs(effectivePriority, Math.min(state.activeAdverIntervalMs, event.intervalMs));
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
    // A full socket buffer keeps the oldest datagrams: the router that is active now may be missing from it.
    const missedUntilMs =
      lateMs > recheckIntervalMaxMs
        ? nowMs + activeDownIntervalMs(effectivePriority, router.advertIntervalMs)
        : state.otherActiveUntilMs;
    const otherActiveUntilMs = Math.max(state.otherActiveUntilMs, missedUntilMs);
    // An advertisement that waited in the socket does not prove that its sender is running now, and sync has not yet
    // decided whether the table is still a proven copy after the pause.
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
  // No router has been heard since this one began to listen. Others may have started at the same time, and all but one
  // must yield before any of them acquires the addresses. The settle time harms no session, because there is none yet.
  if (heard === undefined) return becomeActive(state, nowMs, 'active-down', { rival: undefined });
  if (!isAlive(state, nowMs)) {
    // The router heard last may have had a shorter interval than another active one, and may have yielded to it since.
    const otherActive = nowMs < state.otherActiveUntilMs ? { rival: undefined } : undefined;
    // It may have advertised for the first time, and be active under a lease longer than what was adopted from it.
    const unproven = !heard.resigned && nowMs < leaseOverMs(state, heard);
    const contested = unproven ? { rival: heard } : otherActive;
    return becomeActive(state, nowMs, heard.resigned ? 'active-resigned' : 'active-down', contested);
  }
  // An active router that has just fallen silent may be frozen: it could not step down, and its lease outlasts the
  // settle time. So a preemption waits for its next advertisement, at most one interval, during which it goes on
  // forwarding. If none arrives, an ordinary takeover follows at the end of its active down interval. `mayPreempt` is
  // asked again, because the gate may have closed while the timer ran.
  const activeDownTimerAtMs = silentFromMs(state, heard);
  return {
    state: { ...state, activeDownTimerAtMs, rechecking: false, preemptDue: mayPreempt(state, nowMs) },
    actions: [],
  };
}

/**
 * The active router may have stood still for the same time, as it does on one host with this one. If its lease is over it is
 * a backup until its own Active_Down_Interval is over, and would take the role back from a router that took over before. So
 * this router listens for as long as one that has just started. Not where the silence had begun before: a process that
 * stands still time and again would never take over from a dead one.
 */
function listenAgain(state: BackupState, forMs: number, nowMs: number): Step {
  const { heard, effectivePriority, activeAdverIntervalMs } = state;
  const downMs = activeDownIntervalMs(effectivePriority, activeAdverIntervalMs);
  // Two intervals are what is left of a lease when the next advertisement is due.
  const mayHaveLapsed = forMs >= leaseMs(activeAdverIntervalMs) - activeAdverIntervalMs;
  const wasHeard = heard !== undefined && !heard.resigned && nowMs - forMs < heard.atMs + downMs;
  if (!mayHaveLapsed || !wasHeard) return { state, actions: [] };
  const untilMs = nowMs + downMs;
  return {
    // Nobody knows who took over meanwhile, so the takeover settles.
    state: { ...state, activeDownTimerAtMs: untilMs, otherActiveUntilMs: untilMs + downMs, preemptDue: false },
    actions: nowMs < state.activeDownTimerAtMs ? [] : [{ kind: 'note', note: 'late-timer' }],
  };
}

/**
 * Whether an advertisement that is read now comes about one interval after the last one. Otherwise this process may have
 * stood still: the advertisement has waited in the socket and does not prove that its sender is awake, and sync has not
 * yet decided whether the table is still a proven copy.
 */
function isInTime({ router, heard }: BackupState, nowMs: number): boolean {
  if (heard === undefined) return false;
  return nowMs <= heard.atMs + (router.version === 3 ? heard.intervalMs : router.advertIntervalMs) + pauseMs;
}

/**
 * A better router that was heard just before the one that resigns, and is active: its first advertisement may overtake the
 * last one of the router that it preempts, which has made way for it.
 */
function winnerOver(state: BackupState, source: IpAddress, nowMs: number): Heard | undefined {
  const { heard, heardBefore } = state;
  if (heard === undefined || heard.resigned || heard.source !== source) return undefined;
  if (heardBefore === undefined || nowMs >= silentFromMs(state, heardBefore)) return undefined;
  const advantage = heardBefore.priority - heard.priority || compareIpAddresses(heardBefore.source, source);
  return advantage > 0 ? heardBefore : undefined;
}

function isOther(heard: Heard | undefined, source: IpAddress): boolean {
  return heard !== undefined && !heard.resigned && heard.source !== source;
}

/** Until when routers other than `source` may be active, judged by their advertisements. */
function othersActiveUntilMs(state: BackupState, source: IpAddress): number {
  const { heard, otherActiveUntilMs } = state;
  if (heard === undefined || !isOther(heard, source)) return otherActiveUntilMs;
  return Math.max(otherActiveUntilMs, leaseOverMs(state, heard));
}

/** Whether another router is active: it advertised within its own active down interval and has not resigned. */
function isAlive(state: BackupState, nowMs: number): boolean {
  const { heard } = state;
  return heard !== undefined && !heard.resigned && nowMs < silentFromMs(state, heard);
}

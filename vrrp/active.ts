// SPDX-License-Identifier: Apache-2.0
import { compareIpAddresses } from '../src/lib/ip-address.ts';
import { addressesOf } from '../src/model/virtual-router.ts';
import { dueAnnouncements } from './announcement.ts';
import type { ActiveState, RouterAction, RouterConfiguration, RouterEvent, Step } from './state.ts';
import { leaseMs } from './timers.ts';
import {
  acquire,
  advertise,
  announceAll,
  announceTakeover,
  becomeBackup,
  reconfigured,
  repeatGapMs,
  resign,
  settleMs,
  startSettling,
} from './transitions.ts';

/** A first advertisement confirmed for a moment this close to the transition is the one sent with it. */
const promptMs = 1;

type Received = Extract<RouterEvent, { kind: 'advertisementReceived' }>;
type Sent = Extract<RouterEvent, { kind: 'advertisementSent' }>;

/** RFC 9568 section 6.4.3. The caller has made sure that the lease has not ended. */
export function stepActive(state: ActiveState, event: RouterEvent, nowMs: number): Step {
  switch (event.kind) {
    case 'shutdown':
      return resign(state, nowMs, 'shutdown');
    case 'handoverRequested':
      return resign(state, nowMs, 'handover');
    case 'advertisementReceived':
      if (event.priority === 0) return hearResignation(state, event, nowMs);
      return outranks(event, state) ? stepDown(state, event, nowMs, 'outranked') : hearRival(state, event, nowMs);
    case 'advertisementSent':
      return extendLease(state, event, nowMs);
    case 'timer':
      return timer(state, nowMs);
    case 'configurationChanged':
      return reconfigure(state, event, nowMs);
    default:
      return { state, actions: [] };
  }
}

function outranks(event: Received, { effectivePriority, primaryAddress }: ActiveState): boolean {
  if (event.priority !== effectivePriority) return event.priority > effectivePriority;
  return compareIpAddresses(event.source, primaryAddress) > 0;
}

function stepDown(state: ActiveState, event: Received, nowMs: number, reason: 'outranked' | 'cannot-advertise'): Step {
  const { source, priority, intervalMs } = event;
  const next = becomeBackup(state, nowMs, reason, {
    heard: { source, priority, intervalMs, atMs: nowMs, resigned: false },
  });
  if (reason === 'cannot-advertise' || !state.holding) return next;
  // The better router may never have heard this one, after a split that has healed, and the switches still send its
  // addresses here: the farewell makes it announce them again. One that preempts need not wait any longer.
  const farewell: RouterAction = { kind: 'sendAdvertisement', priority: 0, intervalMs: state.router.advertIntervalMs };
  const actions = [...next.actions];
  actions.splice(actions.length - 1, 0, farewell);
  return { state: next.state, actions };
}

/**
 * RFC 9568 section 6.4.3: answer, and begin another interval. It may be the router this one waits for. One that was active
 * beside this one has told the switches so: announce again.
 */
function hearResignation(state: ActiveState, event: Received, nowMs: number): Step {
  const { router, settling } = state;
  const settled =
    settling !== undefined && settling.rival === event.source
      ? { ...settling, untilMs: nowMs, repeatsLeft: 0 }
      : settling;
  const next: ActiveState = { ...state, settling: settled, adverTimerAtMs: nowMs + router.advertIntervalMs };
  if (!next.holding) return append([advertise(next)], acquireWhenReady(next, nowMs));
  const { announcements, actions } = announceTakeover(router, nowMs);
  return { state: { ...next, announcements }, actions: [advertise(next), ...actions] };
}

/**
 * Another router is active too and must yield. Version 3 tells it at once (RFC 9568 section 6.4.3), version 2 discards
 * in silence (RFC 3768 section 6.4.3). It has told the switches that the addresses are there: announce again.
 */
function hearRival(state: ActiveState, event: Received, nowMs: number): Step {
  const { router, settling } = state;
  // Nothing of this router has got out, so nobody could have yielded to it: it is the one to yield.
  const unheard = state.lastAdvertisementSent === undefined && nowMs - state.sinceMs > settleMs;
  if (unheard) return stepDown(state, event, nowMs, 'cannot-advertise');
  const answer: RouterAction[] = router.version === 3 ? [advertise(state)] : [];
  const note: RouterAction = { kind: 'note', note: router.version === 3 ? 'rival-answered' : 'rival-ignored' };
  if (state.holding) {
    const { announcements, actions } = announceTakeover(router, nowMs);
    return { state: { ...state, announcements }, actions: [...answer, ...actions, note] };
  }
  // It has not heard us yet, so it has not stepped down either.
  const waiting = settling ?? startSettling(router, nowMs, undefined);
  const untilMs = Math.min(Math.max(waiting.untilMs, nowMs + settleMs), waiting.limitMs);
  const extended = { ...waiting, untilMs, rival: event.source };
  return { state: { ...state, settling: extended }, actions: [...answer, { kind: 'note', note: 'settling-extended' }] };
}

function extendLease(state: ActiveState, event: Sent, nowMs: number): Step {
  // Farewells earn nothing, nor does what was sent before this time of being active, nor an older one after a newer.
  const floorMs = state.lastAdvertisementSent?.atMs ?? state.sinceMs;
  if (event.priority === 0 || event.sentAtMs < floorMs) return { state, actions: [] };
  // After a change of the interval a backup that missed this advertisement still waits at the former pace.
  const intervalMs = Math.min(event.intervalMs, state.lastAdvertisementSent?.intervalMs ?? event.intervalMs);
  const leaseUntilMs = event.sentAtMs + leaseMs(intervalMs);
  if (leaseUntilMs <= nowMs) return { state, actions: [] };
  const lastAdvertisementSent = { atMs: event.sentAtMs, intervalMs: event.intervalMs };
  const next: ActiveState = { ...state, lastAdvertisementSent, leaseUntilMs };
  if (next.holding) return { state: next, actions: [{ kind: 'grantLease', untilMs: leaseUntilMs }] };
  return acquireWhenReady(
    state.lastAdvertisementSent === undefined ? settleFromFirstSent(next, event.sentAtMs) : next,
    nowMs,
  );
}

/**
 * Settling is time to be heard in. A router whose first advertisements failed has been heard by nobody, and while it was
 * mute another one may have taken over.
 */
function settleFromFirstSent(state: ActiveState, sentAtMs: number): ActiveState {
  const { router, settling, sinceMs } = state;
  const lateMs = sentAtMs - sinceMs;
  if (lateMs <= promptMs) return state;
  const fresh = startSettling(router, sentAtMs, undefined);
  const adverTimerAtMs = Math.min(state.adverTimerAtMs, sentAtMs + repeatGapMs(router));
  return { ...state, settling: { ...fresh, rival: settling?.rival }, adverTimerAtMs };
}

function timer(state: ActiveState, nowMs: number): Step {
  const { router } = state;
  let next = state;
  const actions: RouterAction[] = [];
  if (next.adverTimerAtMs <= nowMs) {
    actions.push(advertise(next));
    next = rearmAdvertisement(next, nowMs);
  }
  if (next.holding) {
    const { due, schedule } = dueAnnouncements(next.announcements, addressesOf(router), router.announcement, nowMs);
    actions.push(...announceAll(due));
    return { state: { ...next, announcements: schedule }, actions };
  }
  return append(actions, acquireWhenReady(next, nowMs));
}

/** On a fixed cadence, so that a late timer does not shift all that follow; after a pause no burst makes up for it. */
function rearmAdvertisement(state: ActiveState, nowMs: number): ActiveState {
  const { router, settling } = state;
  if (settling !== undefined && settling.repeatsLeft > 1) {
    const repeats = { ...settling, repeatsLeft: settling.repeatsLeft - 1 };
    return { ...state, settling: repeats, adverTimerAtMs: nowMs + repeatGapMs(router) };
  }
  const rested = settling === undefined ? undefined : { ...settling, repeatsLeft: 0 };
  const onCadenceMs = state.adverTimerAtMs + router.advertIntervalMs;
  return {
    ...state,
    settling: rested,
    adverTimerAtMs: onCadenceMs > nowMs ? onCadenceMs : nowMs + router.advertIntervalMs,
  };
}

function acquireWhenReady(state: ActiveState, nowMs: number): Step {
  const settled = state.settling === undefined || state.settling.untilMs <= nowMs;
  if (state.holding || !settled || state.lastAdvertisementSent === undefined) return { state, actions: [] };
  return acquire(state, nowMs);
}

/** A reload. The backups learn the priority and interval at once; addresses come and go in place. */
function reconfigure(state: ActiveState, configuration: RouterConfiguration, nowMs: number): Step {
  const next = reconfigured(state, configuration);
  const [formerMs, intervalMs] = [state.router.advertIntervalMs, next.router.advertIntervalMs];
  const [former, addresses] = [addressesOf(state.router), addressesOf(next.router)];
  const removed = former.filter((address) => !addresses.includes(address));
  const added = addresses.filter((address) => !former.includes(address));
  const told = state.effectivePriority !== next.effectivePriority || formerMs !== intervalMs;
  const resend = told || removed.length > 0 || added.length > 0;
  const actions: RouterAction[] = resend ? [advertise(next)] : [];
  const adverTimerAtMs = resend ? nowMs + Math.min(formerMs, intervalMs) : state.adverTimerAtMs;
  const timed: ActiveState = { ...next, adverTimerAtMs };
  if (!state.holding) return { state: timed, actions };
  if (removed.length > 0) actions.push({ kind: 'releaseAddresses', addresses: removed });
  if (added.length === 0) return { state: { ...timed, announcements: { ...timed.announcements, queue: [] } }, actions };
  actions.push({ kind: 'acquireAddresses', addresses: added });
  const { announcements, actions: announcing } = announceTakeover(next.router, nowMs);
  return { state: { ...timed, announcements }, actions: [...actions, ...announcing] };
}

function append(actions: readonly RouterAction[], step: Step): Step {
  return { state: step.state, actions: [...actions, ...step.actions] };
}

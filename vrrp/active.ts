// SPDX-License-Identifier: Apache-2.0
import { compareIpAddresses } from '../src/lib/ip-address.ts';
import { addressesOf } from '../src/model/virtual-router.ts';
import { dueAnnouncements } from './announcement.ts';
import { type ContestKind, retort } from './contest.ts';
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

/** A first advertisement sent within this time after the transition to active was not delayed by failed sends. */
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
  // After a healed partition the better router may never have heard this one, and the switches still send traffic for
  // the addresses here: priority 0 makes it announce them again. A router that is preempting need not wait any longer.
  const farewell: RouterAction = { kind: 'sendAdvertisement', priority: 0, intervalMs: state.router.advertIntervalMs };
  const actions = [...next.actions];
  actions.splice(actions.length - 1, 0, farewell);
  return { state: next.state, actions };
}

/**
 * RFC 9568 section 6.4.3: answer with an advertisement and restart Adver_Timer. If the sender is the router whose
 * resignation this one waits for, settling ends. The sender was active too and has announced the addresses to the
 * switches, so this router announces them again. Both happen as often as `retort` allows: anybody can send priority 0.
 */
function hearResignation(state: ActiveState, event: Received, nowMs: number): Step {
  const { router, settling } = state;
  const settled =
    settling !== undefined && settling.rival === event.source
      ? { ...settling, untilMs: nowMs, repeatsLeft: 0 }
      : settling;
  const { state: next, answers, actions } = retortTo('resignation', { ...state, settling: settled }, event, nowMs);
  if (!answers) return append(actions, acquireWhenReady(next, nowMs));
  const answered: ActiveState = { ...next, adverTimerAtMs: nowMs + router.advertIntervalMs };
  return append([advertise(answered), ...actions], acquireWhenReady(answered, nowMs));
}

/**
 * Another router is active too and must yield. Version 3 answers it at once (RFC 9568 section 6.4.3), version 2
 * discards its advertisement (RFC 3768 section 6.4.3). It has announced the addresses to the switches, so announce
 * them again. How often either happens is bounded by `retort`.
 */
function hearRival(state: ActiveState, event: Received, nowMs: number): Step {
  const { router, settling } = state;
  // No advertisement of this router has left, so the other one could not have yielded to it: this router yields.
  const unheard = state.lastAdvertisementSent === undefined && nowMs - state.sinceMs > settleMs;
  if (unheard) return stepDown(state, event, nowMs, 'cannot-advertise');
  const { state: next, answers, actions } = retortTo('rival', state, event, nowMs);
  const answer: RouterAction[] = router.version === 3 && answers ? [advertise(state)] : [];
  const note: RouterAction = { kind: 'note', note: router.version === 3 ? 'rival-answered' : 'rival-ignored' };
  if (state.holding) return { state: next, actions: [...answer, ...actions, note] };
  // The other router has not heard this one yet, so it has not stepped down either.
  const waiting = settling ?? startSettling(router, nowMs, undefined);
  const untilMs = Math.min(Math.max(waiting.untilMs, nowMs + settleMs), waiting.limitMs);
  const extended = { ...waiting, untilMs, rival: event.source };
  return { state: { ...next, settling: extended }, actions: [...answer, { kind: 'note', note: 'settling-extended' }] };
}

/** The state after one more datagram of this kind, whether it is answered, and the announcements that follow at once. */
function retortTo(
  kind: ContestKind,
  state: ActiveState,
  sender: Received,
  nowMs: number,
): { readonly state: ActiveState; readonly answers: boolean; readonly actions: readonly RouterAction[] } {
  const { router } = state;
  const { answers, announces, contest } = retort(
    state.contest[kind],
    { advertIntervalMs: router.advertIntervalMs, holding: state.holding },
    sender,
    nowMs,
  );
  const next = { ...state, contest: { ...state.contest, [kind]: contest } };
  if (!state.holding) return { state: next, answers, actions: [] };
  if (announces) {
    const { announcements, actions } = announceTakeover(router, nowMs);
    return { state: { ...next, announcements }, answers, actions };
  }
  const secondSetAtMs = Math.min(state.announcements.secondSetAtMs ?? Number.POSITIVE_INFINITY, contest.announcesAtMs);
  return { state: { ...next, announcements: { ...state.announcements, secondSetAtMs } }, answers, actions: [] };
}

function extendLease(state: ActiveState, event: Sent, nowMs: number): Step {
  // No lease comes from priority 0, from an advertisement older than the transition to active, or from one that is
  // confirmed after a later one.
  const floorMs = state.lastAdvertisementSent?.atMs ?? state.sinceMs;
  if (event.priority === 0 || event.sentAtMs < floorMs) return { state, actions: [] };
  // After a change of the interval, a backup that missed this advertisement still uses the former interval.
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
 * The settle time lets the other routers hear this one. If the first advertisements could not be sent, nobody has heard
 * them, and another router may have taken over meanwhile: the settle time starts with the first one that was sent.
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

/** On a fixed cadence, so that one late timer does not delay all later ones. A pause is not made up for by a burst. */
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

/**
 * A reload. The new priority and interval are advertised at once; addresses are added and removed without a
 * transition.
 */
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

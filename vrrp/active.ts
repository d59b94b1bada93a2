// SPDX-License-Identifier: Apache-2.0
import { compareIpAddresses } from '../src/lib/ip-address.ts';
import { dueAnnouncements, startAnnouncing } from './announcement.ts';
import type { ActiveState, RouterAction, RouterConfiguration, RouterEvent, Step } from './state.ts';
import { leaseMs } from './timers.ts';
import {
  acquire,
  advertise,
  announceAll,
  becomeBackup,
  becomeFault,
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
    case 'interfaceDown':
      return becomeFault(state, nowMs);
    case 'advertisementReceived':
      if (event.priority === 0) return hearResignation(state, event, nowMs);
      return outranks(event, state.config)
        ? stepDown(state, event, nowMs, 'outranked')
        : hearRival(state, event, nowMs);
    case 'advertisementSent':
      return extendLease(state, event, nowMs);
    case 'timer':
      return timer(state, nowMs);
    case 'configurationChanged':
      return reconfigure(state, event.config, nowMs);
    default:
      return { state, actions: [] };
  }
}

function outranks(event: Received, config: RouterConfiguration): boolean {
  if (event.priority !== config.priority) return event.priority > config.priority;
  return compareIpAddresses(event.source, config.primaryAddress) > 0;
}

function stepDown(state: ActiveState, event: Received, nowMs: number, reason: 'outranked' | 'mute'): Step {
  const { source, priority, intervalMs } = event;
  const { config } = state;
  const next = becomeBackup(state, nowMs, reason, {
    heard: { source, priority, intervalMs, atMs: nowMs, resigned: false },
  });
  if (reason === 'mute' || !state.holding) return next;
  // The better router may never have heard this one, after a split that has healed, and the switches still send its
  // addresses here: the farewell makes it announce them again. One that preempts need not wait any longer.
  const farewell: RouterAction = { kind: 'sendAdvertisement', priority: 0, intervalMs: config.intervalMs };
  const actions = [...next.actions];
  actions.splice(actions.length - 1, 0, farewell);
  return { state: next.state, actions };
}

/**
 * RFC 9568 section 6.4.3: answer, and begin the interval anew. It may be the router this one waits for. One that was active
 * beside this one has told the switches so: announce again.
 */
function hearResignation(state: ActiveState, event: Received, nowMs: number): Step {
  const { config, settling } = state;
  const settled =
    settling !== undefined && settling.rival === event.source
      ? { ...settling, untilMs: nowMs, repeatsLeft: 0 }
      : settling;
  const next: ActiveState = { ...state, settling: settled, advertiseAtMs: nowMs + config.intervalMs };
  if (!next.holding) return append([advertise(config)], acquireWhenReady(next, nowMs));
  const started = startAnnouncing(config.addresses, config.announcement, nowMs);
  const { due, schedule } = dueAnnouncements(started, config.addresses, config.announcement, nowMs);
  return { state: { ...next, announcements: schedule }, actions: [advertise(config), ...announceAll(due)] };
}

/**
 * Another router is active too and must yield. Version 3 tells it at once (RFC 9568 section 6.4.3), version 2 discards
 * in silence (RFC 3768 section 6.4.3). Whoever was active beside this one has told the switches so: announce again.
 */
function hearRival(state: ActiveState, event: Received, nowMs: number): Step {
  const { config, settling } = state;
  // Nothing of this router has got out, so nobody could have yielded to it: it is the one to yield.
  const mute = state.voiced === undefined && nowMs - state.sinceMs > settleMs;
  if (mute) return stepDown(state, event, nowMs, 'mute');
  const answer: RouterAction[] = config.version === 3 ? [advertise(config)] : [];
  const note: RouterAction = { kind: 'note', note: config.version === 3 ? 'rival-answered' : 'rival-ignored' };
  if (state.holding) {
    const started = startAnnouncing(config.addresses, config.announcement, nowMs);
    const { due, schedule } = dueAnnouncements(started, config.addresses, config.announcement, nowMs);
    return { state: { ...state, announcements: schedule }, actions: [...answer, ...announceAll(due), note] };
  }
  // It has not heard us yet, so it has not stepped down either.
  const waiting = settling ?? startSettling(config, nowMs, undefined);
  const untilMs = Math.min(Math.max(waiting.untilMs, nowMs + settleMs), waiting.limitMs);
  const extended = { ...waiting, untilMs, rival: event.source };
  return { state: { ...state, settling: extended }, actions: [...answer, { kind: 'note', note: 'settling-extended' }] };
}

function extendLease(state: ActiveState, event: Sent, nowMs: number): Step {
  // Farewells earn nothing, nor does what was sent before this time of being active, nor an older one after a newer.
  const floorMs = state.voiced?.atMs ?? state.sinceMs;
  if (event.priority === 0 || event.sentAtMs < floorMs) return { state, actions: [] };
  // After a change of the interval a backup that missed this advertisement still waits at the former pace.
  const intervalMs = Math.min(event.intervalMs, state.voiced?.intervalMs ?? event.intervalMs);
  const voiceUntilMs = event.sentAtMs + leaseMs(intervalMs);
  if (voiceUntilMs <= nowMs) return { state, actions: [] };
  const voiced = { atMs: event.sentAtMs, intervalMs: event.intervalMs };
  const next: ActiveState = { ...state, voiced, voiceUntilMs };
  if (next.holding) return { state: next, actions: [{ kind: 'grantLease', untilMs: voiceUntilMs }] };
  return acquireWhenReady(state.voiced === undefined ? settleFromFirstVoice(next, event.sentAtMs) : next, nowMs);
}

/**
 * Settling is time to be heard in. A router whose first advertisements failed has been heard by nobody, and while it was
 * mute another one may have taken over.
 */
function settleFromFirstVoice(state: ActiveState, sentAtMs: number): ActiveState {
  const { config, settling, sinceMs } = state;
  const lateMs = sentAtMs - sinceMs;
  if (lateMs <= promptMs) return state;
  const fresh = startSettling(config, sentAtMs, undefined);
  const advertiseAtMs = Math.min(state.advertiseAtMs, sentAtMs + repeatGapMs(config));
  return { ...state, settling: { ...fresh, rival: settling?.rival }, advertiseAtMs };
}

function timer(state: ActiveState, nowMs: number): Step {
  const { config } = state;
  let next = state;
  const actions: RouterAction[] = [];
  if (next.advertiseAtMs <= nowMs) {
    actions.push(advertise(config));
    next = rearmAdvertisement(next, nowMs);
  }
  if (next.holding) {
    const { due, schedule } = dueAnnouncements(next.announcements, config.addresses, config.announcement, nowMs);
    actions.push(...announceAll(due));
    return { state: { ...next, announcements: schedule }, actions };
  }
  return append(actions, acquireWhenReady(next, nowMs));
}

/** On a fixed cadence, so that a late timer does not shift all that follow; after a pause no burst makes up for it. */
function rearmAdvertisement(state: ActiveState, nowMs: number): ActiveState {
  const { config, settling } = state;
  if (settling !== undefined && settling.repeatsLeft > 1) {
    const repeats = { ...settling, repeatsLeft: settling.repeatsLeft - 1 };
    return { ...state, settling: repeats, advertiseAtMs: nowMs + repeatGapMs(config) };
  }
  const rested = settling === undefined ? undefined : { ...settling, repeatsLeft: 0 };
  const onCadenceMs = state.advertiseAtMs + config.intervalMs;
  return {
    ...state,
    settling: rested,
    advertiseAtMs: onCadenceMs > nowMs ? onCadenceMs : nowMs + config.intervalMs,
  };
}

function acquireWhenReady(state: ActiveState, nowMs: number): Step {
  const settled = state.settling === undefined || state.settling.untilMs <= nowMs;
  if (state.holding || !settled || state.voiced === undefined) return { state, actions: [] };
  return acquire(state, nowMs);
}

/** A reload. The backups learn the priority and interval at once; addresses come and go in place. */
function reconfigure(state: ActiveState, config: RouterConfiguration, nowMs: number): Step {
  const before = state.config;
  const removed = before.addresses.filter((address) => !config.addresses.includes(address));
  const added = config.addresses.filter((address) => !before.addresses.includes(address));
  const told = before.priority !== config.priority || before.intervalMs !== config.intervalMs;
  const resend = told || removed.length > 0 || added.length > 0;
  const actions: RouterAction[] = resend ? [advertise(config)] : [];
  const advertiseAtMs = resend ? nowMs + Math.min(before.intervalMs, config.intervalMs) : state.advertiseAtMs;
  const next: ActiveState = { ...state, config, advertiseAtMs };
  if (!state.holding) return { state: next, actions };
  if (removed.length > 0) actions.push({ kind: 'releaseAddresses', addresses: removed });
  if (added.length === 0) return { state: { ...next, announcements: { ...next.announcements, queue: [] } }, actions };
  actions.push({ kind: 'acquireAddresses', addresses: added });
  const started = startAnnouncing(config.addresses, config.announcement, nowMs);
  const { due, schedule } = dueAnnouncements(started, config.addresses, config.announcement, nowMs);
  actions.push(...announceAll(due));
  return { state: { ...next, announcements: schedule }, actions };
}

function append(actions: readonly RouterAction[], step: Step): Step {
  return { state: step.state, actions: [...actions, ...step.actions] };
}

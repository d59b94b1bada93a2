// SPDX-License-Identifier: Apache-2.0
import { addressesOf } from '../src/model/virtual-router.ts';
import { noAnnouncements } from './announcement.ts';
import { uncontested } from './contest.ts';
import type {
  ActiveHandoverRecord,
  ActiveState,
  BackupHandoverRecord,
  BackupState,
  HandoverRecord,
  InitializeState,
  RouterAction,
  RouterState,
  Step,
} from './state.ts';
import { activeDownIntervalMs, leaseMs } from './timers.ts';
import {
  advertise,
  announceTakeover,
  becomeBackup,
  becomeFault,
  commonOf,
  repeatGapMs,
  settleMs,
} from './transitions.ts';

// A virtual router continues in another process on the same host, and so on the same clock: the daemon was restarted.

/** The record from which a successor continues; undefined in a state that a successor enters by an ordinary startup. */
export function handoverRecordOf(state: RouterState): HandoverRecord | undefined {
  if (state.kind === 'active') {
    const { sinceMs, leaseUntilMs, lastAdvertisementSent = null, settling, holding } = state;
    const { untilMs = 0, limitMs = 0, rival = null } = settling ?? {};
    const unsettled = settling === undefined ? null : { untilMs, limitMs, rival };
    return { kind: 'active', sinceMs, leaseUntilMs, lastAdvertisementSent, settling: unsettled, holding };
  }
  if (state.kind !== 'backup') return undefined;
  const {
    sinceMs,
    heldOff,
    activeDownTimerAtMs,
    activeAdverIntervalMs,
    heard = null,
    preemptDelayUntilMs = null,
  } = state;
  const otherActiveUntilMs = Number.isFinite(state.otherActiveUntilMs) ? state.otherActiveUntilMs : null;
  return {
    kind: 'backup',
    sinceMs,
    heldOff,
    activeDownTimerAtMs,
    activeAdverIntervalMs,
    heard,
    otherActiveUntilMs,
    preemptDelayUntilMs,
  };
}

/** initialize -> active | backup, whichever the predecessor was. After the lease has ended it is backup, as always. */
export function continueFrom(state: InitializeState, record: HandoverRecord, nowMs: number): Step {
  const [fault] = state.faults;
  if (record.kind === 'backup') {
    return fault === undefined ? continueAsBackup(state, record, nowMs) : becomeFault(state, nowMs, fault);
  }
  if (fault === undefined && nowMs < record.leaseUntilMs) return continueAsActive(state, record, nowMs);
  const next = fault === undefined ? becomeBackup(state, nowMs, 'lease-expired') : becomeFault(state, nowMs, fault);
  const released: RouterAction = { kind: 'releaseAddresses', addresses: addressesOf(state.router) };
  return { state: next.state, actions: [{ kind: 'revokeLease' }, released, ...next.actions] };
}

/**
 * Advertises at once, because the predecessor may have been silent for a while. Each time of the record is limited to
 * the latest that its rule allows.
 */
function continueAsActive(from: InitializeState, record: ActiveHandoverRecord, nowMs: number): Step {
  const { router } = from;
  const { lastAdvertisementSent, settling, holding } = record;
  const pace = Math.max(router.advertIntervalMs, lastAdvertisementSent?.intervalMs ?? 0);
  const announcing = holding ? announceTakeover(router, nowMs) : { announcements: noAnnouncements, actions: [] };
  const state: ActiveState = {
    ...commonOf(from),
    kind: 'active',
    heldOff: false,
    sinceMs: Math.min(record.sinceMs, nowMs),
    adverTimerAtMs: nowMs + (holding ? router.advertIntervalMs : repeatGapMs(router)),
    leaseUntilMs: Math.min(record.leaseUntilMs, nowMs + leaseMs(pace)),
    lastAdvertisementSent:
      lastAdvertisementSent === null
        ? undefined
        : { ...lastAdvertisementSent, atMs: Math.min(lastAdvertisementSent.atMs, nowMs) },
    settling:
      settling === null || holding
        ? undefined
        : {
            untilMs: Math.min(settling.untilMs, nowMs + settleMs),
            limitMs: Math.min(settling.limitMs, nowMs + settleMs + leaseMs(pace)),
            rival: settling.rival ?? undefined,
            repeatsLeft: 1,
          },
    holding,
    announcements: announcing.announcements,
    contest: uncontested,
  };
  const held: RouterAction[] = [
    { kind: 'grantLease', untilMs: state.leaseUntilMs },
    { kind: 'acquireAddresses', addresses: addressesOf(router) },
    ...announcing.actions,
  ];
  const succeeded: RouterAction = { kind: 'notify', from: 'initialize', to: 'active', reason: 'succession' };
  return { state, actions: [advertise(state), ...(holding ? held : []), succeeded] };
}

function continueAsBackup(from: InitializeState, record: BackupHandoverRecord, nowMs: number): Step {
  const { heard, activeAdverIntervalMs, otherActiveUntilMs, preemptDelayUntilMs } = record;
  const state: BackupState = {
    ...commonOf(from),
    kind: 'backup',
    heldOff: record.heldOff,
    sinceMs: Math.min(record.sinceMs, nowMs),
    activeDownTimerAtMs: Math.min(
      record.activeDownTimerAtMs,
      nowMs + activeDownIntervalMs(from.effectivePriority, activeAdverIntervalMs),
    ),
    activeAdverIntervalMs,
    heard: heard === null ? undefined : { ...heard, atMs: Math.min(heard.atMs, nowMs) },
    heardBefore: undefined,
    otherActiveUntilMs:
      otherActiveUntilMs === null
        ? Number.NEGATIVE_INFINITY
        : Math.min(otherActiveUntilMs, nowMs + activeDownIntervalMs(1, activeAdverIntervalMs)),
    preemptDelayUntilMs:
      preemptDelayUntilMs === null ? undefined : Math.min(preemptDelayUntilMs, nowMs + from.router.preemptDelayMs),
    preemptDue: false,
    rechecking: false,
  };
  return { state, actions: [{ kind: 'notify', from: 'initialize', to: 'backup', reason: 'succession' }] };
}

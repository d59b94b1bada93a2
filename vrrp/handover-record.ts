// SPDX-License-Identifier: Apache-2.0
import { dueAnnouncements, noAnnouncements, startAnnouncing } from './announcement.ts';
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
import { advertise, announceAll, becomeBackup, repeatGapMs, settleMs } from './transitions.ts';

// A virtual router goes on in another process, on the same host and clock: a restarted daemon succeeds the one before.

/** Where a successor goes on; undefined where it starts like any other. */
export function handoverRecordOf(state: RouterState): HandoverRecord | undefined {
  if (state.kind === 'active') {
    const { sinceMs, voiceUntilMs, voiced = null, settling, holding } = state;
    const { untilMs = 0, limitMs = 0, rival = null } = settling ?? {};
    const unsettled = settling === undefined ? null : { untilMs, limitMs, rival };
    return { kind: 'active', sinceMs, voiceUntilMs, voiced, settling: unsettled, holding };
  }
  if (state.kind !== 'backup') return undefined;
  const { sinceMs, heldOff, downAtMs, activeIntervalMs, heard = null, preemptAfterMs = null } = state;
  const claimedUntilMs = Number.isFinite(state.claimedUntilMs) ? state.claimedUntilMs : null;
  return { kind: 'backup', sinceMs, heldOff, downAtMs, activeIntervalMs, heard, claimedUntilMs, preemptAfterMs };
}

/** initialize -> active | backup, where the predecessor stood. One whose lease has ended waits as backup, as always. */
export function continueFrom(state: InitializeState, record: HandoverRecord, nowMs: number): Step {
  if (record.kind === 'backup') return continueAsBackup(state, record, nowMs);
  if (nowMs < record.voiceUntilMs) return continueAsActive(state, record, nowMs);
  const lapsed = becomeBackup(state, nowMs, 'lapsed');
  const released: RouterAction = { kind: 'releaseAddresses', addresses: state.config.addresses };
  return { state: lapsed.state, actions: [{ kind: 'revokeLease' }, released, ...lapsed.actions] };
}

/** Advertises at once: nobody knows how long the predecessor has been silent. No time may lie further than its rule allows. */
function continueAsActive({ config, gateOpen }: InitializeState, record: ActiveHandoverRecord, nowMs: number): Step {
  const { voiced, settling, holding } = record;
  const pace = voiced === null ? config.intervalMs : Math.max(config.intervalMs, voiced.intervalMs);
  const announcing = holding ? startAnnouncing(config.addresses, config.announcement, nowMs) : noAnnouncements;
  const { due, schedule } = dueAnnouncements(announcing, config.addresses, config.announcement, nowMs);
  const state: ActiveState = {
    kind: 'active',
    config,
    gateOpen,
    heldOff: false,
    sinceMs: Math.min(record.sinceMs, nowMs),
    advertiseAtMs: nowMs + (holding ? config.intervalMs : repeatGapMs(config)),
    voiceUntilMs: Math.min(record.voiceUntilMs, nowMs + leaseMs(pace)),
    voiced: voiced === null ? undefined : { ...voiced, atMs: Math.min(voiced.atMs, nowMs) },
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
    announcements: schedule,
  };
  const held: RouterAction[] = [
    { kind: 'grantLease', untilMs: state.voiceUntilMs },
    { kind: 'acquireAddresses', addresses: config.addresses },
    ...announceAll(due),
  ];
  const succeeded: RouterAction = { kind: 'notify', from: 'initialize', to: 'active', reason: 'succession' };
  return { state, actions: [advertise(config), ...(holding ? held : []), succeeded] };
}

function continueAsBackup({ config, gateOpen }: InitializeState, record: BackupHandoverRecord, nowMs: number): Step {
  const { heard, activeIntervalMs, claimedUntilMs, preemptAfterMs } = record;
  const state: BackupState = {
    kind: 'backup',
    config,
    gateOpen,
    heldOff: record.heldOff,
    sinceMs: Math.min(record.sinceMs, nowMs),
    downAtMs: Math.min(record.downAtMs, nowMs + activeDownIntervalMs(config.priority, activeIntervalMs)),
    activeIntervalMs,
    heard: heard === null ? undefined : { ...heard, atMs: Math.min(heard.atMs, nowMs) },
    claimedUntilMs:
      claimedUntilMs === null
        ? Number.NEGATIVE_INFINITY
        : Math.min(claimedUntilMs, nowMs + activeDownIntervalMs(1, activeIntervalMs)),
    preemptAfterMs: preemptAfterMs === null ? undefined : Math.min(preemptAfterMs, nowMs + config.preemptDelayMs),
    preemptDue: false,
    rechecking: false,
  };
  return { state, actions: [{ kind: 'notify', from: 'initialize', to: 'backup', reason: 'succession' }] };
}

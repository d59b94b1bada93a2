// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../src/lib/ip-address.ts';
import type { VirtualRouter, VirtualRouterState } from '../src/model/virtual-router.ts';
import type { AnnouncementSchedule } from './announcement.ts';
import type { FaultReason } from './faults.ts';

/** A virtual router as this director runs it. */
export interface LocalRouter {
  readonly router: VirtualRouter;
  /** The source of its advertisements: decides between equal priorities. */
  readonly primaryAddress: IpAddress;
}

/** All times are absolute, in milliseconds of the caller's monotonic clock. */
export interface Common extends LocalRouter {
  /**
   * The configured priority with the weights of what is tracked: it is advertised, and the skew time comes from it. 1..254;
   * that of the address owner is always 255.
   */
  readonly effectivePriority: number;
  /** It is in fault while there is any, in the order in which they were raised. */
  readonly faults: readonly FaultReason[];
  /** Open while the connection table is a proven copy: only then is an active router preempted. */
  readonly gateOpen: boolean;
  /** Handed over on purpose: does not preempt until it has been active again, or is released. */
  readonly heldOff: boolean;
  readonly sinceMs: number;
}

export interface InitializeState extends Common {
  readonly kind: 'initialize';
}

/** The last advertisement of the router that holds the addresses. */
export interface Heard {
  readonly source: IpAddress;
  readonly priority: number;
  readonly intervalMs: number;
  readonly atMs: number;
  readonly resigned: boolean;
}

export interface BackupState extends Common {
  readonly kind: 'backup';
  /** When Active_Down_Timer fires. */
  readonly activeDownTimerAtMs: number;
  /** Active_Adver_Interval. Version 3: the interval that the active router advertises; version 2: one's own. */
  readonly activeAdverIntervalMs: number;
  readonly heard: Heard | undefined;
  /**
   * Until then a router other than the one obeyed may be active: it has been heard at a slower pace, or was missed while
   * this one stood still. Who takes over sooner settles first.
   */
  readonly otherActiveUntilMs: number;
  /** The end of keepalived's preempt_delay, in which a lower-priority active router is obeyed; set when it is first heard. */
  readonly preemptDelayUntilMs: number | undefined;
  /** The timer of a preemption has run out: it happens when the active router is next heard, and so known to be awake. */
  readonly preemptDue: boolean;
  /** The timer fired late and was given a moment, so that advertisements waiting in the socket are read first. */
  readonly rechecking: boolean;
}

/** Advertising already, not holding the addresses yet: the router that is being preempted gets time to step down. */
export interface Settling {
  readonly untilMs: number;
  /** However often the other one is heard, settling ends here. */
  readonly limitMs: number;
  /** Whose resignation ends it early; undefined when nobody has been heard. */
  readonly rival: IpAddress | undefined;
  /** Further advertisements within the settle time: one lost on the way must not leave two routers active. */
  readonly repeatsLeft: number;
}

export interface ActiveState extends Common {
  readonly kind: 'active';
  /** When Adver_Timer fires. */
  readonly adverTimerAtMs: number;
  /** When the lease ends. Before the first sent advertisement: when one must have been sent. */
  readonly leaseUntilMs: number;
  /** When the last advertisement known to have left was handed to the network, and the interval it named. */
  readonly lastAdvertisementSent: { readonly atMs: number; readonly intervalMs: number } | undefined;
  readonly settling: Settling | undefined;
  /** The lease is granted, the addresses acquired. */
  readonly holding: boolean;
  readonly announcements: AnnouncementSchedule;
}

export interface FaultState extends Common {
  readonly kind: 'fault';
}

export type RouterState = InitializeState | BackupState | ActiveState | FaultState;

/**
 * Where a successor, the process that goes on in this one's place, has to start: plain data, where `null` stands for what
 * is not there.
 */
export type HandoverRecord = ActiveHandoverRecord | BackupHandoverRecord;

export interface ActiveHandoverRecord {
  readonly kind: 'active';
  readonly sinceMs: number;
  readonly leaseUntilMs: number;
  readonly lastAdvertisementSent: { readonly atMs: number; readonly intervalMs: number } | null;
  readonly settling: { readonly untilMs: number; readonly limitMs: number; readonly rival: IpAddress | null } | null;
  readonly holding: boolean;
}

export interface BackupHandoverRecord {
  readonly kind: 'backup';
  readonly sinceMs: number;
  readonly heldOff: boolean;
  readonly activeDownTimerAtMs: number;
  readonly activeAdverIntervalMs: number;
  readonly heard: Heard | null;
  readonly otherActiveUntilMs: number | null;
  readonly preemptDelayUntilMs: number | null;
}

export type RouterEvent =
  /** In fault where one has been raised before. */
  | { readonly kind: 'startup' }
  /** Instead of `startup`: goes on where its predecessor, another process of this host, stopped. */
  | { readonly kind: 'succession'; readonly record: HandoverRecord }
  | { readonly kind: 'shutdown' }
  | {
      readonly kind: 'advertisementReceived';
      readonly source: IpAddress;
      readonly priority: number;
      readonly intervalMs: number;
    }
  /**
   * An advertisement has left. `sentAtMs` is when it was handed to the network, not when that was confirmed: a process
   * frozen between the two must not gain a lease from an advertisement that its peers have forgotten.
   */
  | {
      readonly kind: 'advertisementSent';
      readonly sentAtMs: number;
      readonly priority: number;
      readonly intervalMs: number;
    }
  | { readonly kind: 'timer' }
  | { readonly kind: 'faultRaised'; readonly reason: FaultReason }
  /** Clears this one alone. */
  | { readonly kind: 'faultCleared'; readonly reason: FaultReason }
  /** Something that is tracked has changed: takes effect in the next advertisement and the next skew time. */
  | { readonly kind: 'priorityChanged'; readonly effectivePriority: number }
  | { readonly kind: 'gateOpened' }
  | { readonly kind: 'gateClosed' }
  | { readonly kind: 'handoverRequested' }
  /** Ends what a handover on purpose began: preemption is possible again. */
  | { readonly kind: 'holdReleased' }
  | ({ readonly kind: 'configurationChanged' } & RouterConfiguration);

/** A virtual router after a reload, or after its interface has changed its address. */
export interface RouterConfiguration extends LocalRouter {
  /** Its effective priority from here on. */
  readonly effectivePriority: number;
}

/** Why a state was entered. */
export type TransitionReason =
  | 'startup'
  | 'shutdown'
  | 'owner'
  | 'active-down'
  | 'active-resigned'
  | 'preempting'
  | 'outranked'
  | 'cannot-advertise'
  | 'lease-expired'
  | 'succession'
  | 'handover'
  | 'fault-raised'
  | 'fault-cleared';

/** Worth a line in a log, without a transition. */
export type Note =
  | 'acquired'
  | 'settling-extended'
  | 'rival-answered'
  | 'rival-ignored'
  | 'late-timer'
  | 'preempt-delayed';

/** Executed in this order (takeover: lease, addresses, announcement last; stepping down: the lease first). */
export type RouterAction =
  | { readonly kind: 'sendAdvertisement'; readonly priority: number; readonly intervalMs: number }
  | { readonly kind: 'grantLease'; readonly untilMs: number }
  | { readonly kind: 'revokeLease' }
  | { readonly kind: 'acquireAddresses'; readonly addresses: readonly IpAddress[] }
  | { readonly kind: 'releaseAddresses'; readonly addresses: readonly IpAddress[] }
  /** One announcement for each element, in order; an address may come several times. */
  | { readonly kind: 'announce'; readonly addresses: readonly IpAddress[] }
  | {
      readonly kind: 'notify';
      readonly from: VirtualRouterState;
      readonly to: VirtualRouterState;
      readonly reason: TransitionReason;
      /** With `fault-raised` and `fault-cleared`: the one that decided. */
      readonly fault?: FaultReason;
    }
  | { readonly kind: 'note'; readonly note: Note };

export interface Step {
  readonly state: RouterState;
  readonly actions: readonly RouterAction[];
}

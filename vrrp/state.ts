// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../src/lib/ip-address.ts';
import type { VirtualRouter, VirtualRouterState } from '../src/model/virtual-router.ts';
import type { AnnouncementSchedule } from './announcement.ts';
import type { Contest } from './contest.ts';
import type { FaultReason } from './faults.ts';

/** A virtual router as this director runs it. */
export interface LocalRouter {
  readonly router: VirtualRouter;
  /** The source address of its advertisements; it decides between equal priorities. */
  readonly primaryAddress: IpAddress;
}

/** The advertisements of one sender since it was last silent for too long, or another one was heard. */
export interface Series {
  readonly source: IpAddress;
  readonly sinceMs: number;
  /** The next one comes before that, or begins a series of its own. */
  readonly untilMs: number;
}

/** All times are absolute, in milliseconds of the caller's monotonic clock. */
export interface Common extends LocalRouter {
  /**
   * The configured priority changed by the weights of tracked objects. It is advertised, and the skew time is computed
   * from it. 1..254; always 255 for the address owner.
   */
  readonly effectivePriority: number;
  /** The router is in fault while there is any. In the order in which they were raised. */
  readonly faults: readonly FaultReason[];
  /** Open while the connection table is a proven copy: only then does this router preempt. */
  readonly gateOpen: boolean;
  /** The role was handed over on purpose: no preemption until this router has been active again, or `holdReleased`. */
  readonly heldOff: boolean;
  readonly sinceMs: number;
  /** The router that was heard last, and for how long without a break. */
  readonly series: Series | undefined;
}

export interface InitializeState extends Common {
  readonly kind: 'initialize';
}

/** The last advertisement of the active router. */
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
  /**
   * Active_Adver_Interval. Version 3: the interval that the active router advertises, within a limit (`adoption.ts`);
   * version 2: the configured one.
   */
  readonly activeAdverIntervalMs: number;
  readonly heard: Heard | undefined;
  /** What was heard last from another router than the one in `heard`, which had not resigned then. */
  readonly heardBefore: Heard | undefined;
  /**
   * Until then a router other than the one in `heard` may be active: it advertises at a longer interval, or was missed
   * while this process stood still. A takeover before that time settles first.
   */
  readonly otherActiveUntilMs: number;
  /**
   * The end of keepalived's preempt_delay; set by the first advertisement of lower priority, which counts until then.
   */
  readonly preemptDelayUntilMs: number | undefined;
  /**
   * The timer of a preemption has run out: it happens at the active router's next advertisement, which proves it
   * awake.
   */
  readonly preemptDue: boolean;
  /** The timer fired late and was extended a little, so that advertisements waiting in the socket are read first. */
  readonly rechecking: boolean;
}

/** The router advertises but does not hold the addresses yet, so that the preempted one has time to step down. */
export interface Settling {
  readonly untilMs: number;
  /** Settling ends here, however often the other router is heard. */
  readonly limitMs: number;
  /** The router whose resignation ends it early; undefined when none has been heard. */
  readonly rival: IpAddress | undefined;
  /** Advertisements still to be repeated within the settle time: a lost one must not leave two routers active. */
  readonly repeatsLeft: number;
}

export interface ActiveState extends Common {
  readonly kind: 'active';
  /** When Adver_Timer fires. */
  readonly adverTimerAtMs: number;
  /** When the lease ends. Before the first sent advertisement: the time by which one must have been sent. */
  readonly leaseUntilMs: number;
  /** When the last advertisement known to have left was handed to the network, and the interval in it. */
  readonly lastAdvertisementSent: { readonly atMs: number; readonly intervalMs: number } | undefined;
  readonly settling: Settling | undefined;
  /** The lease is granted, the addresses acquired. */
  readonly holding: boolean;
  readonly announcements: AnnouncementSchedule;
  /** What rivals, and routers that resign, have made this one send lately. */
  readonly contest: { readonly rival: Contest; readonly resignation: Contest };
}

export interface FaultState extends Common {
  readonly kind: 'fault';
}

export type RouterState = InitializeState | BackupState | ActiveState | FaultState;

/**
 * The state from which a successor, the process that continues in this one's place, has to start. It is plain data:
 * `null` stands for an absent value.
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
  /** Leads to fault when a fault has been raised before. */
  | { readonly kind: 'startup' }
  /** Instead of `startup`: continues where its predecessor, another process of this host, stopped. */
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
  /** This process has stood still for at most so long, and nothing else has happened since: it comes before `timer`. */
  | { readonly kind: 'stoodStill'; readonly forMs: number }
  | { readonly kind: 'faultRaised'; readonly reason: FaultReason }
  /** Clears this reason alone. */
  | { readonly kind: 'faultCleared'; readonly reason: FaultReason }
  /** A tracked object has changed: takes effect in the next advertisement and the next skew time. */
  | { readonly kind: 'priorityChanged'; readonly effectivePriority: number }
  | { readonly kind: 'gateOpened' }
  | { readonly kind: 'gateClosed' }
  | { readonly kind: 'handoverRequested' }
  /** Ends the hold that follows a requested handover: preemption is possible again. */
  | { readonly kind: 'holdReleased' }
  | ({ readonly kind: 'configurationChanged' } & RouterConfiguration);

/** A virtual router after a reload, or after its interface has changed its address. */
export interface RouterConfiguration extends LocalRouter {
  /** The effective priority from now on. */
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

/** Events that are logged although they are no transition. */
export type Note =
  | 'acquired'
  | 'settling-extended'
  | 'rival-answered'
  | 'rival-ignored'
  | 'late-timer'
  | 'preempt-delayed';

/** Executed in the order given (takeover: lease, addresses, announcement last; stepping down: the lease first). */
export type RouterAction =
  | { readonly kind: 'sendAdvertisement'; readonly priority: number; readonly intervalMs: number }
  | { readonly kind: 'grantLease'; readonly untilMs: number }
  | { readonly kind: 'revokeLease' }
  | { readonly kind: 'acquireAddresses'; readonly addresses: readonly IpAddress[] }
  | { readonly kind: 'releaseAddresses'; readonly addresses: readonly IpAddress[] }
  /** One announcement for each element, in order; an address may occur several times. */
  | { readonly kind: 'announce'; readonly addresses: readonly IpAddress[] }
  | {
      readonly kind: 'notify';
      readonly from: VirtualRouterState;
      readonly to: VirtualRouterState;
      readonly reason: TransitionReason;
      /** With `fault-raised` and `fault-cleared`: the reason that was raised or cleared. */
      readonly fault?: FaultReason;
    }
  | { readonly kind: 'note'; readonly note: Note };

export interface Step {
  readonly state: RouterState;
  readonly actions: readonly RouterAction[];
}

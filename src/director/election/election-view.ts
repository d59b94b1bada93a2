// SPDX-License-Identifier: Apache-2.0
import type { RejectionCounters } from '../../../vrrp/ladder.ts';
import type { HandoverRecord, TransitionReason } from '../../../vrrp/state.ts';
import type { Family } from '../../lib/ip-address.ts';
import type { RouterAssignment } from '../address-plan.ts';
import type { ElectedRouterView } from './running-router.ts';

export type ElectionChange =
  | { readonly kind: 'transition'; readonly from: ElectedRouterView['state']; readonly reason: TransitionReason }
  | { readonly kind: 'acquired' };

export interface ElectionView {
  readonly gateOpen: boolean;
  readonly routers: readonly ElectedRouterView[];
  /** Advertisements discarded before a virtual router was known to be meant. */
  readonly unattributed: readonly {
    readonly interface: string;
    readonly family: Family;
    readonly rejections: Readonly<RejectionCounters>;
  }[];
}

/** A virtual router whose interface cannot be used yet: it stands in fault until the link comes up. */
export interface ElectionFailure {
  readonly router: string;
  /** A sentence: what happened, what to do. */
  readonly sentence: string;
}

/** Where the election of a successor, another process of this host, goes on. */
export interface ElectionHandoverRecord {
  readonly gateOpen: boolean;
  readonly routers: readonly RouterHandoverRecord[];
}

export interface RouterHandoverRecord {
  readonly assignment: RouterAssignment;
  /** Null where the successor starts like any other: the virtual router stood in fault. */
  readonly record: HandoverRecord | null;
}

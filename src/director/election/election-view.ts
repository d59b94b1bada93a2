// SPDX-License-Identifier: Apache-2.0
import type { RejectionCounters } from '../../../vrrp/ladder.ts';
import type { HandoverRecord, TransitionReason } from '../../../vrrp/state.ts';
import type { Family } from '../../lib/ip-address.ts';
import type { VirtualRouterState } from '../../model/virtual-router.ts';
import type { RouterAssignment } from '../address-plan.ts';
import type { RunningRouter } from './running-router.ts';

export type ElectionChange =
  | { readonly kind: 'transition'; readonly from: VirtualRouterState; readonly reason: TransitionReason }
  | { readonly kind: 'acquired' };

export interface ElectionView {
  readonly gateOpen: boolean;
  /** In the order of the configuration. */
  readonly routers: readonly Readonly<RunningRouter>[];
  /** Advertisements that were discarded before their virtual router was known. */
  readonly unattributed: readonly {
    readonly interface: string;
    readonly family: Family;
    readonly rejections: Readonly<RejectionCounters>;
  }[];
}

/** A virtual router that has no address to send from yet: it is in fault until it has one. */
export interface ElectionFailure {
  readonly router: string;
  /** A sentence: what happened, what to do. */
  readonly sentence: string;
}

/** The record from which the election of a successor, another process of this host, continues. */
export interface ElectionHandoverRecord {
  readonly gateOpen: boolean;
  readonly routers: readonly RouterHandoverRecord[];
}

export interface RouterHandoverRecord {
  readonly assignment: RouterAssignment;
  /** Null for a virtual router in fault, which the successor starts in the ordinary way. */
  readonly record: HandoverRecord | null;
}

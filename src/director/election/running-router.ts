// SPDX-License-Identifier: Apache-2.0
import { type RejectionCounters, zeroRejections } from '../../../vrrp/ladder.ts';
import { createRouter } from '../../../vrrp/machine.ts';
import type { RouterState, TransitionReason } from '../../../vrrp/state.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import { addressesOf, type VirtualAddress } from '../../model/virtual-router.ts';
import type { RouterAssignment } from '../address-plan.ts';
import type { VirtualRouterStatus } from '../status.ts';
import type { Assessment } from './tracking/tracked-object.ts';

/** A virtual router that runs: its assignment, the state of its machine, and its counters. */
export interface RunningRouter {
  assignment: RouterAssignment;
  state: RouterState;
  /** The last assessment that its machine has been told. */
  assessment: Assessment & { readonly primaryAddress: IpAddress };
  /** Why the state was entered. */
  reason: TransitionReason | undefined;
  /** The addresses that it has put on interfaces, with the prefix and interface of that time: a reload may have changed both. */
  readonly present: Map<IpAddress, VirtualAddress>;
  advertisementsSent: number;
  advertisementsReceived: number;
  sendErrors: number;
  /** The last send failed: said once, not at every interval. */
  sendFailing: boolean;
  becameActive: number;
  transitions: number;
  /** Advertisements whose address list is not the configured one, yet admitted. */
  addressListMismatches: number;
  addressListDiffers: boolean;
  readonly rejections: RejectionCounters;
}

/** Before its startup. Its machine has been told nothing yet but where it sends from. */
export function createRunningRouter(
  assignment: RouterAssignment,
  primaryAddress: IpAddress,
  nowMs: number,
): RunningRouter {
  const state = createRouter(assignment.router, primaryAddress, nowMs);
  return {
    assignment,
    state,
    assessment: { primaryAddress, effectivePriority: state.effectivePriority, faults: [] },
    reason: undefined,
    present: new Map(),
    advertisementsSent: 0,
    advertisementsReceived: 0,
    sendErrors: 0,
    sendFailing: false,
    becameActive: 0,
    transitions: 0,
    addressListMismatches: 0,
    addressListDiffers: false,
    rejections: zeroRejections(),
  };
}

/** The lease is granted and the addresses are acquired. */
export function isHolding({ state }: Pick<RunningRouter, 'state'>): boolean {
  return state.kind === 'active' && state.holding;
}

/** Its line in the status of the director. */
export function routerStatus(running: Readonly<RunningRouter>, nowMs: number): VirtualRouterStatus {
  const { state } = running;
  const { router } = running.assignment;
  const heard = state.kind === 'backup' && state.heard?.resigned === false ? state.heard : undefined;
  return {
    name: router.name,
    vrid: router.vrid,
    interface: router.interface,
    state: state.kind,
    stateAgeMs: nowMs - state.sinceMs,
    priority: state.effectivePriority,
    addresses: addressesOf(router),
    activeRouter: heard?.source,
    transitions: running.transitions,
    advertisementsSent: running.advertisementsSent,
    advertisementsReceived: running.advertisementsReceived,
    rejected: { ...running.rejections },
  };
}

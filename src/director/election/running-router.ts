// SPDX-License-Identifier: Apache-2.0
import { shortenedIntervalMs } from '../../../vrrp/adoption.ts';
import { type RejectionCounters, zeroRejections } from '../../../vrrp/ladder.ts';
import { createRouter } from '../../../vrrp/machine.ts';
import type { RouterState, TransitionReason } from '../../../vrrp/state.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import { addressesOf, type VirtualAddress } from '../../model/virtual-router.ts';
import type { RouterAssignment } from '../address-plan.ts';
import type { VirtualRouterStatus } from '../status.ts';
import { faultSentence } from './log-sentences.ts';
import type { Assessment } from './tracking/tracked-object.ts';

/** A virtual router that runs: its assignment, the state of its machine, and its counters. */
export interface RunningRouter {
  assignment: RouterAssignment;
  state: RouterState;
  /** The last assessment of which its machine has been told. */
  assessment: Assessment & { readonly primaryAddress: IpAddress };
  /** Why the state was entered. */
  reason: TransitionReason | undefined;
  /**
   * The addresses on interfaces, with the prefix and interface they were put on with: a reload may have changed both.
   */
  readonly present: Map<IpAddress, VirtualAddress>;
  advertisementsSent: number;
  advertisementsReceived: number;
  sendErrors: number;
  /** The last send failed; logged once, not at every interval. */
  sendFailing: boolean;
  becameActive: number;
  transitions: number;
  /** Advertisements that were admitted although their address list differs from the configured one. */
  addressListMismatches: number;
  addressListDiffers: boolean;
  readonly rejections: RejectionCounters;
}

/** A virtual router before its startup. Its machine knows only the address that it sends from. */
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

/** Whether the lease is granted and the addresses are acquired. */
export function isHolding({ state }: Pick<RunningRouter, 'state'>): boolean {
  return state.kind === 'active' && state.holding;
}

/** Its line in the status of the director. */
export function routerStatus(running: Readonly<RunningRouter>, nowMs: number): VirtualRouterStatus {
  const { state } = running;
  const { router } = running.assignment;
  const heard = state.kind === 'backup' && state.heard?.resigned === false ? state.heard : undefined;
  const adoptedMs = state.kind === 'backup' ? shortenedIntervalMs(state) : undefined;
  return {
    name: router.name,
    vrid: router.vrid,
    interface: router.interface,
    state: state.kind,
    stateAgeMs: nowMs - state.sinceMs,
    priority: state.effectivePriority,
    addresses: addressesOf(router),
    activeRouter: heard?.source,
    ...(adoptedMs === undefined ? {} : { shortenedInterval: { advertisedMs: heard!.intervalMs, adoptedMs } }),
    transitions: running.transitions,
    ...(state.faults.length === 0 ? {} : { faults: state.faults.map(faultSentence) }),
    advertisementsSent: running.advertisementsSent,
    advertisementsReceived: running.advertisementsReceived,
    rejected: { ...running.rejections },
  };
}

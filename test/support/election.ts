// SPDX-License-Identifier: Apache-2.0
import type { RouterAssignment } from '../../src/director/address-plan.ts';
import type { Election } from '../../src/director/election/election.ts';
import { isHolding, type RunningRouter } from '../../src/director/election/running-router.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { addressesOf, type VirtualAddress, type VirtualRouter } from '../../src/model/virtual-router.ts';

/** An assignment as short as a test wants to change it. */
export interface FlatRouter extends VirtualRouter {
  readonly addresses: readonly FlatAddress[];
  readonly leaseSlot: number;
}

export interface FlatAddress extends VirtualAddress {
  /** Put on the interface while held. False where the engine answers for it. */
  readonly install: boolean;
}

export function assign({ leaseSlot, addresses, ...router }: FlatRouter): RouterAssignment {
  return {
    router: { ...router, addresses: addresses.map(({ install: _, ...address }) => address) },
    leaseSlot,
    installed: new Set(addresses.filter(({ install }) => install).map(({ address }) => address)),
  };
}

/** The parts of an election's virtual routers that a test looks at. */
export function factsOf(election: Election) {
  return election.view().routers.map(routerFacts);
}

export function routerFacts(running: Readonly<RunningRouter>) {
  const { assignment, state } = running;
  const { router, leaseSlot } = assignment;
  const holding = isHolding(running);
  return {
    name: router.name,
    interface: router.interface,
    family: router.family,
    vrid: router.vrid,
    leaseSlot,
    state: state.kind,
    sinceMs: state.sinceMs,
    reason: running.reason,
    priority: router.priority,
    advertIntervalMs: router.advertIntervalMs,
    addresses: addressesOf(router),
    holding,
    leaseUntilMs: state.kind === 'active' && holding ? state.leaseUntilMs : undefined,
    heldOff: state.heldOff,
    activeAddress: activeAddressOf(running),
    advertisementsSent: running.advertisementsSent,
    advertisementsReceived: running.advertisementsReceived,
    sendErrors: running.sendErrors,
    becameActive: running.becameActive,
    transitions: running.transitions,
    addressListMismatches: running.addressListMismatches,
    rejections: { ...running.rejections },
  };
}

/** The sender of the advertisements obeyed, or one's own address while active. */
function activeAddressOf({ state }: Readonly<RunningRouter>): IpAddress | undefined {
  if (state.kind === 'active') return state.primaryAddress;
  if (state.kind !== 'backup' || state.heard === undefined || state.heard.resigned) return undefined;
  return state.heard.source;
}

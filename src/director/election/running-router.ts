// SPDX-License-Identifier: Apache-2.0

import type { Listener, RejectionCounters } from '../../../vrrp/ladder.ts';
import { zeroRejections } from '../../../vrrp/ladder.ts';
import { createRouter } from '../../../vrrp/machine.ts';
import type { RouterConfiguration, RouterState, TransitionReason } from '../../../vrrp/state.ts';
import type { Family, IpAddress } from '../../lib/ip-address.ts';
import type { UnicastPeer, VirtualAddress, VirtualRouter, VirtualRouterState } from '../../model/virtual-router.ts';
import type { RouterAssignment } from '../address-plan.ts';
import type { VirtualRouterStatus } from '../status.ts';

export interface ElectedAddress extends VirtualAddress {
  /** Put on the interface while held. False where the engine answers for it: then it is only announced. */
  readonly install: boolean;
}

/** One virtual router as the election is given it: plain data, it crosses a process boundary. */
export interface ElectedRouter extends VirtualRouter {
  readonly addresses: readonly ElectedAddress[];
  /** Its index in the lease array. */
  readonly leaseSlot: number;
}

/** The read model of one virtual router. Times are milliseconds of the monotonic clock. */
export interface ElectedRouterView {
  readonly name: string;
  readonly interface: string;
  readonly family: Family;
  readonly vrid: number;
  readonly leaseSlot: number;
  readonly state: VirtualRouterState;
  readonly sinceMs: number;
  /** Why the state was entered. */
  readonly reason: TransitionReason | undefined;
  readonly priority: number;
  readonly advertIntervalMs: number;
  readonly addresses: readonly IpAddress[];
  /** Active, and past the settle time: the lease is granted and the addresses are acquired. */
  readonly holding: boolean;
  /** End of the lease while holding. */
  readonly leaseUntilMs: number | undefined;
  /** Handed over on purpose: does not preempt for now. */
  readonly heldOff: boolean;
  /** The sender of the advertisements obeyed, or one's own address while active. */
  readonly activeAddress: IpAddress | undefined;
  readonly advertisementsSent: number;
  readonly advertisementsReceived: number;
  readonly sendErrors: number;
  readonly becameActive: number;
  readonly transitions: number;
  /** Advertisements whose address list is not the configured one, yet admitted. */
  readonly addressListMismatches: number;
  readonly rejections: Readonly<RejectionCounters>;
}

/** What the driver keeps of a running virtual router. It is also what the receive ladder looks at. */
export interface RunningRouter extends Listener {
  configured: ElectedRouter;
  version: 2 | 3;
  intervalMs: number;
  primaryAddress: IpAddress;
  addresses: readonly IpAddress[];
  unicastPeers: readonly UnicastPeer[] | undefined;
  state: RouterState;
  reason: TransitionReason | undefined;
  /** What it has put on interfaces, with the prefix and interface of that time: a reload may have changed both. */
  readonly installed: Map<IpAddress, ElectedAddress>;
  advertisementsSent: number;
  advertisementsReceived: number;
  sendErrors: number;
  /** The last send failed: said once, not at every interval. */
  mute: boolean;
  becameActive: number;
  transitions: number;
  addressListMismatches: number;
  addressListDiffers: boolean;
  readonly rejections: RejectionCounters;
}

/** Two configurations with the same identity are the same virtual router, before and after a reload. */
export function identityOf(router: VirtualRouter): string {
  return `${listenerKey(router.interface, router.family, router.vrid)} v${router.version}`;
}

/** By which a received advertisement finds its virtual router. */
export function listenerKey(interfaceName: string, family: Family, vrid: number): string {
  return `${interfaceName} ${family} ${vrid}`;
}

export function createRunningRouter(
  configured: ElectedRouter,
  primaryAddress: IpAddress,
  nowMs: number,
): RunningRouter {
  const config = machineConfiguration(configured, primaryAddress);
  return {
    configured,
    version: configured.version,
    intervalMs: config.intervalMs,
    primaryAddress,
    addresses: config.addresses,
    unicastPeers: configured.unicastPeers,
    state: createRouter(config, nowMs),
    reason: undefined,
    installed: new Map(),
    advertisementsSent: 0,
    advertisementsReceived: 0,
    sendErrors: 0,
    mute: false,
    becameActive: 0,
    transitions: 0,
    addressListMismatches: 0,
    addressListDiffers: false,
    rejections: zeroRejections(),
  };
}

/** Gives the running router its new configuration; the state machine learns of it by event. */
export function adoptConfiguration(router: RunningRouter, configured: ElectedRouter): RouterConfiguration {
  const config = machineConfiguration(configured, router.primaryAddress);
  router.configured = configured;
  router.intervalMs = config.intervalMs;
  router.addresses = config.addresses;
  router.unicastPeers = configured.unicastPeers;
  return config;
}

function machineConfiguration(configured: ElectedRouter, primaryAddress: IpAddress): RouterConfiguration {
  return {
    version: configured.version,
    priority: configured.priority,
    intervalMs: configured.advertIntervalMs,
    primaryAddress,
    addresses: configured.addresses.map(({ address }) => address),
    startAs: configured.startAs,
    preempt: configured.preempt,
    preemptDelayMs: configured.preemptDelayMs,
    announcement: configured.announcement,
  };
}

/** The plan's view of a virtual router as the election takes it. */
export function electRouter({ router, leaseSlot, installed }: RouterAssignment): ElectedRouter {
  const addresses = router.addresses.map((address) => ({ ...address, install: installed.has(address.address) }));
  return { ...router, addresses, leaseSlot };
}

/** As the plan had it before `electRouter`. */
export function assignmentOf({ leaseSlot, ...configured }: ElectedRouter): RouterAssignment {
  const installed = new Set(configured.addresses.flatMap(({ address, install }) => (install ? [address] : [])));
  const addresses = configured.addresses.map(({ install, ...address }) => address);
  return { router: { ...configured, addresses }, leaseSlot, installed };
}

/** The line of `baton status` for a virtual router. */
export function routerStatus(view: ElectedRouterView, nowMs: number): VirtualRouterStatus {
  return {
    name: view.name,
    vrid: view.vrid,
    interface: view.interface,
    state: view.state,
    stateAgeMs: nowMs - view.sinceMs,
    priority: view.priority,
    addresses: view.addresses,
    activeRouter: view.state === 'active' ? undefined : view.activeAddress,
    transitions: view.transitions,
    advertisementsSent: view.advertisementsSent,
    advertisementsReceived: view.advertisementsReceived,
    rejected: view.rejections,
  };
}

export function viewRouter(router: RunningRouter): ElectedRouterView {
  const { configured, state } = router;
  const holding = state.kind === 'active' && state.holding;
  return {
    name: configured.name,
    interface: configured.interface,
    family: configured.family,
    vrid: configured.vrid,
    leaseSlot: configured.leaseSlot,
    state: state.kind,
    sinceMs: state.sinceMs,
    reason: router.reason,
    priority: configured.priority,
    advertIntervalMs: configured.advertIntervalMs,
    addresses: router.addresses,
    holding,
    leaseUntilMs: holding ? state.voiceUntilMs : undefined,
    heldOff: state.heldOff,
    activeAddress: activeAddressOf(router),
    advertisementsSent: router.advertisementsSent,
    advertisementsReceived: router.advertisementsReceived,
    sendErrors: router.sendErrors,
    becameActive: router.becameActive,
    transitions: router.transitions,
    addressListMismatches: router.addressListMismatches,
    rejections: { ...router.rejections },
  };
}

function activeAddressOf({ state, primaryAddress }: RunningRouter): IpAddress | undefined {
  if (state.kind === 'active') return primaryAddress;
  if (state.kind !== 'backup' || state.heard === undefined || state.heard.resigned) return undefined;
  return state.heard.source;
}

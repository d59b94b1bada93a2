// SPDX-License-Identifier: Apache-2.0
import type { HealthChange } from '../health/runner.ts';
import type { IpAddress } from '../lib/ip-address.ts';
import type { ConfiguredService, SyncSettings } from '../model/configuration.ts';
import type { VirtualRouterState } from '../model/virtual-router.ts';
import type { VirtualService } from '../model/virtual-service.ts';
import type { RouterAssignment } from './address-plan.ts';
import type { SyncStatus, VirtualRouterStatus } from './status.ts';

// The director's handles on the parts that run in other processes and threads. A call waits for the other side only if
// it returns a promise.

/** The other directors that VRRP hears as active, for the virtual routers that are backups here. */
export interface ActiveHeard {
  readonly sources: readonly IpAddress[];
  /** The longest time for which one of them may be silent before it counts as gone. */
  readonly downIntervalMs: number;
}

/** The election, which runs in the vrrp process. */
export interface ElectionControl {
  /** Resolves when every virtual router has its sockets; rejects with a sentence when one cannot. */
  configure(assignments: readonly RouterAssignment[]): Promise<void>;
  /** Open while the connection table is a proven copy of the peers'. */
  setGate(open: boolean): void;
  /** Called on every change; undefined when none is heard. */
  onActiveHeard(listener: (heard: ActiveHeard | undefined) => void): void;
  /** Called on every transition of a virtual router. */
  onTransition(listener: (from: VirtualRouterState, to: VirtualRouterState) => void): void;
  /** Resigns every active virtual router; gives their names. */
  handOver(): Promise<readonly string[]>;
  status(): Promise<readonly VirtualRouterStatus[]>;
  /** Resigns, removes the addresses and ends the process. */
  stop(): Promise<void>;
}

/** Connection synchronisation, which runs in the sync thread. */
export interface ReplicationControl {
  /** Without settings nothing is replicated and the gate stays open. Peers compare a digest of the virtual services. */
  configure(settings: SyncSettings | undefined, services: readonly VirtualService[]): Promise<void>;
  /** Called at once with the present state, and on every change. */
  onGate(listener: (open: boolean) => void): void;
  /** VRRP hears another director as active, or no longer: sync that hears nobody then is cut off. */
  setActiveHeard(heard: ActiveHeard | undefined): void;
  status(): Promise<SyncStatus>;
  stop(): Promise<void>;
}

/** The checkers. */
export interface HealthControl {
  /** Unchanged checks continue with their state. */
  configure(services: readonly ConfiguredService[]): void;
  onChange(listener: (change: HealthChange) => void): void;
  /** Checks at once what is down. */
  checkAgain(): void;
  isAlive(service: string, realServer: string): boolean;
  /** Whether enough of a service's real servers are alive for it to do without its sorry server. */
  hasQuorum(service: string): boolean;
  stop(): void;
}

// SPDX-License-Identifier: Apache-2.0
import type { EngineCounters, RealServerCounters, TrafficCounters } from '../engine/engine.ts';
import type { IpAddress } from '../lib/ip-address.ts';
import type { ForwardingMethod } from '../model/forwarding-method.ts';
import type { VirtualRouterState } from '../model/virtual-router.ts';
import type { Persistence, SchedulerName } from '../model/virtual-service.ts';

// The status of a running director: the JSON of `GET /status` and of `baton status --json`. Scripts rely on it: fields
// are added, never renamed.

export interface VirtualRouterStatus {
  readonly name: string;
  readonly vrid: number;
  readonly interface: string;
  readonly state: VirtualRouterState;
  /** Milliseconds since the state was entered. */
  readonly stateAgeMs: number;
  /** The effective priority, which it advertises. */
  readonly priority: number;
  readonly addresses: readonly IpAddress[];
  /** The director that was last heard as active, while this one is a backup. */
  readonly activeRouter: IpAddress | undefined;
  /** Present when its interval is longer than what is adopted from a router heard for so short a time. */
  readonly shortenedInterval?: { readonly advertisedMs: number; readonly adoptedMs: number };
  readonly transitions: number;
  /** Why it cannot take part, a clause for each reason. Absent: it can. */
  readonly faults?: readonly string[];
  readonly advertisementsSent: number;
  readonly advertisementsReceived: number;
  /** One counter for each rejection reason of the receive ladder. */
  readonly rejected: Readonly<Record<string, number>>;
}

export interface SyncPeerStatus {
  readonly address: IpAddress;
  readonly lastHeardMs: number;
  readonly inSync: boolean;
  /** Its own gate, as it last said. Absent: it has not said it yet. */
  readonly gate?: 'alone' | 'joining' | 'inSync' | undefined;
}

export interface SyncStatus {
  /** `off` without `lvs_sync_daemon`. */
  readonly state: 'off' | 'alone' | 'cutOff' | 'joining' | 'inSync';
  /** Whether this director may preempt a living active one. */
  readonly mayPreempt?: boolean;
  /** What is wrong, and what to do. Absent: nothing is. */
  readonly warning?: string;
  /** The address that it sends from. Absent: it has none. */
  readonly source?: IpAddress;
  readonly peers: readonly SyncPeerStatus[];
  readonly counters: Readonly<Record<string, number>>;
}

export interface RealServerStatus extends RealServerCounters {
  readonly forwardingMethod: ForwardingMethod;
  /** As configured. */
  readonly weight: number;
  /** `uthreshold`. Absent: no limit. */
  readonly upperThreshold?: number;
  /** False while a checker has taken it out of the pool. */
  readonly alive: boolean;
}

export interface SorryServerStatus extends RealServerCounters {
  readonly forwardingMethod: ForwardingMethod;
  /** It takes the new connections because too few real servers are alive. */
  readonly serving: boolean;
}

export interface ServiceStatus extends TrafficCounters {
  readonly name: string;
  readonly scheduler: SchedulerName;
  readonly realServers: readonly RealServerStatus[];
  /** Absent: none is configured. */
  readonly sorryServer?: SorryServerStatus;
  readonly persistence?: Persistence;
  /** `ops`. Absent: false. */
  readonly onePacket?: boolean;
}

export interface EngineStatus extends Omit<EngineCounters, 'services'> {
  readonly kind: 'xdp' | 'portable';
}

export interface DirectorStatus {
  readonly version: string;
  readonly routerId: string;
  readonly processId: number;
  readonly uptimeMs: number;
  readonly configurationFile: string;
  readonly virtualRouters: readonly VirtualRouterStatus[];
  readonly sync: SyncStatus;
  readonly services: readonly ServiceStatus[];
  readonly engine: EngineStatus;
}

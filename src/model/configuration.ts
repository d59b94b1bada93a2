// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../lib/ip-address.ts';
import type { DeadServerPolicy } from './dead-servers.ts';
import type { ProtocolTimeouts } from './timeouts.ts';
import type { VirtualRouter } from './virtual-router.ts';
import type { RealServer, VirtualService } from './virtual-service.ts';

/** `lvs_sync_daemon`: where and how the connection table is replicated. */
export interface SyncSettings {
  readonly interface: string;
  /** The vrrp_instance named with it, if any. */
  readonly instance: string | undefined;
  /** 0..255. Defaults to the instance's VRID, else 0. */
  readonly syncId: number;
  /** Largest datagram body in bytes, 1..65507. */
  readonly maxLength: number;
  readonly port: number;
  readonly ttl: number;
  readonly group: IpAddress;
  /** Instead of the group: datagrams go to each of these, and only theirs are taken. */
  readonly unicastPeers?: readonly IpAddress[];
  /** With unicast peers: the local address to send from. */
  readonly unicastSource?: IpAddress;
  /**
   * `preempt_without_sync`: how long a director waits that hears a living active one by VRRP and nobody by sync, before it
   * preempts all the same. Absent: for as long as the active one is heard.
   */
  readonly preemptWithoutSyncMs?: number;
  /** `defer`: new connections wait, at most 10 ms, until every peer has acknowledged that it knows of them. Absent: false. */
  readonly defer?: boolean;
  /** Addresses that move from director to director: sync never sends from one of them. */
  readonly virtualAddresses?: ReadonlySet<IpAddress>;
}

/** When a check is made, and what follows from its outcome: the same for every checker. */
export interface CheckTiming {
  /** How long one attempt may take: `connect_timeout`. */
  readonly timeoutMs: number;
  /** Further attempts after a failed one before the real server is taken out. */
  readonly retry: number;
  readonly delayBeforeRetryMs: number;
  /** Between two checks. */
  readonly delayLoopMs: number;
  /** The first check comes at a random time within it, so that not all start at once. Without it: `delayLoopMs`. */
  readonly warmupMs?: number;
  /** Down until it has succeeded once. Absent: up until it has failed. */
  readonly alpha?: boolean;
}

/** One check of a real server. Plain data. */
export interface HealthCheck extends CheckTiming {
  /** The checker that makes it, by its keyword: `TCP_CHECK`. */
  readonly checker: string;
  /** Parameters whose meaning only that checker knows. */
  readonly parameters: object;
}

export interface CheckedRealServer extends RealServer {
  readonly checks: readonly HealthCheck[];
  /** When its checks fail it is quiesced (weight 0) instead of taken out. Absent: false. */
  readonly inhibitOnFailure?: boolean;
}

export interface ConfiguredService extends VirtualService {
  readonly realServers: readonly CheckedRealServer[];
  /** `sorry_server`: serves, and alone, while the service has no quorum. */
  readonly sorryServer?: RealServer;
  /** The weights of the live real servers that are enough to serve, together. Absent: 1. */
  readonly quorum?: number;
  /** The quorum is lost below `quorum - hysteresis` and gained at `quorum + hysteresis`. Absent: 0. */
  readonly hysteresis?: number;
}

/** The whole configuration of one director. */
export interface Configuration {
  readonly routerId: string;
  readonly virtualRouters: readonly VirtualRouter[];
  readonly services: readonly ConfiguredService[];
  /** Without `lvs_sync_daemon` nothing is replicated. */
  readonly sync: SyncSettings | undefined;
  readonly timeouts: ProtocolTimeouts;
  /** `track_routes`: virtual routers without a route to any of their real servers are in fault. Absent: true. */
  readonly trackRoutes?: boolean;
  /** Absent: `defaultDeadServerPolicy`. */
  readonly deadServerPolicy?: DeadServerPolicy;
  /** `sloppy_tcp`: services with sh or mh take segments of unknown connections in mid-stream. Absent: false. */
  readonly sloppyTcp?: boolean;
}

// SPDX-License-Identifier: Apache-2.0
import type { ConfiguredService } from '../model/configuration.ts';
import { endpointName, type RealServer, type VirtualService } from '../model/virtual-service.ts';

/** The checkers' results for one service. */
export interface PoolHealth {
  /** By `endpointName`. */
  readonly isAlive: (realServer: string) => boolean;
  readonly hasQuorum: boolean;
}

/** A service with the weights in effect, and which of its real servers may be chosen. */
export interface Pool {
  readonly service: VirtualService;
  /** By index into `service.realServers`. */
  readonly isAvailable: (realServer: number) => boolean;
}

/**
 * The pool that is in effect. The sorry server is always its last real server, or the real server with the same
 * endpoint, so that its connections continue when it is no longer needed; it is available only without quorum, and then
 * no other server is (keepalived check/ipwrapper.c, update_quorum_state). A real server with `inhibit_on_failure` is
 * quiesced when its checks fail: it keeps its connections and templates.
 */
export function poolInEffect(service: ConfiguredService, health: PoolHealth): Pool {
  const { sorryServer } = service;
  const alive = service.realServers.map((server) => health.isAlive(endpointName(server)));
  const realServers: RealServer[] = service.realServers.map((server, index) =>
    server.inhibitOnFailure === true && alive[index] !== true ? { ...server, weight: 0 } : server,
  );
  const available = service.realServers.map(
    (server, index) => alive[index] === true || server.inhibitOnFailure === true,
  );
  if (sorryServer !== undefined) {
    const name = endpointName(sorryServer);
    const found = realServers.findIndex((server) => endpointName(server) === name);
    const index = found < 0 ? realServers.push(sorryServer) - 1 : found;
    if (!health.hasQuorum) {
      available.fill(false);
      realServers[index] = sorryServer;
    }
    if (!health.hasQuorum || found < 0) available[index] = !health.hasQuorum;
  }
  return { service: { ...service, realServers }, isAvailable: (index) => available[index] === true };
}

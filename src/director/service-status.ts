// SPDX-License-Identifier: Apache-2.0
import type { RealServerCounters, ServiceCounters, TrafficCounters } from '../engine/engine.ts';
import type { ConfiguredService } from '../model/configuration.ts';
import { endpointName, virtualServiceName } from '../model/virtual-service.ts';
import type { ServiceStatus } from './status.ts';

const noTraffic: TrafficCounters = { connections: 0, packetsIn: 0, bytesIn: 0, packetsOut: 0, bytesOut: 0 };

/** Joins what is configured with what the engine counted and what the checkers found, in the configured order. */
export function describeServices(
  services: readonly ConfiguredService[],
  counted: readonly ServiceCounters[],
  isAlive: (service: string, realServer: string) => boolean,
): ServiceStatus[] {
  const byName = new Map(counted.map((one) => [one.name, one]));
  return services.map((service) => {
    const name = virtualServiceName(service);
    const counters: ServiceCounters = byName.get(name) ?? { ...noTraffic, name, realServers: [] };
    const countersByEndpoint = new Map(counters.realServers.map((one) => [endpointName(one), one]));
    return {
      ...counters,
      scheduler: service.scheduler.name,
      realServers: service.realServers.map((server) => {
        const endpoint = endpointName(server);
        const { address, port, weight, forwardingMethod } = server;
        const unseen: RealServerCounters = {
          ...noTraffic,
          address,
          port,
          activeConnections: 0,
          inactiveConnections: 0,
        };
        return {
          ...unseen,
          ...countersByEndpoint.get(endpoint),
          forwardingMethod,
          weight,
          alive: isAlive(name, endpoint),
        };
      }),
    };
  });
}

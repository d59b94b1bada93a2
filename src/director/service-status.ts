// SPDX-License-Identifier: Apache-2.0
import type { RealServerCounters, ServiceCounters, TrafficCounters } from '../engine/engine.ts';
import type { ConfiguredService } from '../model/configuration.ts';
import { endpointName, type RealServer, virtualServiceName } from '../model/virtual-service.ts';
import type { HealthControl } from './controls.ts';
import type { ServiceStatus } from './status.ts';

const noTraffic: TrafficCounters = { connections: 0, packetsIn: 0, bytesIn: 0, packetsOut: 0, bytesOut: 0 };

/** Joins the configuration with the engine's counters and the checkers' results, in the configured order. */
export function describeServices(
  services: readonly ConfiguredService[],
  counted: readonly ServiceCounters[],
  health: Pick<HealthControl, 'isAlive' | 'hasQuorum'>,
): ServiceStatus[] {
  const byName = new Map(counted.map((one) => [one.name, one]));
  return services.map((service) => describeService(service, byName.get(virtualServiceName(service)), health));
}

function describeService(
  service: ConfiguredService,
  counted: ServiceCounters | undefined,
  health: Pick<HealthControl, 'isAlive' | 'hasQuorum'>,
): ServiceStatus {
  const name = virtualServiceName(service);
  const { scheduler, persistence, onePacket, sorryServer } = service;
  const { realServers: countedServers, ...traffic } = counted ?? { ...noTraffic, name, realServers: [] };
  const byEndpoint = new Map(countedServers.map((one) => [endpointName(one), one]));
  const countersOf = ({ address, port }: RealServer): RealServerCounters => ({
    ...noTraffic,
    address,
    port,
    activeConnections: 0,
    inactiveConnections: 0,
    ...byEndpoint.get(endpointName({ address, port })),
  });
  return {
    ...traffic,
    scheduler: scheduler.name,
    ...(persistence === undefined ? {} : { persistence }),
    ...(onePacket === true ? { onePacket } : {}),
    realServers: service.realServers.map((server) => ({
      ...countersOf(server),
      forwardingMethod: server.forwardingMethod,
      weight: server.weight,
      ...(server.upperThreshold === undefined ? {} : { upperThreshold: server.upperThreshold }),
      alive: health.isAlive(name, endpointName(server)),
    })),
    ...(sorryServer === undefined
      ? {}
      : {
          sorryServer: {
            ...countersOf(sorryServer),
            forwardingMethod: sorryServer.forwardingMethod,
            serving: !health.hasQuorum(name),
          },
        }),
  };
}

// SPDX-License-Identifier: Apache-2.0
import {
  type DropReason,
  dropReasons,
  type EngineCounters,
  type ServiceCounters,
  type TrafficCounters,
} from '../engine.ts';
import type { ConnectionTable } from './connection-table.ts';
import { type Destinations, Traffic, trafficFields } from './destinations.ts';
import type { PacketPort } from './packet-port.ts';
import type { RunningService } from './running-service.ts';
import type { Services } from './services.ts';

/** The index of each drop reason. */
export const Drop = Object.freeze(Object.fromEntries(dropReasons.map((reason, index) => [reason, index]))) as Readonly<
  Record<DropReason, number>
>;

/** The counters of the packet path except for the traffic of real servers. */
export class Tally {
  readonly drops = new Float64Array(dropReasons.length);
  arpReplies = 0;
  neighbourReplies = 0;
  echoReplies = 0;
  resetsSent = 0;
  unreachablesSent = 0;
  errorsSuppressed = 0;
  halfOpenEvictions = 0;
  secondClassEvictions = 0;
  eventOverruns = 0;
}

export function describeCounters(
  tally: Tally,
  table: ConnectionTable,
  services: Services,
  destinations: Destinations,
  ports: readonly PacketPort[],
): EngineCounters {
  const drops = Object.fromEntries(dropReasons.map((reason, i) => [reason, tally.drops[i]!])) as Record<
    DropReason,
    number
  >;
  for (const { counters } of ports) {
    drops.truncated += counters.truncated;
    drops.vlanTagged += counters.vlanTagged;
    drops.receiveOverrun += counters.receiveOverrun;
  }
  return {
    services: services.running.map((service) => serviceCounters(service, destinations)),
    drops,
    halfOpenConnections: table.halfOpenCount - table.halfOpenTemplates,
    establishedConnections: table.establishedCount - table.establishedTemplates,
    secondClassConnections: table.secondClassCount,
    connectionTemplates: table.halfOpenTemplates + table.establishedTemplates,
    halfOpenEvictions: tally.halfOpenEvictions,
    secondClassEvictions: tally.secondClassEvictions,
    arpReplies: tally.arpReplies,
    neighbourReplies: tally.neighbourReplies,
    echoReplies: tally.echoReplies,
    resetsSent: tally.resetsSent,
    unreachablesSent: tally.unreachablesSent,
    errorsSuppressed: tally.errorsSuppressed,
    eventOverruns: tally.eventOverruns,
  };
}

function serviceCounters(service: RunningService, destinations: Destinations): ServiceCounters {
  const sum = Float64Array.from(service.retiredTraffic);
  for (const [destination, owner] of destinations.services.entries()) {
    if (owner !== service) continue;
    for (let i = 0; i < trafficFields; i += 1) sum[i]! += destinations.traffic[destination * trafficFields + i]!;
  }
  return {
    name: service.name,
    ...trafficCounters(sum, 0),
    realServers: Array.from(service.destinations, (destination) => {
      const { address, port } = destinations.realServers[destination]!;
      return {
        address,
        port,
        ...trafficCounters(destinations.traffic, destination * trafficFields),
        activeConnections: destinations.active[destination]!,
        inactiveConnections: destinations.inactive[destination]!,
      };
    }),
  };
}

function trafficCounters(traffic: Float64Array, at: number): TrafficCounters {
  return {
    connections: traffic[at + Traffic.connections]!,
    packetsIn: traffic[at + Traffic.packetsIn]!,
    bytesIn: traffic[at + Traffic.bytesIn]!,
    packetsOut: traffic[at + Traffic.packetsOut]!,
    bytesOut: traffic[at + Traffic.bytesOut]!,
  };
}

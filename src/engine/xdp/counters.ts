// SPDX-License-Identifier: Apache-2.0
import type { DropReason, EngineCounters, ServiceCounters, TrafficCounters } from '../engine.ts';
import { type Destination, type Destinations, type TrafficSums, trafficFields } from './destinations.ts';
import { PublishingLayout, TotalsLayout } from './layout/structs.ts';
import type { MappedArray } from './mapped-array.ts';
import type { RunningService, Services } from './services.ts';
import { sumDrops, sumEvents } from './tallies.ts';
import type { XdpMaps } from './xdp-maps.ts';

/** The program's counters as people and the director see them. */
export function describeCounters(
  { totals, tallies, publishing }: Pick<XdpMaps, 'totals' | 'tallies' | 'publishing'>,
  services: Services,
  destinations: Destinations,
): EngineCounters {
  const total = (field: number): number => Math.max(0, totals.readSigned(0, field));
  const { halfOpen, established, halfOpenTemplates, establishedTemplates, secondClass } = TotalsLayout;
  const byService = new Map<number, Destination[]>();
  for (const destination of destinations.values()) {
    if (!destination.live) continue;
    const owned = byService.get(destination.service);
    if (owned === undefined) byService.set(destination.service, [destination]);
    else owned.push(destination);
  }
  return {
    services: services.running.map((service) =>
      serviceCounters(service, services, destinations, byService.get(service.number) ?? []),
    ),
    drops: withHeld(sumDrops(tallies), publishing),
    halfOpenConnections: Math.max(0, total(halfOpen) - total(halfOpenTemplates)),
    establishedConnections: Math.max(0, total(established) - total(establishedTemplates)),
    secondClassConnections: total(secondClass),
    connectionTemplates: total(halfOpenTemplates) + total(establishedTemplates),
    ...sumEvents(tallies),
  };
}

/** The publisher counts the held frames that it did not send by itself. */
function withHeld(drops: Record<DropReason, number>, publishing: MappedArray): Record<DropReason, number> {
  drops.noLease += publishing.readCounter(0, PublishingLayout.heldNoLease);
  drops.noPublisher += publishing.readCounter(0, PublishingLayout.heldTooLong);
  drops.transmitFailed += publishing.readCounter(0, PublishingLayout.heldRefused);
  return drops;
}

function serviceCounters(
  service: RunningService,
  services: Services,
  destinations: Destinations,
  owned: readonly Destination[],
): ServiceCounters {
  const sum = services.retiredTraffic(service);
  const byNumber = new Map<number, TrafficSums>();
  for (const { number } of owned) {
    const traffic = new Float64Array(trafficFields.length);
    destinations.addTraffic(number, traffic);
    byNumber.set(number, traffic);
    for (const [i, value] of traffic.entries()) sum[i]! += value;
  }
  return {
    name: service.name,
    ...trafficCounters(sum),
    realServers: service.destinations.flatMap((number) => {
      const destination = destinations.get(number);
      if (destination === undefined) return [];
      return {
        address: destination.address,
        port: destination.port,
        ...trafficCounters(byNumber.get(number) ?? new Float64Array(trafficFields.length)),
        activeConnections: destinations.activeConnections(number),
        inactiveConnections: destinations.inactiveConnections(number),
      };
    }),
  };
}

function trafficCounters([connections, packetsIn, bytesIn, packetsOut, bytesOut]: TrafficSums): TrafficCounters {
  return {
    connections: connections!,
    packetsIn: packetsIn!,
    bytesIn: bytesIn!,
    packetsOut: packetsOut!,
    bytesOut: bytesOut!,
  };
}

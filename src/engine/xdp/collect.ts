// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../../lib/ip-address.ts';
import { type Destinations, graceMs, trafficFields } from './destinations.ts';
import type { Endpoints } from './endpoints.ts';
import type { SlotSpace } from './selectors.ts';
import type { Services } from './services.ts';

export interface Collectables {
  readonly destinations: Destinations;
  readonly endpoints: Endpoints;
  readonly services: Services;
  readonly slots: SlotSpace;
  /** No destination has this address any more. */
  readonly onAddressFreed: (address: IpAddress) => void;
}

/**
 * Frees real servers and services that have left the configuration and are not in use any more. A real server goes in
 * two steps. When its last entry is gone, replies are no longer looked for at its endpoint. When that has been so for a
 * while, and no packet that was on its way then has made another entry, its number is free.
 */
export function collect(parts: Collectables, nowMs: number): void {
  const { destinations, endpoints, services, slots } = parts;
  let changed = false;
  for (const destination of [...destinations.values()]) {
    if (destination.configured) continue;
    const { number, idleAtMs, retiredAtMs } = destination;
    if (destinations.isHeld(number)) {
      changed ||= idleAtMs !== undefined;
      destination.idleAtMs = undefined;
    } else if (idleAtMs !== undefined) {
      if (nowMs - idleAtMs >= graceMs) free(parts, number);
    } else if (nowMs - retiredAtMs >= graceMs) {
      destination.idleAtMs = nowMs;
      changed = true;
    }
  }
  if (changed) endpoints.link(services.running.flatMap((service) => service.destinations));
  slots.collect(nowMs);
  services.collect(nowMs);
}

function free({ destinations, services, onAddressFreed }: Collectables, number: number): void {
  const { live, service, address } = destinations.get(number)!;
  if (live) {
    const sums = new Float64Array(trafficFields.length);
    destinations.addTraffic(number, sums);
    services.inherit(service, sums);
  }
  if (destinations.free(number)) onAddressFreed(address);
}

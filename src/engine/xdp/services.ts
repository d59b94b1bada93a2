// SPDX-License-Identifier: Apache-2.0
import { familyOf, type IpAddress } from '../../lib/ip-address.ts';
import { forwardingMethods, nextHopTarget } from '../../model/forwarding-method.ts';
import { endlessLease } from '../../model/lease.ts';
import { availableRealServers, type CompiledService } from '../../model/selector.ts';
import { type RealServer, requireForwardable, virtualServiceName } from '../../model/virtual-service.ts';
import type { EngineConfiguration } from '../engine.ts';
import { leaseSlotOf } from './addresses.ts';
import { type Destinations, graceMs, type TrafficSums, trafficFields } from './destinations.ts';
import {
  endpointKey,
  numberValue,
  parseEndpointKey,
  parseNumberValue,
  type TransportEndpoint,
} from './endpoint-keys.ts';
import { type Endpoints, requireFewSharers } from './endpoints.ts';
import { ServiceLayout } from './layout/structs.ts';
import type { MappedArray } from './mapped-array.ts';
import type { Hop } from './next-hops.ts';
import { noRegion, type SlotRegion, SlotSpace, selectorLength, selectorWords, slotWords } from './selectors.ts';
import { writeServiceTerms } from './service-record.ts';
import type { XdpMaps } from './xdp-maps.ts';

/** A virtual service. It lives through reconfigurations, and restarts of the director, that keep its name. */
export interface RunningService {
  readonly name: string;
  readonly number: number;
  readonly endpoint: TransportEndpoint;
  /** Destination numbers, in the order of `VirtualService.realServers`. */
  destinations: readonly number[];
}

export interface ServicesParts {
  readonly maps: XdpMaps;
  readonly destinations: Destinations;
  readonly endpoints: Endpoints;
  readonly slots: SlotSpace;
  readonly hopFor: (address: IpAddress) => Hop;
}

/** The slots that a service is to get. */
interface SlotPlan {
  readonly field: number;
  readonly before: SlotRegion;
  readonly after: SlotRegion;
}

interface ServicePlan {
  readonly compiled: CompiledService;
  readonly name: string;
  readonly number: number;
  readonly running: RunningService | undefined;
  /** By real server; undefined: it has no number yet. */
  readonly known: readonly (number | undefined)[];
  /** Those whose content differs from what is there. */
  readonly slots: SlotPlan[];
}

/** The virtual services in force, by number, and the maps that lead to them. */
export class Services {
  readonly #parts: ServicesParts;
  readonly #records: MappedArray;
  #running: readonly RunningService[];
  readonly #free: number[] = [];
  /** Numbers of removed services, and since when nothing refers to them. */
  readonly #removed = new Map<number, number>();

  constructor(parts: ServicesParts, running: readonly RunningService[], nowMs: number) {
    this.#parts = parts;
    this.#records = parts.maps.services;
    this.#running = running;
    for (const { number } of running) this.#adoptSlots(number);
    const live = new Set(running.map(({ number }) => number));
    const held = this.#heldNumbers();
    for (let number = this.#records.length - 1; number >= 0; number -= 1) {
      if (live.has(number)) continue;
      if (held.has(number)) this.#removed.set(number, nowMs);
      else this.#free.push(number);
    }
  }

  get running(): readonly RunningService[] {
    return this.#running;
  }

  /** Keeps what both configurations have. Throws a sentence, and changes nothing, when it cannot be had. */
  configure({ services, addresses }: EngineConfiguration, nowMs: number): void {
    requireUsable(services);
    const plans = this.#plan(services);
    const leases = new Map(addresses.map(({ address, leaseSlot }) => [address, leaseSlot]));
    const kept = new Set(plans.map(({ running }) => running));
    this.#remove(
      this.#running.filter((service) => !kept.has(service)),
      nowMs,
    );
    const running = plans.map((plan) => this.#place(plan, leases.get(plan.compiled.service.address) ?? endlessLease));
    this.#retireOthers(running, leases, nowMs);
    this.#parts.endpoints.link(running.flatMap(({ destinations }) => destinations));
    for (const [i, plan] of plans.entries()) this.#open(plan, running[i]!, nowMs);
    this.#running = running;
  }

  /** The counters of real servers of the service that are gone. */
  retiredTraffic({ number }: RunningService): TrafficSums {
    return Float64Array.from(trafficFields, (_, i) => this.#records.readCounter(number, ServiceLayout.retired + 8 * i));
  }

  /** Adds the counters of a destination that is about to be freed to its service's. */
  inherit(service: number, sums: TrafficSums): void {
    for (const [i, sum] of sums.entries()) {
      const field = ServiceLayout.retired + 8 * i;
      this.#records.storeLong(service, field, this.#records.loadLong(service, field) + BigInt(sum));
    }
  }

  /** Frees the numbers of removed services to which no entry leads any more. */
  collect(nowMs: number): void {
    if (this.#removed.size === 0) return;
    const held = this.#heldNumbers();
    for (const [number, sinceMs] of this.#removed) {
      if (held.has(number)) this.#removed.set(number, nowMs);
      else if (nowMs - sinceMs >= graceMs) {
        this.#removed.delete(number);
        this.#records.value(number).fill(0);
        this.#free.push(number);
      }
    }
  }

  #plan(services: readonly CompiledService[]): ServicePlan[] {
    const running = new Map(this.#running.map((service) => [service.name, service]));
    const free = [...this.#free];
    const plans: ServicePlan[] = [];
    try {
      let wanted = 0;
      for (const compiled of services) {
        const name = virtualServiceName(compiled.service);
        const number = running.get(name)?.number ?? free.pop();
        if (number === undefined) throw new RangeError(tooMany('virtual services', this.#records.length));
        const identities = compiled.service.realServers.map((realServer) => identityOf(number, realServer));
        const known = identities.map((identity) => this.#parts.destinations.find(identity));
        wanted += new Set(identities.filter((_, i) => known[i] === undefined).map(identityText)).size;
        plans.push({ compiled, name, number, running: running.get(name), known, slots: [] });
      }
      if (wanted > this.#parts.destinations.room) {
        throw new RangeError(tooMany('real servers', this.#parts.destinations.capacity));
      }
      for (const plan of plans) this.#planSlots(plan);
    } catch (error) {
      for (const { after, before } of plans.flatMap(({ slots }) => slots)) this.#parts.slots.giveBack(after, before);
      throw error;
    }
    return plans;
  }

  #planSlots({ compiled, number, running, known, slots }: ServicePlan): void {
    const isKnown = known.every((destination) => destination !== undefined);
    for (const { field, length, words } of contents(compiled)) {
      const before = running === undefined ? noRegion : SlotSpace.unpack(this.#records.loadLong(number, field));
      if (isKnown && this.#parts.slots.holds(before, words(known))) continue;
      const after = this.#parts.slots.allocate(length, before);
      if (after === undefined) {
        throw new RangeError(tooMany('slots in the selectors of all virtual services', this.#parts.maps.slots.length));
      }
      slots.push({ field, before, after });
    }
  }

  /** Writes the service's record and its destinations, but nothing that leads packets to it yet. */
  #place({ compiled, name, number, running, known }: ServicePlan, leaseSlot: number): RunningService {
    const { service } = compiled;
    const { address, port, protocol, realServers } = service;
    const lease = leaseSlotOf(leaseSlot);
    const available = availableRealServers(compiled);
    const placed = new Set<number>();
    const destinations = realServers.map((realServer, i) => {
      const identity = identityOf(number, realServer);
      const destination =
        known[i] ?? this.#parts.destinations.find(identity) ?? this.#allocate(identity, { address, port, protocol });
      const terms = { leaseSlot: lease, available: available[i]!, realServer };
      if (!placed.has(destination)) this.#parts.destinations.configure(destination, terms);
      placed.add(destination);
      return destination;
    });
    if (running === undefined) this.#records.value(number).fill(0);
    writeServiceTerms(this.#records, number, compiled, lease);
    if (running === undefined) return { name, number, endpoint: { address, port, protocol }, destinations };
    return Object.assign(running, { destinations });
  }

  #allocate(identity: ReturnType<typeof identityOf>, virtual: TransportEndpoint): number {
    const { destinations, hopFor } = this.#parts;
    return destinations.allocate(identity, virtual, hopFor(nextHopTarget(identity.method, identity.address)));
  }

  /** Real servers that have left the configuration obey the lease of their service as well. */
  #retireOthers(running: readonly RunningService[], leases: ReadonlyMap<IpAddress, number>, nowMs: number): void {
    const { destinations } = this.#parts;
    const byNumber = new Map(running.map((service) => [service.number, service]));
    const configured = new Set(running.flatMap((service) => service.destinations));
    for (const { number, live, service } of destinations.values()) {
      if (!live || configured.has(number)) continue;
      destinations.retire(number, nowMs);
      const slot = leases.get(byNumber.get(service)!.endpoint.address) ?? endlessLease;
      destinations.setLease(number, leaseSlotOf(slot));
    }
  }

  /** Puts the slots in force, and lets packets find the service. */
  #open({ compiled, number, running, slots }: ServicePlan, { endpoint, destinations }: RunningService, nowMs: number) {
    const all = contents(compiled);
    for (const { field, before, after } of slots) {
      this.#parts.slots.write(after, all.find((content) => content.field === field)!.words(destinations));
      this.#records.storeLong(number, field, SlotSpace.pack(after));
      this.#parts.slots.replaced(before, after, nowMs);
    }
    if (running !== undefined) return;
    this.#free.splice(this.#free.indexOf(number), 1);
    const map = this.#parts.maps.servicesByEndpoint[familyOf(endpoint.address)];
    map.update(endpointKey(endpoint), numberValue(number));
  }

  #remove(services: readonly RunningService[], nowMs: number): void {
    if (services.length === 0) return;
    const { maps, destinations, slots } = this.#parts;
    for (const { number, endpoint } of services) {
      maps.servicesByEndpoint[familyOf(endpoint.address)].delete(endpointKey(endpoint));
      this.#records.writeByte(number, ServiceLayout.flags, 0);
      for (const field of [ServiceLayout.selector, ServiceLayout.destinations]) {
        const before = SlotSpace.unpack(this.#records.loadLong(number, field));
        this.#records.storeLong(number, field, 0n);
        slots.replaced(before, noRegion, nowMs);
      }
      this.#removed.set(number, nowMs);
    }
    for (const { number, service, live } of destinations.values()) {
      if (live && this.#removed.has(service)) destinations.abandon(number, nowMs);
    }
  }

  #adoptSlots(number: number): void {
    for (const field of [ServiceLayout.selector, ServiceLayout.destinations]) {
      const region = SlotSpace.unpack(this.#records.loadLong(number, field));
      if (!this.#parts.slots.adopt(region)) {
        throw new Error(`the selectors of the running XDP program overlap; restart baton with --cleanup`);
      }
    }
  }

  #heldNumbers(): Set<number> {
    return new Set([...this.#parts.destinations.values()].map(({ service }) => service));
  }
}

/** The services that a running program has. Their destinations are in the lists that they refer to. */
export function runningServices(maps: XdpMaps, slots: SlotSpace): RunningService[] {
  return (['ipv4', 'ipv6'] as const).flatMap((family) =>
    [...maps.servicesByEndpoint[family].entries()].map(([key, value]) => {
      const endpoint = parseEndpointKey(key);
      const number = parseNumberValue(value);
      const list = SlotSpace.unpack(maps.services.loadLong(number, ServiceLayout.destinations));
      return { name: virtualServiceName(endpoint), number, endpoint, destinations: slots.read(list) };
    }),
  );
}

/** The contents of a service's slots: by field their number, and their words for given destination numbers. */
function contents({ service, selector }: CompiledService) {
  type Numbers = readonly (number | undefined)[];
  return [
    {
      field: ServiceLayout.selector,
      length: selectorLength(selector),
      words: (numbers: Numbers) => selectorWords(selector, numbers as readonly number[]),
    },
    {
      field: ServiceLayout.destinations,
      length: service.realServers.length,
      words: (numbers: Numbers) => slotWords(numbers as readonly number[]),
    },
  ];
}

function identityOf(service: number, { address, port, forwardingMethod }: RealServer) {
  return { service, address, port, method: forwardingMethods[forwardingMethod] };
}

function identityText({ service, address, port, method }: ReturnType<typeof identityOf>): string {
  return `${service} ${address} ${port} ${method.name}`;
}

function requireUsable(services: readonly CompiledService[]): void {
  for (const { service } of services) requireForwardable(service);
  requireFewSharers(
    services.flatMap(({ service: { protocol, realServers } }) => {
      const replying = realServers.filter(({ forwardingMethod }) => forwardingMethods[forwardingMethod].seesReplies);
      const endpoints = replying.map(({ address, port }) => ({ address, port, protocol }));
      return [...new Map(endpoints.map((endpoint) => [`${endpoint.address} ${endpoint.port}`, endpoint])).values()];
    }),
  );
}

function tooMany(what: string, max: number): string {
  return `the xdp engine has room for ${max} ${what}, those of the last second included; split the configuration between directors`;
}

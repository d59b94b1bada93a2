// SPDX-License-Identifier: Apache-2.0
import fc from 'fast-check';
import type { EngineConfiguration } from '../../src/engine/engine.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { deadServerPolicies } from '../../src/model/dead-servers.ts';
import type { CompiledService, Overhead, Selector } from '../../src/model/selector.ts';
import { emptySlot } from '../../src/model/selector.ts';
import type { RealServer } from '../../src/model/virtual-service.ts';
import { connectionOverhead } from '../../src/scheduler/least.ts';

/** A configuration in few words: numbers index the pools below. */
export interface ConfigurationPlan {
  readonly services: readonly ServicePlan[];
  /** By index into `virtualAddresses`: the slot of its lease, -1 for an endless one; undefined: it is not listed. */
  readonly leases: readonly (number | undefined)[];
  /** By index into `virtualAddresses`: whether the engine answers for it. */
  readonly answers: readonly boolean[];
  readonly graceMs: number;
  readonly timeouts: number;
  /** Index into `deadServerPolicies`; absent: the default. */
  readonly deadServers?: number | undefined;
  /** Absent: the default. */
  readonly sloppy?: boolean | undefined;
}

export interface ServicePlan {
  /** Index into `virtualAddresses`. */
  readonly address: number;
  /** Index into `servicePorts`. */
  readonly port: number;
  readonly udp: boolean;
  readonly servers: readonly ServerPlan[];
  readonly selector: Selector['shape'];
  /** Slots of a selector, modulo the number of real servers; a hash selector leaves out those that are 7. */
  readonly slots: readonly number[];
  readonly hashPort: boolean;
  readonly fallback: boolean;
  /** Bits by index into `servers`; undefined: as the selector has it. */
  readonly alive: number | undefined;
  readonly persistence: { readonly timeoutMs: number; readonly prefix: number } | undefined;
  readonly onePacket: boolean;
}

export interface ServerPlan {
  /** Index into `serverHosts`. */
  readonly host: number;
  /** Index into `serverPorts`; direct-route has its service's port. */
  readonly port: number;
  readonly direct: boolean;
  readonly weight: number;
  readonly upper: number;
  readonly lower: number;
}

/** The first two are IPv4. Services of two addresses may lead to the same real servers. */
export const virtualAddresses = ['192.0.2.80', '192.0.2.81', '2001:db8::80', '2001:db8::81'] as const;
export const servicePorts = [80, 53] as const;
export const serverPorts = [8080, 80] as const;
export const serverHosts = {
  ipv4: ['10.0.0.1', '10.0.0.2', '10.0.0.3'],
  ipv6: ['2001:db8:a::1', '2001:db8:a::2', '2001:db8:a::3'],
} as const;
/** The kernel holds them: real servers route through the first. */
export const gateways = ['10.0.0.254', '10.0.1.254'] as const;
export const leaseSlots = [3, 5] as const;

/**
 * Connections are to expire in a sequence of some steps. TIME_WAIT, SYN_RECV and others keep IPVS's values.
 */
const timeouts = [
  { tcpMs: 20_000, tcpFinMs: 6_000, udpMs: 9_000 },
  { tcpMs: 900_000, tcpFinMs: 120_000, udpMs: 300_000 },
] as const;
const prefixes = { ipv4: [32, 24, 17], ipv6: [128, 64, 37] } as const;

export function familyOfAddress(address: number): 'ipv4' | 'ipv6' {
  return address < 2 ? 'ipv4' : 'ipv6';
}

export function configurationOf(plan: ConfigurationPlan): EngineConfiguration {
  const listed = virtualAddresses.flatMap((address, index) => {
    const leaseSlot = plan.leases[index];
    if (leaseSlot === undefined) return [];
    return [{ address: address as IpAddress, interface: 'clients', leaseSlot, answer: plan.answers[index]! }];
  });
  // Both slots are in every configuration: the portable engine sees when a lease begins by reading it all the time, and
  // takes one that it has not read before for a lease that has just begun.
  const kernels = gateways.map((address, index) => ({
    address: address as IpAddress,
    interface: 'servers',
    leaseSlot: leaseSlots[index]!,
    answer: false,
  }));
  return {
    addresses: [...listed, ...kernels],
    services: plan.services.map(compiledOf),
    timeouts: timeouts[plan.timeouts]!,
    gracePeriodMs: plan.graceMs,
    ...(plan.sloppy === undefined ? {} : { sloppyTcp: plan.sloppy }),
    ...(plan.deadServers === undefined ? {} : { deadServerPolicy: deadServerPolicies[plan.deadServers]! }),
  };
}

function compiledOf(plan: ServicePlan): CompiledService {
  const family = familyOfAddress(plan.address);
  const port = servicePorts[plan.port]!;
  const realServers = distinct(plan.servers.map((server) => realServerOf(server, family, port)));
  const service = {
    address: virtualAddresses[plan.address]! as IpAddress,
    port,
    protocol: plan.udp ? 'udp' : 'tcp',
    scheduler: { name: 'rr', hashPort: plan.hashPort, fallback: plan.fallback },
    realServers,
    ...(plan.onePacket && plan.udp ? { onePacket: true } : {}),
    ...(plan.persistence === undefined
      ? {}
      : {
          persistence: {
            timeoutMs: plan.persistence.timeoutMs,
            prefixLength: prefixes[family][plan.persistence.prefix]!,
          },
        }),
  } as const;
  const alive = plan.alive;
  return {
    service,
    selector: selectorOf(plan, realServers.length),
    ...(alive === undefined ? {} : { alive: realServers.map((_, index) => ((alive >> index) & 1) === 1) }),
  };
}

function realServerOf(plan: ServerPlan, family: 'ipv4' | 'ipv6', servicePort: number): RealServer {
  return {
    address: serverHosts[family][plan.host]! as IpAddress,
    port: plan.direct ? servicePort : serverPorts[plan.port]!,
    weight: plan.weight,
    forwardingMethod: plan.direct ? 'direct-route' : 'masquerade',
    ...(plan.upper === 0 ? {} : { upperThreshold: plan.upper, lowerThreshold: Math.min(plan.lower, plan.upper) }),
  };
}

/** A service names an endpoint once: the configuration is refused otherwise. */
function distinct(realServers: readonly RealServer[]): RealServer[] {
  return [...new Map(realServers.map((server) => [`${server.address} ${server.port}`, server])).values()];
}

const overheads: readonly Overhead[] = [
  connectionOverhead,
  { active: 1, inactive: 0, constant: 1 },
  { active: 3, inactive: 7, constant: 0 },
];

function selectorOf(plan: ServicePlan, servers: number): Selector {
  const indexes = servers === 0 ? [] : plan.slots.map((slot) => slot % servers);
  if (plan.selector === 'sequence') return { shape: 'sequence', slots: Uint16Array.from(indexes) };
  if (plan.selector === 'least') {
    const candidates = [...new Set(indexes)].map((realServer, i) => ({
      realServer,
      divisor: 1 + (plan.slots[i]! % 3),
    }));
    return { shape: 'least', overhead: overheads[plan.slots[0]! % overheads.length]!, candidates };
  }
  const slots = Uint16Array.from(plan.slots, (slot) => (slot === 7 || servers === 0 ? emptySlot : slot % servers));
  return { shape: 'hash', slots, seed: 1, hashPort: plan.hashPort };
}

const serverPlans: fc.Arbitrary<ServerPlan> = fc.record({
  host: fc.nat(2),
  port: fc.nat(1),
  direct: rarely(4),
  weight: fc.constantFrom(1, 1, 1, 0, 3),
  upper: fc.constantFrom(0, 0, 0, 1, 2, 4),
  lower: fc.nat(2),
});

const servicePlans: fc.Arbitrary<ServicePlan> = fc.record({
  address: fc.constantFrom(0, 0, 1, 2, 2, 3),
  port: fc.nat(1),
  udp: rarely(3),
  servers: fc.array(serverPlans, { minLength: 1, maxLength: 3, size: 'max' }),
  selector: fc.constantFrom('sequence' as const, 'hash' as const, 'least' as const),
  slots: fc.array(fc.nat(7), { minLength: 1, maxLength: 5, size: 'max' }),
  hashPort: fc.boolean(),
  fallback: fc.boolean(),
  alive: seldom(3, fc.nat(7)),
  // With such timeouts the sweep refreshes templates in each of its rounds, often enough that it does not matter whether it
  // passes a template or a connection of it first.
  persistence: seldom(4, fc.record({ timeoutMs: fc.constantFrom(6_500, 7_900), prefix: fc.nat(2) })),
  onePacket: rarely(4),
});

const endpointOf = (plan: ServicePlan): string => `${plan.address} ${plan.port} ${plan.udp}`;

export const configurationPlans: fc.Arbitrary<ConfigurationPlan> = fc.record({
  services: fc.uniqueArray(servicePlans, { minLength: 1, maxLength: 4, size: 'max', selector: endpointOf }),
  leases: fc.tuple(
    ...virtualAddresses.map(() =>
      fc.constantFrom(leaseSlots[0], leaseSlots[0], leaseSlots[0], leaseSlots[1], -1, undefined),
    ),
  ),
  answers: fc.tuple(...virtualAddresses.map(() => rarely(5).map((no) => !no))),
  graceMs: fc.constantFrom(0, 1_000, 2_500),
  timeouts: fc.constantFrom(0, 0, 1),
  deadServers: seldom(3, fc.nat(2)),
  sloppy: seldom(3, fc.boolean()),
});

/** True once in so many times. */
export function rarely(times: number): fc.Arbitrary<boolean> {
  return fc.nat(times - 1).map((number) => number === times - 1);
}

/** A value once in so many times, otherwise undefined. */
export function seldom<Value>(times: number, arbitrary: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> {
  return fc.oneof({ weight: times - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
}

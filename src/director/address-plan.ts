// SPDX-License-Identifier: Apache-2.0
import type { EngineAddress } from '../engine/engine.ts';
import { type Family, familyOf, type IpAddress, isLinkLocal } from '../lib/ip-address.ts';
import type { Configuration, ConfiguredService } from '../model/configuration.ts';
import { forwardingMethods } from '../model/forwarding-method.ts';
import { endlessLease, routerLeaseSlotsMax } from '../model/lease.ts';
import { routerKey, type VirtualRouter } from '../model/virtual-router.ts';
import type { RealServer } from '../model/virtual-service.ts';

/** A virtual router with everything this director needs to run it; plain data that is sent to the vrrp process. */
export interface RouterAssignment {
  readonly router: VirtualRouter;
  /** Index into the lease array. */
  readonly leaseSlot: number;
  /**
   * Addresses that are put on an interface while active. The engine answers for the others itself: if they were on an
   * interface, the kernel would reset their connections.
   */
  readonly installed: ReadonlySet<IpAddress>;
}

export interface AddressPlan {
  readonly routers: readonly RouterAssignment[];
  readonly addresses: readonly EngineAddress[];
  /** Every interface that the engine has to receive from. */
  readonly interfaces: readonly string[];
  /** The families of the virtual services: the kernel must not forward the packets that the engine forwards. */
  readonly families: ReadonlySet<Family>;
}

/** The part that a plan takes from the previous plan, which is this director's or its predecessor's. */
export type PreviousPlan = Pick<AddressPlan, 'routers'>;

/** How the host reaches an address: the interface of its route, and whether the host holds the address itself. */
export type Locate = (address: IpAddress) => { readonly interface: string; readonly held: boolean } | undefined;

/**
 * Decides whether the engine or the kernel answers for each virtual address, and under which lease. Virtual routers
 * that were in the `previous` plan keep their lease slots, so that a reload never moves a lease. Throws a sentence
 * when the host's addresses or routes do not allow the configuration.
 */
export function planAddresses(
  configuration: Configuration,
  previous: PreviousPlan | undefined,
  locate: Locate,
): AddressPlan {
  const served = new Set(configuration.services.map((service) => service.address));
  const answered = addressesToAnswer(configuration, served, locate);
  refuseHeldAddresses(configuration, answered, previous, locate);
  const slots = assignSlots(configuration.virtualRouters, leaseSlotsOf(previous));
  const routers = configuration.virtualRouters.map((router) => ({
    router: withRealServers(router, configuration),
    leaseSlot: slots.get(routerKey(router))!,
    installed: new Set(router.addresses.map(({ address }) => address).filter((address) => !answered.has(address))),
  }));
  const elected = routers.flatMap(({ router, leaseSlot }) =>
    router.addresses
      .filter(({ address }) => answered.has(address))
      .map((address) => ({ address: address.address, interface: address.interface, leaseSlot, answer: true })),
  );
  const unelected = [...served]
    .filter((address) => !elected.some((one) => one.address === address))
    .map((address) => planUnelected(address, locate));
  const addresses = [...elected, ...unelected];
  return {
    routers,
    addresses,
    interfaces: collectInterfaces(configuration, addresses, locate),
    families: new Set([...served].map(familyOf)),
  };
}

/**
 * The virtual addresses that the engine answers for: those with a virtual service, and those that real servers behind
 * masquerade use as their gateway. The kernel would go on answering for a gateway address on an interface after the
 * director's processes were killed; the engine answers only under a lease.
 */
function addressesToAnswer(
  { services, virtualRouters }: Configuration,
  served: ReadonlySet<IpAddress>,
  locate: Locate,
): ReadonlySet<IpAddress> {
  const replying = services.flatMap(poolOf).filter((server) => forwardingMethods[server.forwardingMethod].seesReplies);
  // A link-local address can be the gateway of any prefix, so only the family is compared.
  const behind = new Set(replying.map(({ address }) => `${locate(address)?.interface} ${familyOf(address)}`));
  const gateways = virtualRouters
    .flatMap((router) => router.addresses)
    .filter(({ address, interface: name }) => behind.has(`${name} ${familyOf(address)}`))
    .map(({ address }) => address);
  return new Set([...served, ...gateways]);
}

/**
 * The servers that decide by their routes whether the virtual router can take part: those of the services at its
 * addresses. One without services, for example with the gateway of masqueraded real servers alone, goes with all services
 * of its family, so that it stays beside them.
 */
function withRealServers(router: VirtualRouter, { services, trackRoutes }: Configuration): VirtualRouter {
  if (trackRoutes === false) return router;
  const own = services.filter(({ address }) => router.addresses.some((each) => each.address === address));
  const followed = own.length > 0 ? own : services.filter(({ address }) => familyOf(address) === router.family);
  if (followed.length === 0) return router;
  return { ...router, realServers: [...new Set(followed.flatMap(poolOf).map(({ address }) => address))] };
}

/** Every server to which a service may forward. */
function poolOf({ realServers, sorryServer }: ConfiguredService): readonly RealServer[] {
  return sorryServer === undefined ? realServers : [...realServers, sorryServer];
}

/** If another program has put an address on an interface, the kernel would answer for it even on a backup. */
function refuseHeldAddresses(
  { virtualRouters }: Configuration,
  answered: ReadonlySet<IpAddress>,
  previous: PreviousPlan | undefined,
  locate: Locate,
): void {
  const own = new Set(previous?.routers.flatMap(({ installed }) => [...installed]));
  for (const address of answered) {
    const place = own.has(address) ? undefined : locate(address);
    if (place?.held && concerns(place.interface, address, virtualRouters)) {
      throw new Error(
        `${address} is on ${place.interface} already, whose kernel would reset its connections; take it off: ` +
          `ip address del ${address}/LENGTH dev ${place.interface}`,
      );
    }
  }
}

/** The same link-local address on another interface is another address. */
function concerns(interfaceName: string, address: IpAddress, routers: readonly VirtualRouter[]): boolean {
  if (!isLinkLocal(address)) return true;
  return routers.some((router) =>
    router.addresses.some((each) => each.address === address && each.interface === interfaceName),
  );
}

function leaseSlotsOf(plan: PreviousPlan | undefined): Map<string, number> {
  return new Map(plan?.routers.map(({ router, leaseSlot }) => [routerKey(router), leaseSlot]) ?? []);
}

function assignSlots(routers: readonly VirtualRouter[], previous: ReadonlyMap<string, number>): Map<string, number> {
  const slots = new Map<string, number>();
  for (const router of routers) {
    const slot = previous.get(routerKey(router));
    if (slot !== undefined) slots.set(routerKey(router), slot);
  }
  const taken = new Set(slots.values());
  let free = 0;
  for (const router of routers) {
    if (slots.has(routerKey(router))) continue;
    while (taken.has(free)) free += 1;
    if (free >= routerLeaseSlotsMax) {
      throw new Error(`there are more than ${routerLeaseSlotsMax} vrrp_instances; remove some`);
    }
    taken.add(free);
    slots.set(routerKey(router), free);
  }
  return slots;
}

function planUnelected(address: IpAddress, locate: Locate): EngineAddress {
  const place = locate(address);
  if (place === undefined) {
    throw new Error(`no interface has a route to virtual_server ${address}; put the address into a vrrp_instance`);
  }
  return { address, interface: place.interface, leaseSlot: endlessLease, answer: true };
}

function collectInterfaces(
  configuration: Configuration,
  addresses: readonly EngineAddress[],
  locate: Locate,
): string[] {
  const names = new Set(addresses.map((address) => address.interface));
  for (const service of configuration.services) {
    for (const server of poolOf(service)) {
      const place = locate(server.address);
      if (place?.held) throw new Error(explainOwnAddress(server, service, place.interface));
      if (place !== undefined) names.add(place.interface);
    }
  }
  return [...names].sort();
}

function explainOwnAddress(server: RealServer, service: ConfiguredService, interfaceName: string): string {
  const role = server === service.sorryServer ? 'sorry' : 'real';
  return (
    `${role}_server ${server.address} is an address of this director itself (${interfaceName}), ` +
    `and no engine forwards to its own host yet; move the ${role} server to another host`
  );
}

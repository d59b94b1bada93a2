// SPDX-License-Identifier: Apache-2.0
import type { Locate } from '../../../director/address-plan.ts';
import type { Family } from '../../../lib/ip-address.ts';
import { if_indextoname } from '../libc.ts';
import { interfaceFacts } from './interface-facts.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import { dumpRoutes, RouteTable } from './routes.ts';
import { RT_TABLE_LOCAL } from './rtnetlink.ts';

/** A snapshot of the kernel's routes, as the director's address plan asks for them. */
export function takeRouteSnapshot(): Locate {
  const netlink = new NetlinkSocket();
  try {
    const routes = new RouteTable(dumpRoutes(netlink));
    return (address) => {
      const route = routes.lookup(address);
      const hop = route?.hops[0];
      if (route === undefined || hop === undefined) return undefined;
      const held = route.table === RT_TABLE_LOCAL;
      if (!held && !route.unicast) return undefined;
      const name = if_indextoname(hop.interfaceIndex);
      return name === undefined ? undefined : { interface: name, held };
    };
  } finally {
    netlink.close();
  }
}

/**
 * Throws a sentence when the portable engine cannot work on an interface: there is none of that name, or the kernel
 * would forward its packets a second time, not rewritten. `families` are those of the virtual services.
 */
export function refuseKernelForwarding(name: string, families: Iterable<Family> = ['ipv4']): void {
  const facts = interfaceFacts(name);
  for (const family of families) {
    if (!(family === 'ipv6' ? facts.forwardingIpv6 : facts.forwarding)) continue;
    const setting = `net.${family}.conf.${name}.forwarding`;
    throw new Error(
      `${setting} is on, so the kernel would forward the packets of virtual services beside the ` +
        `portable engine; switch it off: sysctl -w ${setting}=0`,
    );
  }
}

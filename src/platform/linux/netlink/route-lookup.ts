// SPDX-License-Identifier: Apache-2.0
import { familyOf, type IpAddress, ipAddressBytes } from '../../../lib/ip-address.ts';
import { errnos } from '../system-error.ts';
import { viewOf } from './message.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import {
  familyNumber,
  parseRoute,
  RTA_DST,
  RTM_F_FIB_MATCH,
  RTM_GETROUTE,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV4_RULE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_IPV6_RULE,
  RTNLGRP_LINK,
  RTNLGRP_NEXTHOP,
  rtmsgLength,
} from './rtnetlink.ts';

/** The reports of a host whose routes change without end must not keep the election from its timers. */
const datagramsMax = 64;
/** The answers for no route, and for routes of the types unreachable, prohibit and blackhole (net/ipv4/fib_semantics.c). */
const leadsNowhere: ReadonlySet<number> = new Set([
  errnos.ENETUNREACH,
  errnos.EHOSTUNREACH,
  errnos.EACCES,
  errnos.EINVAL,
]);

/**
 * Asks the kernel for single routes, as `ip route get ADDRESS fibmatch` does, which takes some microseconds however long
 * its tables are, and hears that something may have changed. What changes is not looked at.
 */
export class RouteLookup {
  readonly #requests = new NetlinkSocket();
  readonly #monitor = new NetlinkSocket([
    RTNLGRP_LINK,
    RTNLGRP_IPV4_IFADDR,
    RTNLGRP_IPV4_ROUTE,
    RTNLGRP_IPV4_RULE,
    RTNLGRP_IPV6_IFADDR,
    RTNLGRP_IPV6_ROUTE,
    RTNLGRP_IPV6_RULE,
    RTNLGRP_NEXTHOP,
  ]);
  #settling = false;

  /** Whether a unicast route over a link that is up leads to the address. True when the kernel cannot answer. */
  hasRoute(address: IpAddress): boolean {
    const bytes = ipAddressBytes(address);
    const request = new Uint8Array(rtmsgLength);
    request[0] = familyNumber(familyOf(address));
    request[1] = bytes.length * 8;
    viewOf(request).setUint32(8, RTM_F_FIB_MATCH, true);
    try {
      const answer = this.#requests.query(RTM_GETROUTE, request, [[RTA_DST, bytes]]);
      if (typeof answer === 'number') return !leadsNowhere.has(answer);
      const route = parseRoute(answer.payload);
      if (!route.ok) return true;
      const { unicast, hops, allHops } = route.value;
      // A nexthop object may stand for hops that are not listed (net.ipv4.nexthop_compat_mode).
      return unicast && (hops.length > 0 || allHops.length === 0);
    } catch {
      return true;
    }
  }

  /**
   * Whether routes may have changed since the last call, of which there are many a second. A link takes its routes along
   * just after its own report, so that the call after a change gives true as well.
   */
  changed(): boolean {
    let heard = false;
    const outcome = this.#monitor.receive(() => {
      heard = true;
    }, datagramsMax);
    const found = heard || outcome === 'overrun';
    const settled = this.#settling;
    this.#settling = found;
    return found || settled;
  }

  close(): void {
    this.#requests.close();
    this.#monitor.close();
  }
}

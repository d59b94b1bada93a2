// SPDX-License-Identifier: Apache-2.0
import type { KernelEvent, KernelLink, KernelNeighbour, NeighbourState } from '../../engine/xdp/kernel-routes.ts';
import type { Clock } from '../../lib/clock.ts';
import { type Family, familyOf, type IpAddress, ipAddressBytes } from '../../lib/ip-address.ts';
import { type NetlinkMessage, NLM_F_CREATE, parseAttributes, viewOf } from './netlink-message.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import { RouteBook } from './route-follower-book.ts';
import { ReadableWatch } from './route-follower-wait.ts';
import {
  FRA_PRIORITY,
  familyNumber,
  fibRuleHeaderLength,
  ifinfomsgLength,
  type Link,
  NDA_DST,
  type Neighbour,
  NTF_USE,
  NUD_STALE,
  NUD_VALID,
  ndmsgLength,
  parseLink,
  parseNeighbour,
  parseRoute,
  type RouteDetail,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELROUTE,
  RTM_GETLINK,
  RTM_GETNEIGH,
  RTM_GETROUTE,
  RTM_GETRULE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWROUTE,
  RTM_NEWRULE,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV4_RULE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_IPV6_RULE,
  RTNLGRP_LINK,
  RTNLGRP_NEIGH,
  rtmsgLength,
} from './rtnetlink.ts';

export interface RouteFollowerSettings {
  readonly clock: Clock;
  /** What has changed, in the kernel's order. The first call, from within `start`, brings all there is. */
  readonly onEvents: (events: readonly KernelEvent[]) => void;
  /** A sentence for the log. */
  readonly onWarning: (sentence: string) => void;
}

const families = ['ipv4', 'ipv6'] as const;
/** The priorities of the rules that every network namespace begins with (net/ipv4/fib_rules.c, net/ipv6/fib6_rules.c). */
const defaultRulePriorities = [0, 32_766, 32_767];
/** Reading the routes may take at most this share of the time, however fast they change. */
const dumpShareMax = 0.1;
/**
 * A link or an IPv4 address takes routes with it without a word (net/ipv4/fib_frontend.c: fib_disable_ip), and only
 * after it was reported itself: the routes are read a little later, and once more for a kernel that was slow.
 */
const settleMs = 20;
const confirmMs = 500;
const retryMs = 1000;
/** The event loop gets its turn after so many datagrams of notifications. */
const datagramsMax = 128;
const macLength = 6;

/**
 * Follows the kernel's links, neighbours and routes (the tables local, main and default) by rtnetlink on Node's event
 * loop. Policy rules are not followed: when there are any, a warning says so once.
 */
export class RouteFollower {
  readonly #clock: Clock;
  readonly #onEvents: (events: readonly KernelEvent[]) => void;
  readonly #onWarning: (sentence: string) => void;
  readonly #requests: NetlinkSocket;
  /** Errors of what is sent here arrive among the notifications, and are ignored there. */
  readonly #monitor: NetlinkSocket;
  readonly #book = new RouteBook();
  readonly #links = new Map<number, KernelLink>();
  /** When the routes of a family have to be read next. */
  readonly #dumpAtMs: Record<Family, number> = { ipv4: Number.POSITIVE_INFINITY, ipv6: Number.POSITIVE_INFINITY };
  #confirmAtMs = Number.NEGATIVE_INFINITY;
  #dumpEarliestMs = Number.NEGATIVE_INFINITY;
  #pending: KernelEvent[] = [];
  /** Everything has to be read again. */
  #lost = false;
  #timerMs = Number.POSITIVE_INFINITY;
  #cancelTimer: (() => void) | undefined;
  #watch: ReadableWatch | undefined;
  #warnedOfRules = false;
  #closed = false;

  /** Throws a SystemError when the kernel gives no socket. */
  constructor({ clock, onEvents, onWarning }: RouteFollowerSettings) {
    this.#clock = clock;
    this.#onEvents = onEvents;
    this.#onWarning = onWarning;
    this.#requests = new NetlinkSocket();
    // Before the first dump, so that no change falls in between.
    this.#monitor = new NetlinkSocket([
      RTNLGRP_LINK,
      RTNLGRP_NEIGH,
      RTNLGRP_IPV4_IFADDR,
      RTNLGRP_IPV4_ROUTE,
      RTNLGRP_IPV4_RULE,
      RTNLGRP_IPV6_IFADDR,
      RTNLGRP_IPV6_ROUTE,
      RTNLGRP_IPV6_RULE,
    ]);
  }

  /** Reads and reports everything before it returns, then follows. Throws a SystemError when the kernel does not answer. */
  start(): void {
    this.#readEverything();
    this.#report();
    this.#watch = new ReadableWatch(this.#monitor.fd, () => this.#guarded(() => this.#drain()));
  }

  /**
   * Tells the kernel that a neighbour is in use: an unknown one is resolved, a stale one confirmed, and what comes of it
   * is reported. Where the kernel refuses (no buffer space, the interface is going away) nothing happens: ask again.
   */
  ask(interfaceIndex: number, address: IpAddress): void {
    if (this.#closed) return;
    const structure = new Uint8Array(ndmsgLength);
    // struct ndmsg { u8 family; u8 pad; u16 pad; s32 ifindex; u16 state; u8 flags; u8 type; }
    const view = viewOf(structure);
    view.setUint8(0, familyNumber(familyOf(address)));
    view.setInt32(4, interfaceIndex, true);
    view.setUint8(10, NTF_USE);
    try {
      this.#monitor.send(RTM_NEWNEIGH, NLM_F_CREATE, structure, [[NDA_DST, ipAddressBytes(address)]]);
    } catch {
      // As the doc comment says.
    }
  }

  /** Resolves when nothing of it is left. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTimer?.();
    await this.#watch?.close();
    this.#monitor.close();
    this.#requests.close();
  }

  #drain(): void {
    const outcome = this.#monitor.receive((message) => this.#apply(message), datagramsMax);
    if (outcome === 'overrun') this.#lost = true;
    this.#report();
    this.#arm();
  }

  /** A kernel that does not answer is asked again: it must not end the process. */
  #guarded(task: () => void): void {
    try {
      task();
    } catch (error) {
      this.#onWarning(
        `the kernel's routes and neighbours could not be read and may be out of date; trying again: ${(error as Error).message}`,
      );
      this.#lost = true;
      this.#dumpEarliestMs = this.#clock.nowMs() + retryMs;
      this.#arm();
    }
  }

  #report(): void {
    const events = [...this.#pending, ...this.#book.takeChanges()];
    this.#pending = [];
    if (events.length > 0) this.#onEvents(events);
  }

  #apply({ type, payload, flags }: NetlinkMessage): void {
    if (type === RTM_NEWNEIGH || type === RTM_DELNEIGH) {
      const neighbour = parseNeighbour(payload);
      if (neighbour.ok && !isGroup(neighbour.value.address))
        this.#pending.push(neighbourEvent(neighbour.value, type === RTM_DELNEIGH));
    } else if (type === RTM_NEWROUTE || type === RTM_DELROUTE) {
      const route = parseRoute(payload);
      if (!route.ok) return;
      const outcome = this.#book.apply(route.value, type === RTM_DELROUTE, flags);
      if (outcome === 'unclear') this.#requestDump([route.value.family], 0);
    } else if (type === RTM_NEWLINK || type === RTM_DELLINK) {
      this.#applyLink(payload, type === RTM_DELLINK);
    } else if (type === RTM_NEWADDR || type === RTM_DELADDR) {
      const family = families.find((each) => familyNumber(each) === payload[0]);
      if (family !== undefined) this.#expectSilentChange([family]);
    } else if (type === RTM_NEWRULE) this.#checkRule(payload);
  }

  #applyLink(payload: Uint8Array, gone: boolean): void {
    // A bridge reports its ports under the family of bridges (net/bridge/br_netlink.c), also when one leaves it: that
    // is not the end of the interface.
    const link = payload[0] === 0 ? parseLink(payload) : undefined;
    if (!link?.ok) return;
    const now = kernelLink(link.value);
    const { interfaceIndex } = now;
    const known = this.#links.get(interfaceIndex);
    if (gone) {
      this.#links.delete(interfaceIndex);
      this.#pending.push({ kind: 'linkGone', interfaceIndex });
    } else {
      if (known !== undefined && sameLink(known, now)) return;
      this.#links.set(interfaceIndex, now);
      this.#pending.push({ kind: 'link', link: now });
    }
    if (gone || known?.up !== now.up) this.#expectSilentChange(families);
  }

  #readEverything(): void {
    const links: KernelLink[] = [];
    this.#requests.dump(
      RTM_GETLINK,
      new Uint8Array(ifinfomsgLength),
      () => {
        links.length = 0;
      },
      ({ type, payload }) => {
        const link = type === RTM_NEWLINK && payload[0] === 0 ? parseLink(payload) : undefined;
        if (link?.ok) links.push(kernelLink(link.value));
      },
    );
    this.#links.clear();
    for (const link of links) this.#links.set(link.interfaceIndex, link);
    this.#pending.push({ kind: 'links', links });
    const neighbours = families.flatMap((family) => this.#readNeighbours(family));
    this.#pending.push({ kind: 'neighbours', neighbours });
    for (const family of families) this.#readRoutes(family);
    this.#readRules();
    this.#lost = false;
  }

  #readNeighbours(family: Family): KernelNeighbour[] {
    const neighbours: KernelNeighbour[] = [];
    const request = new Uint8Array(ndmsgLength);
    request[0] = familyNumber(family);
    const restart = (): void => {
      neighbours.length = 0;
    };
    this.#requests.dump(RTM_GETNEIGH, request, restart, ({ type, payload }) => {
      const neighbour = type === RTM_NEWNEIGH ? parseNeighbour(payload) : undefined;
      if (neighbour?.ok && !isGroup(neighbour.value.address)) neighbours.push(kernelNeighbour(neighbour.value));
    });
    return neighbours;
  }

  #readRoutes(family: Family): void {
    const routes: RouteDetail[] = [];
    const request = new Uint8Array(rtmsgLength);
    request[0] = familyNumber(family);
    const restart = (): void => {
      routes.length = 0;
    };
    this.#requests.dump(RTM_GETROUTE, request, restart, ({ type, payload }) => {
      const route = type === RTM_NEWROUTE ? parseRoute(payload) : undefined;
      if (route?.ok) routes.push(route.value);
    });
    this.#book.replaceFamily(family, routes);
    this.#dumpAtMs[family] = Number.POSITIVE_INFINITY;
  }

  #readRules(): void {
    for (const family of families) {
      const request = new Uint8Array(fibRuleHeaderLength);
      request[0] = familyNumber(family);
      this.#requests.dump(
        RTM_GETRULE,
        request,
        () => {},
        ({ type, payload }) => {
          if (type === RTM_NEWRULE) this.#checkRule(payload);
        },
      );
    }
  }

  #checkRule(payload: Uint8Array): void {
    if (this.#warnedOfRules || !families.some((family) => familyNumber(family) === payload[0])) return;
    const attributes = parseAttributes(payload, fibRuleHeaderLength);
    const bytes = attributes.ok ? attributes.value.get(FRA_PRIORITY) : undefined;
    // The rule of priority 0 goes without the attribute.
    const priority = bytes?.length === 4 ? viewOf(bytes).getUint32(0, true) : 0;
    if (defaultRulePriorities.includes(priority)) return;
    this.#warnedOfRules = true;
    this.#onWarning(
      `this host has policy routing rules (one of priority ${priority}), which the engine does not follow: it forwards by the ` +
        'tables local, main and default; make sure that clients and real servers are reached by these (see "ip rule")',
    );
  }

  #expectSilentChange(which: readonly Family[]): void {
    this.#requestDump(which, settleMs);
    this.#confirmAtMs = this.#clock.nowMs() + confirmMs;
  }

  #requestDump(which: readonly Family[], delayMs: number): void {
    const atMs = Math.max(this.#clock.nowMs() + delayMs, this.#dumpEarliestMs);
    for (const family of which) this.#dumpAtMs[family] = Math.min(this.#dumpAtMs[family], atMs);
  }

  #arm(): void {
    const atMs = Math.min(
      ...Object.values(this.#dumpAtMs),
      this.#lost ? this.#dumpEarliestMs : Number.POSITIVE_INFINITY,
    );
    if (this.#closed || atMs >= this.#timerMs) return;
    this.#cancelTimer?.();
    this.#timerMs = atMs;
    this.#cancelTimer = this.#clock.callAt(atMs, () => {
      this.#timerMs = Number.POSITIVE_INFINITY;
      this.#guarded(() => this.#readDue());
    });
  }

  #readDue(): void {
    const startMs = this.#clock.nowMs();
    // What was reported before the dump is in it, and must not be taken for what came after.
    if (this.#monitor.receive((message) => this.#apply(message)) === 'overrun') this.#lost = true;
    const due = families.filter((family) => this.#dumpAtMs[family] <= startMs);
    if (this.#lost) this.#readEverything();
    else for (const family of due) this.#readRoutes(family);
    if (this.#confirmAtMs > startMs && due.length > 0) {
      for (const family of due) this.#dumpAtMs[family] = this.#confirmAtMs;
    }
    const endMs = this.#clock.nowMs();
    this.#dumpEarliestMs = endMs + (endMs - startMs) * (1 / dumpShareMax - 1);
    this.#report();
    this.#arm();
  }
}

function kernelLink({ index, name, macAddress, mtu, up, running }: Link): KernelLink {
  return { interfaceIndex: index, name, macAddress, mtu, up: up && running };
}

function sameLink(a: KernelLink, b: KernelLink): boolean {
  const sameMac =
    a.macAddress.length === b.macAddress.length && a.macAddress.every((byte, i) => byte === b.macAddress[i]);
  return sameMac && a.name === b.name && a.mtu === b.mtu && a.up === b.up;
}

function neighbourEvent(neighbour: Neighbour, gone: boolean): KernelEvent {
  if (!gone) return { kind: 'neighbour', neighbour: kernelNeighbour(neighbour) };
  return { kind: 'neighbourGone', interfaceIndex: neighbour.interfaceIndex, address: neighbour.address };
}

/** The kernel lists the groups that it has sent to (RFC 1112, RFC 2464 section 7): a group is nobody's neighbour. */
function isGroup(address: IpAddress): boolean {
  return familyOf(address) === 'ipv6' ? /^ff[0-9a-f]{2}:/.test(address) : Number.parseInt(address, 10) >= 224;
}

function kernelNeighbour({ interfaceIndex, address, state, macAddress }: Neighbour): KernelNeighbour {
  return { interfaceIndex, address, state: neighbourState(state, macAddress), macAddress };
}

function neighbourState(state: number, macAddress: Uint8Array): NeighbourState {
  if ((state & NUD_VALID) === 0 || macAddress.length !== macLength) return 'unresolved';
  return (state & NUD_STALE) !== 0 ? 'stale' : 'usable';
}

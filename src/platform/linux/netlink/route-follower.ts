// SPDX-License-Identifier: Apache-2.0
import type { KernelEvent, KernelLink } from '../../../engine/xdp/kernel-routes.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { Family, IpAddress } from '../../../lib/ip-address.ts';
import type { NetlinkMessage } from './message.ts';
import { useNeighbour } from './neighbour-request.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import { RouteBook } from './route-book.ts';
import {
  linkOf,
  neighbourEventOf,
  policyRuleOf,
  readLinks,
  readNeighbours,
  readPolicyRules,
  readRoutes,
  readRoutesInTurns,
} from './route-dump.ts';
import { ReadableWatch } from './route-wait.ts';
import {
  familyNumber,
  parseRoute,
  type RouteDetail,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELNEXTHOP,
  RTM_DELROUTE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWNEXTHOP,
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
  RTNLGRP_NEXTHOP,
} from './rtnetlink.ts';

export interface RouteFollowerSettings {
  readonly clock: Clock;
  /** The changes, in the kernel's order. The first call, from within `start`, reports everything that exists. */
  readonly onEvents: (events: readonly KernelEvent[]) => void;
  /** A sentence for the log. */
  readonly onWarning: (sentence: string) => void;
}

interface RouteNotification {
  readonly detail: RouteDetail;
  readonly gone: boolean;
  readonly flags: number;
}

const families = ['ipv4', 'ipv6'] as const;
/** Reading the routes may go on for at most this share of the time, however fast they change. */
const dumpShareMax = 0.2;
/** The longest pause between two dumps, even if `dumpShareMax` asks for more: routes may be out of date until then. */
const restMsMax = 1000;
/**
 * When a link, an IPv4 address or a nexthop object goes, its routes go without a notification (net/ipv4/fib_frontend.c:
 * fib_disable_ip; net/ipv4/nexthop.c: __remove_nexthop_fib), and only after its own one: the routes are read a little
 * later, and once more in case the kernel was slow.
 */
const settleMs = 20;
const confirmMs = 500;
const retryMs = 1000;
/** The event loop runs other work after so many datagrams of notifications. */
const datagramsMax = 128;
/** More notifications than this during a dump lead to another one. */
const meanwhileMax = 10_000;

/**
 * Follows the kernel's links, neighbours and routes (the tables local, main and default) by rtnetlink on Node's event
 * loop. Policy rules are not followed: when there are any, a warning says so once.
 */
export class RouteFollower {
  readonly #clock: Clock;
  readonly #onEvents: (events: readonly KernelEvent[]) => void;
  readonly #onWarning: (sentence: string) => void;
  readonly #requests: NetlinkSocket;
  /** The kernel's refusals of requests that are sent here arrive among the notifications, and are ignored there. */
  readonly #monitor: NetlinkSocket;
  readonly #book = new RouteBook();
  readonly #links = new Map<number, KernelLink>();
  #pending: KernelEvent[] = [];
  /** When the routes of a family have to be read next. */
  readonly #dumpAtMs: Record<Family, number> = { ipv4: Number.POSITIVE_INFINITY, ipv6: Number.POSITIVE_INFINITY };
  #confirmAtMs = Number.NEGATIVE_INFINITY;
  #dumpEarliestMs = Number.NEGATIVE_INFINITY;
  /** Everything has to be read again. */
  #lost = false;
  #reading = false;
  /** Route notifications since the current dump began. */
  #meanwhile: RouteNotification[] = [];
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
      RTNLGRP_NEXTHOP,
    ]);
  }

  /** Reads and reports everything before it returns, then follows. Throws a SystemError when the kernel does not answer. */
  start(): void {
    this.#readAllButRoutes();
    for (const family of families) this.#book.replaceFamily(family, readRoutes(this.#requests, family));
    this.#report();
    this.#watch = new ReadableWatch(this.#monitor.fd, () => void this.#guarded(() => this.#drain()));
  }

  /**
   * Tells the kernel that a neighbour is in use: an unknown one is resolved, a stale one confirmed, and the outcome is
   * reported. When the kernel refuses nothing happens: ask again. For `startOver` see `useNeighbour`.
   */
  ask(interfaceIndex: number, address: IpAddress, startOver: boolean): void {
    if (!this.#closed) useNeighbour(this.#monitor, { interfaceIndex, address }, startOver);
  }

  /** Resolves when its sockets are closed and nothing more is reported. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTimer?.();
    await this.#watch?.close();
    this.#monitor.close();
    this.#requests.close();
  }

  #drain(): void {
    if (this.#monitor.receive((message) => this.#apply(message), datagramsMax) === 'overrun') this.#lost = true;
    this.#report();
    this.#arm();
  }

  /** When the kernel does not answer, it is asked again later: its silence must not end the process. */
  async #guarded(task: () => void | Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      this.#onWarning(
        "the kernel's routes and neighbours could not be read and may be out of date, which is tried again every second: " +
          (error as Error).message,
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

  #apply(message: NetlinkMessage): void {
    const { type, payload, flags } = message;
    if (type === RTM_NEWNEIGH || type === RTM_DELNEIGH) {
      const event = neighbourEventOf(message);
      if (event !== undefined) this.#pending.push(event);
    } else if (type === RTM_NEWROUTE || type === RTM_DELROUTE) {
      const route = parseRoute(payload);
      if (route.ok) this.#applyRoute({ detail: route.value, gone: type === RTM_DELROUTE, flags });
    } else if (type === RTM_NEWLINK || type === RTM_DELLINK) {
      this.#applyLink(payload, type === RTM_DELLINK);
    } else if (type === RTM_NEWADDR || type === RTM_DELADDR) {
      const family = families.find((each) => familyNumber(each) === payload[0]);
      if (family !== undefined) this.#expectSilentChange([family]);
    } else if (type === RTM_NEWNEXTHOP || type === RTM_DELNEXTHOP) this.#expectSilentChange(families);
    else if (type === RTM_NEWRULE) this.#warnOfRule(policyRuleOf(payload));
  }

  #applyRoute(notification: RouteNotification): void {
    const { detail, gone, flags } = notification;
    const outcome = this.#book.apply(detail, gone, flags);
    const forgotten = this.#reading && this.#meanwhile.length >= meanwhileMax;
    if (this.#reading && !forgotten) this.#meanwhile.push(notification);
    if (outcome === 'unclear' || forgotten) this.#requestDump([detail.family], this.#clock.nowMs());
  }

  #applyLink(payload: Uint8Array, gone: boolean): void {
    const link = linkOf(payload);
    if (link === undefined) return;
    const { interfaceIndex } = link;
    const known = this.#links.get(interfaceIndex);
    if (gone) {
      this.#links.delete(interfaceIndex);
      this.#pending.push({ kind: 'linkGone', interfaceIndex });
    } else {
      if (known !== undefined && sameLink(known, link)) return;
      this.#links.set(interfaceIndex, link);
      this.#pending.push({ kind: 'link', link });
    }
    if (gone || known?.up !== link.up) this.#expectSilentChange(families);
  }

  #warnOfRule(priority: number | undefined): void {
    if (priority === undefined || this.#warnedOfRules) return;
    this.#warnedOfRules = true;
    this.#onWarning(
      `this host has policy routing rules (one of priority ${priority}), which the engine does not follow: it forwards by the ` +
        'tables local, main and default; make sure that clients and real servers are reached by these (see "ip rule")',
    );
  }

  #expectSilentChange(which: readonly Family[]): void {
    const nowMs = this.#clock.nowMs();
    this.#requestDump(which, nowMs + settleMs);
    this.#confirmAtMs = nowMs + confirmMs;
  }

  #requestDump(which: readonly Family[], atMs: number): void {
    for (const family of which) this.#dumpAtMs[family] = Math.min(this.#dumpAtMs[family], atMs);
  }

  #arm(): void {
    const wantedMs = this.#lost ? Number.NEGATIVE_INFINITY : Math.min(...Object.values(this.#dumpAtMs));
    const atMs = Math.max(wantedMs, this.#dumpEarliestMs);
    if (this.#closed || this.#reading || atMs >= this.#timerMs) return;
    this.#cancelTimer?.();
    this.#timerMs = atMs;
    this.#cancelTimer = this.#clock.callAt(atMs, () => {
      this.#timerMs = Number.POSITIVE_INFINITY;
      void this.#guarded(() => this.#readDue());
    });
  }

  async #readDue(): Promise<void> {
    const startMs = this.#clock.nowMs();
    this.#reading = true;
    try {
      // The dump contains the changes that were reported before it; they must not be applied as later ones.
      if (this.#monitor.receive((message) => this.#apply(message)) === 'overrun') this.#lost = true;
      const due = families.filter((family) => this.#lost || this.#dumpAtMs[family] <= startMs);
      if (this.#lost) this.#readAllButRoutes();
      this.#lost = false;
      for (const family of due) await this.#readRoutesAgain(family);
      if (this.#confirmAtMs > startMs) this.#requestDump(due, this.#confirmAtMs);
    } finally {
      this.#reading = false;
      const endMs = this.#clock.nowMs();
      this.#dumpEarliestMs = endMs + Math.min((endMs - startMs) * (1 / dumpShareMax - 1), restMsMax);
    }
    if (this.#closed) return;
    this.#report();
    this.#arm();
  }

  #readAllButRoutes(): void {
    const links = readLinks(this.#requests);
    this.#links.clear();
    for (const link of links) this.#links.set(link.interfaceIndex, link);
    const neighbours = families.flatMap((family) => readNeighbours(this.#requests, family));
    this.#pending.push({ kind: 'links', links }, { kind: 'neighbours', neighbours });
    for (const family of families) {
      for (const priority of readPolicyRules(this.#requests, family)) this.#warnOfRule(priority);
    }
  }

  async #readRoutesAgain(family: Family): Promise<void> {
    const start = (): void => {
      this.#meanwhile = [];
      this.#dumpAtMs[family] = Number.POSITIVE_INFINITY;
    };
    const routes = await readRoutesInTurns(this.#requests, family, start, () => this.#closed);
    if (routes === undefined) return;
    this.#book.replaceFamily(family, routes);
    // The dump is older than some of the notifications that came while it was read, and newer than the rest: applied
    // once more, in order, they lead to the kernel's present routes.
    const meanwhile = this.#meanwhile;
    this.#meanwhile = [];
    for (const each of meanwhile) if (each.detail.family === family) this.#applyRoute(each);
  }
}

function sameLink(a: KernelLink, b: KernelLink): boolean {
  const sameMac =
    a.macAddress.length === b.macAddress.length && a.macAddress.every((byte, i) => byte === b.macAddress[i]);
  return sameMac && a.name === b.name && a.mtu === b.mtu && a.up === b.up;
}

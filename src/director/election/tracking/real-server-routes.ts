// SPDX-License-Identifier: Apache-2.0
import type { FaultReason } from '../../../../vrrp/faults.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { IpAddress } from '../../../lib/ip-address.ts';
import { routerKey, type VirtualRouter } from '../../../model/virtual-router.ts';
import type { Observation, TrackedObject, Verdict } from './tracked-object.ts';

export interface RealServerRoutesPorts {
  readonly clock: Clock;
  /** Whether the kernel has a route that leads somewhere, over a living link; true where it cannot be told. */
  readonly hasRoute: (address: IpAddress) => boolean;
  /** A verdict has changed with the passing of time: the election is to assess again. */
  readonly onChange: () => void;
}

/** What is known of the real servers of one virtual router. */
interface Servers {
  holdMs: number;
  readonly addresses: readonly IpAddress[];
  /** The one to ask about next. After a round that found a route: the one that it leads to. */
  next: number;
  /** How many are to be asked about until this round is over; 0: it is. */
  left: number;
  /** Routes have changed during the round, which may have missed it: another one follows. */
  again: boolean;
  /** No round has ended yet. */
  fresh: boolean;
  /** Something else is wrong, which may have taken the routes along. */
  masked: boolean;
  /** Since then no round has found a route. */
  lostSinceMs: number | undefined;
  fault: boolean;
  /** Has been judged since the last poll. */
  judged: boolean;
}

/** A look-up takes some 20 µs. Advertisements wait for so many of them at most. */
const lookupsMax = 128;
const pauseMs = 10;
const holdIntervals = 1.5;
const holdMsMin = 100;
const holdMsMax = 3_000;
const faults: readonly Verdict[] = [{ kind: 'fault', reason: { kind: 'route' } }];

/**
 * For so long there must be no route before it is a fault: programs that replace routes take them off first. A peer takes
 * over within its active down interval, twice as long.
 */
export function routeHoldMs({ advertIntervalMs }: Pick<VirtualRouter, 'advertIntervalMs'>): number {
  return Math.min(holdMsMax, Math.max(holdMsMin, holdIntervals * advertIntervalMs));
}

/**
 * A virtual router whose real servers can none of them be reached forwards nothing, however well its link is. One with a
 * route is enough, and the kernel is asked about them in turn, in rounds that end with the first: a round follows each
 * report of changed routes and each poll. While something else is wrong no fault is raised here, because a link or an
 * address that goes takes routes along, and brings them back a moment later.
 */
export class RealServerRoutes implements TrackedObject {
  readonly #ports: RealServerRoutesPorts;
  /** By `routerKey`. */
  readonly #servers = new Map<string, Servers>();
  #disarm = (): void => {};

  constructor(ports: RealServerRoutesPorts) {
    this.#ports = ports;
  }

  observe({ kind }: Observation): void {
    if (kind === 'verdict') return;
    if (kind === 'poll') this.#forget();
    for (const each of this.#servers.values()) beginRound(each);
    this.#run();
  }

  judge(router: VirtualRouter, earlier: readonly FaultReason[]): readonly Verdict[] {
    const key = routerKey(router);
    const addresses = router.realServers ?? [];
    const known = this.#servers.get(key);
    const servers = known !== undefined && isSame(known.addresses, addresses) ? known : renewed(router, known);
    this.#servers.set(key, servers);
    const masked = earlier.length > 0;
    const unmasked = servers.masked && !masked;
    Object.assign(servers, { holdMs: routeHoldMs(router), masked, judged: true });
    if (masked) servers.lostSinceMs = undefined;
    if (unmasked) beginRound(servers);
    if (unmasked || servers !== known) this.#run([servers]);
    return servers.fault ? faults : [];
  }

  #forget(): void {
    for (const [key, servers] of this.#servers) {
      if (!servers.judged) this.#servers.delete(key);
      servers.judged = false;
    }
  }

  /** Goes on with rounds for as long as that may take. Gives whether a verdict has changed. */
  #run(some: Iterable<Servers> = this.#servers.values()): boolean {
    const nowMs = this.#ports.clock.nowMs();
    let lookups = lookupsMax;
    let changed = false;
    for (const servers of some) {
      const before = servers.fault;
      for (; servers.left > 0 && lookups > 0; lookups -= 1) this.#ask(servers, nowMs);
      changed ||= servers.fault !== before;
    }
    this.#arm(nowMs);
    return changed;
  }

  #ask(servers: Servers, nowMs: number): void {
    const { addresses } = servers;
    if (this.#ports.hasRoute(addresses[servers.next]!)) {
      Object.assign(servers, { left: 0, fresh: false, lostSinceMs: undefined, fault: false });
    } else {
      servers.next = (servers.next + 1) % addresses.length;
      servers.left -= 1;
      if (servers.left > 0) return;
      endWithoutRoute(servers, nowMs);
    }
    if (servers.again) beginRound(servers);
  }

  #arm(nowMs: number): void {
    this.#disarm();
    let atMs = Number.POSITIVE_INFINITY;
    for (const { left, lostSinceMs, fault, holdMs } of this.#servers.values()) {
      if (left > 0) atMs = Math.min(atMs, nowMs + pauseMs);
      else if (lostSinceMs !== undefined && !fault) atMs = Math.min(atMs, lostSinceMs + holdMs);
    }
    if (atMs === Number.POSITIVE_INFINITY) return;
    this.#disarm = this.#ports.clock.callAt(atMs, () => this.#timer());
  }

  #timer(): void {
    const nowMs = this.#ports.clock.nowMs();
    for (const servers of this.#servers.values()) {
      const { lostSinceMs, fault, left, holdMs } = servers;
      const due = lostSinceMs !== undefined && !fault && left === 0 && nowMs >= lostSinceMs + holdMs;
      if (due) beginRound(servers);
    }
    if (this.#run()) this.#ports.onChange();
  }
}

/** With the verdict that it had: other real servers of a router that is active must not end its role for an instant. */
function renewed(router: VirtualRouter, known: Servers | undefined): Servers {
  const addresses = router.realServers ?? [];
  const fault = known?.fault === true && addresses.length > 0;
  return {
    holdMs: routeHoldMs(router),
    addresses,
    next: 0,
    left: addresses.length,
    again: false,
    fresh: known === undefined,
    masked: known?.masked ?? false,
    lostSinceMs: fault ? known.lostSinceMs : undefined,
    fault,
    judged: true,
  };
}

function beginRound(servers: Servers): void {
  servers.again = servers.left > 0;
  if (!servers.again) servers.left = servers.addresses.length;
}

/** A router that starts without a route has never been of use: its fault waits for nothing. */
function endWithoutRoute(servers: Servers, nowMs: number): void {
  const { fresh, masked, holdMs } = servers;
  servers.fresh = false;
  if (masked) return;
  servers.lostSinceMs ??= nowMs;
  if (fresh || nowMs >= servers.lostSinceMs + holdMs) servers.fault = true;
}

function isSame(one: readonly IpAddress[], other: readonly IpAddress[]): boolean {
  return one.length === other.length && one.every((address, index) => address === other[index]);
}

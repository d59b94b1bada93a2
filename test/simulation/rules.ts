// SPDX-License-Identifier: Apache-2.0

import type { ElectionChange } from '../../src/director/election/election-view.ts';
import type { RunningRouter } from '../../src/director/election/running-router.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import { activeDownIntervalMs } from '../../vrrp/timers.ts';
import type { FlatRouter } from '../support/election.ts';
import { delayBoundMs, type Hearing } from './hearing.ts';

export const ruleTexts = {
  'one lease': 'two directors that can hear each other never hold a lease for one virtual router',
  'an active one': 'with the network whole and every director alive one of them is active within a bound',
  'proven copy': 'nobody preempts before its connection table is a proven copy',
  'heard by both': 'nobody preempts an active director that its synchronisation has not heard for long',
  'equal tables': 'with the network whole all tables become equal',
  'takeover order': 'lease, addresses, announcement; and back: lease and addresses gone before the farewell leaves',
  'silent after a pause': 'a director that stood still beyond its lease sends nothing for the addresses',
  'bounded memory': 'queues, timers and tables stay within their bounds',
  'no broken session': 'a single failure breaks no session that was established before it',
  'publisher alive': 'no connection is admitted while nobody publishes it',
  'published first':
    'no client sees a session established before its peers have been told of it, as far as the budget goes',
  'youngest session': 'a failure of a director breaks no session that its client has seen established',
  'hang handed over': 'a director of which a part hangs hands its virtual routers over',
  'one change': 'when all directors go on that stood still together, the role changes hands once at most',
} as const;
export type Rule = keyof typeof ruleTexts;

export interface Violation {
  readonly rule: Rule;
  readonly atMs: number;
  readonly text: string;
}

/** One director's part in one virtual router, as observed from outside. */
interface Part {
  readonly director: string;
  readonly slot: number;
  leaseUntilMs: number;
  readonly installed: Set<IpAddress>;
  /** When it became active. */
  termSinceMs: number;
  /** The slowest pace that it advertised. */
  intervalMaxMs: number;
  priority: number;
  /** It stood still beyond its lease and has not stepped down since. */
  owesSilence: boolean;
  /** When its sync thread, which stood still, went on; and whether the vrrp process did with it. */
  syncThawed: { readonly atMs: number; readonly wholly: boolean } | undefined;
}

/** The parts of a director that the rules observe. */
export interface WatchedDirector {
  readonly name: string;
  readonly routers: readonly FlatRouter[];
  readonly syncHost: { readonly frozen: boolean };
  readonly publisher: { readonly untilMs: number; readonly isNeeded: boolean };
  readonly hosts: readonly { readonly name: string; readonly timersArmed: number; readonly waiting: number }[];
  readonly engine: {
    readonly size: number;
    heldKeys(slot: number, publishedBeforeMs: number): string[];
    hasKey(key: string): boolean;
  };
  readonly replication: { status(): { readonly counters: Readonly<Record<string, number>> } };
}

export interface RulesSetting {
  readonly nowMs: () => number;
  readonly hearing: Hearing;
  readonly director: (name: string) => WatchedDirector | undefined;
  readonly names: readonly string[];
  /** Whether the client of a connection has closed it. */
  readonly isOver: (key: string) => boolean;
  /** When the sync thread of `to` last read a datagram of `from`. */
  readonly syncHeardMs: (from: string, to: string) => number;
  readonly write: (director: string, text: string) => void;
}

/** Replication may take this long when every message is lost once: gap tolerance, and the silence that ends a peer. */
const replicationBoundMs = 600;
/** A peer that sync has not heard for this long counts as gone, and the gate closes. */
export const syncSilenceMs = 450;
/** The silence is noticed at a timer, and told to the election after that. */
const gateLatenessMs = 100;
/** So long after a pause the gate may be as it was before. */
const thawedForMs = 2;
/** `pauseMs` in vrrp/backup.ts. */
const unnoticedPauseMs = 100;
const timersMax = 24;
/** Timers are so late, and advertisements so long under way. */
const undecidedMs = 5;

/** Watches the leases, addresses, announcements and advertisements of all directors. Keeps the first violation. */
export class Rules {
  readonly #setting: RulesSetting;
  readonly #parts = new Map<string, Part>();
  readonly #bySlot: Part[][] = [];
  violation: Violation | undefined;
  /** Overlaps of two that took over at the same moment: neither could have heard the other yet. */
  simultaneous = 0;
  /** The director that forwards, or did last, by lease slot. */
  readonly #holders = new Map<number, string>();
  /** The changes of the role since all went on together; undefined when that is over, or has not been. */
  #changes: Map<number, { count: number; max: number }> | undefined;

  constructor(setting: RulesSetting) {
    this.#setting = setting;
  }

  break(rule: Rule, text: string): void {
    this.violation ??= { rule, atMs: this.#setting.nowMs(), text };
  }

  started(director: string, routers: readonly FlatRouter[]): void {
    for (const { leaseSlot: slot, priority, advertIntervalMs } of routers) {
      this.#parts.set(`${director} ${slot}`, {
        director,
        slot,
        leaseUntilMs: 0,
        installed: new Set(),
        termSinceMs: Number.NEGATIVE_INFINITY,
        intervalMaxMs: advertIntervalMs,
        priority,
        owesSilence: false,
        syncThawed: undefined,
      });
      const others = this.#setting.names.filter((name) => name !== director);
      this.#setting.hearing.started(slot, director, others, this.#setting.nowMs());
      this.#bySlot[slot] = [...this.#parts.values()].filter((part) => part.slot === slot);
    }
  }

  /** Its processes are gone, and with them the lease memory. */
  died(director: string): void {
    for (const part of this.#of(director)) {
      part.leaseUntilMs = 0;
      part.installed.clear();
      part.owesSilence = false;
    }
    this.#setting.hearing.forget(director);
  }

  thawing(director: string): void {
    const nowMs = this.#setting.nowMs();
    for (const part of this.#of(director)) part.owesSilence = part.leaseUntilMs > 0 && part.leaseUntilMs <= nowMs;
  }

  syncThawing(director: string, wholly: boolean): void {
    const atMs = this.#setting.nowMs();
    for (const part of this.#of(director)) part.syncThawed = { atMs, wholly };
  }

  granted(director: string, slot: number, untilMs: number): void {
    const part = this.#part(director, slot);
    const nowMs = this.#setting.nowMs();
    if (part.leaseUntilMs <= nowMs) {
      this.#setting.write(director, `vr${slot} lease begins`);
      this.#noteHolder(director, slot);
      if (part.installed.size > 0)
        this.break('takeover order', `${director} had addresses of vr${slot} before the lease`);
    }
    part.leaseUntilMs = untilMs;
    this.checkLeases(slot);
  }

  /** To be called when the next failure begins: from here on the role may change. */
  failing(): void {
    this.#changes = undefined;
  }

  wentOnTogether(): void {
    this.#changes = new Map();
    for (const slot of this.#bySlot.keys()) this.#changes.set(slot, { count: 0, max: this.#changesMax(slot) });
  }

  admitted(director: string, slot: number): void {
    const { publisher } = this.#setting.director(director)!;
    if (!publisher.isNeeded || this.#setting.nowMs() < publisher.untilMs) return;
    this.break('publisher alive', `${director} admits a session of vr${slot} that nobody publishes`);
  }

  establishedUnpublished(director: string, session: number): void {
    this.break('published first', `session ${session} is established at ${director}, and no peer has been told`);
  }

  /** One that handed over and is active again found nobody else active. */
  checkHung(director: string, part: string, sinceMs: number): void {
    const nowMs = this.#setting.nowMs();
    for (const { slot, leaseUntilMs, termSinceMs } of this.#of(director)) {
      if (leaseUntilMs <= nowMs || termSinceMs > sinceMs) continue;
      this.break('hang handed over', `${director} is active for vr${slot} although its ${part} hangs`);
    }
  }

  revoked(director: string, slot: number): void {
    const part = this.#part(director, slot);
    if (part.leaseUntilMs > this.#setting.nowMs()) this.#setting.write(director, `vr${slot} lease revoked`);
    part.leaseUntilMs = 0;
  }

  addressAdded(director: string, address: IpAddress): void {
    const part = this.#holder(director, address);
    if (part.leaseUntilMs <= this.#setting.nowMs()) {
      this.break('takeover order', `${director} adds ${address} without a lease`);
    }
    part.installed.add(address);
  }

  addressRemoved(director: string, address: IpAddress): void {
    for (const part of this.#of(director)) part.installed.delete(address);
  }

  announced(director: string, address: IpAddress): void {
    const part = this.#holder(director, address);
    if (part.owesSilence) this.break('silent after a pause', `${director} announces ${address} after its pause`);
    if (part.leaseUntilMs <= this.#setting.nowMs()) {
      this.break('takeover order', `${director} announces ${address} without a lease`);
    }
    const configured = this.#configured(director, part.slot)?.addresses ?? [];
    const missing = configured.filter(({ address: one, install }) => install && !part.installed.has(one));
    if (missing.length > 0)
      this.break('takeover order', `${director} announces before ${missing[0]!.address} is there`);
  }

  advertised(director: string, slot: number, priority: number, intervalMs: number): void {
    const part = this.#part(director, slot);
    part.intervalMaxMs = Math.max(part.intervalMaxMs, intervalMs);
    if (priority > 0) {
      part.priority = priority;
      if (part.owesSilence) this.break('silent after a pause', `${director} advertises vr${slot} after its pause`);
      return;
    }
    if (part.leaseUntilMs > this.#setting.nowMs())
      this.break('takeover order', `${director} resigns vr${slot} under a lease`);
    if (part.installed.size > 0)
      this.break('takeover order', `${director} resigns vr${slot} before its addresses are gone`);
  }

  changed(director: string, running: Readonly<RunningRouter>, change: ElectionChange): void {
    if (change.kind !== 'transition') return;
    const part = this.#part(director, running.assignment.leaseSlot);
    part.owesSilence = false;
    // Going on in another process is the same term.
    if (running.state.kind !== 'active' || change.reason === 'succession') return;
    part.termSinceMs = this.#setting.nowMs();
    if (change.reason !== 'preempting' && change.reason !== 'owner') return;
    this.#checkHeard(part);
    this.#checkCopy(part);
  }

  /** To be called at every step after which leases may overlap or two directors may hear each other. */
  checkLeases(slot: number): void {
    const nowMs = this.#setting.nowMs();
    const holders = (this.#bySlot[slot] ?? []).filter(({ leaseUntilMs }) => leaseUntilMs > nowMs);
    for (const [i, one] of holders.entries()) {
      for (const other of holders.slice(i + 1)) this.#checkPair(one, other, nowMs);
    }
  }

  holders(slot: number): readonly string[] {
    const nowMs = this.#setting.nowMs();
    return (this.#bySlot[slot] ?? [])
      .filter(({ leaseUntilMs }) => leaseUntilMs > nowMs)
      .map(({ director }) => director);
  }

  checkBounds(director: WatchedDirector): void {
    for (const host of director.hosts) {
      if (host.timersArmed > timersMax)
        this.break('bounded memory', `${host.name} has ${host.timersArmed} timers armed`);
      if (host.waiting > 256) this.break('bounded memory', `${host.waiting} messages wait for ${host.name}`);
    }
    const queued = director.replication.status().counters['import.queuedRecords'] ?? 0;
    if (queued > 1024) this.break('bounded memory', `${queued} records wait for the table of ${director.name}`);
    if (director.engine.size > 1024)
      this.break('bounded memory', `${director.engine.size} entries at ${director.name}`);
  }

  #checkPair(one: Part, other: Part, nowMs: number): void {
    const intervalMs = Math.max(one.intervalMaxMs, other.intervalMaxMs);
    const durationMs = activeDownIntervalMs(Math.min(one.priority, other.priority), intervalMs) + delayBoundMs;
    if (!this.#setting.hearing.mutual(one.slot, one.director, other.director, durationMs, nowMs)) return;
    const begunMs = Math.max(one.termSinceMs, other.termSinceMs);
    const apartMs = Math.abs(one.termSinceMs - other.termSinceMs);
    if (apartMs <= delayBoundMs && nowMs - begunMs <= 2 * delayBoundMs) {
      this.simultaneous += 1;
      return;
    }
    const untilMs = (part: Part): string => `${part.director} until ${part.leaseUntilMs.toFixed(1)}`;
    this.break('one lease', `vr${one.slot}: ${untilMs(one)} and ${untilMs(other)}`);
  }

  /**
   * Sync may be cut while VRRP is not. A director whose sync hears a third one cannot tell which of the two it is that
   * VRRP hears as active.
   */
  #checkHeard({ director, slot, syncThawed, intervalMaxMs }: Part): void {
    const { names, syncHeardMs } = this.#setting;
    const nowMs = this.#setting.nowMs();
    if (this.#setting.director(director)?.syncHost.frozen !== false) return;
    // The gate closes a moment after the sync thread goes on. The election notices no pause between two advertisements.
    const thawed = syncThawed !== undefined && nowMs - syncThawed.atMs < thawedForMs;
    if (thawed && !syncThawed.wholly) return;
    const unnoticedMs = thawed ? intervalMaxMs + unnoticedPauseMs : 0;
    const boundMs = syncSilenceMs + gateLatenessMs + unnoticedMs;
    const isHeard = (name: string): boolean => nowMs - syncHeardMs(name, director) < boundMs;
    if (names.some(isHeard)) return;
    for (const name of this.holders(slot)) {
      if (name !== director) this.break('heard by both', `${director} preempts ${name} for vr${slot}, unheard by sync`);
    }
  }

  /** Compares the tables: a preempting director has all entries that the present holder published long enough ago. */
  #checkCopy({ director, slot }: Part): void {
    const nowMs = this.#setting.nowMs();
    const own = this.#setting.director(director);
    // When one of two that are active closes a session, a third one forgets it: docs/limits.md.
    const isOfThree = this.#setting.names.length > 2;
    for (const name of this.holders(slot)) {
      const other = this.#setting.director(name);
      if (other === undefined || own === undefined || name === director) continue;
      if (nowMs - this.#setting.syncHeardMs(name, director) >= syncSilenceMs) continue;
      const isMissing = (key: string): boolean => !own.engine.hasKey(key) && !(isOfThree && this.#setting.isOver(key));
      const missing = other.engine.heldKeys(slot, nowMs - replicationBoundMs).filter(isMissing);
      if (missing.length > 0) {
        this.break(
          'proven copy',
          `${director} preempts ${name} for vr${slot} without ${missing.length} of its entries`,
        );
      }
    }
  }

  #noteHolder(director: string, slot: number): void {
    const former = this.#holders.get(slot);
    this.#holders.set(slot, director);
    const changes = this.#changes?.get(slot);
    if (changes === undefined || former === director) return;
    changes.count += 1;
    if (changes.count > changes.max) {
      this.break(
        'one change',
        `the role of vr${slot} has changed hands ${changes.count} times, to ${director} at last`,
      );
    }
  }

  /** Where skew times differ by less than what timers and the network take, chance decides who is first. */
  #changesMax(slot: number): number {
    const holder = this.#holders.get(slot);
    const own = holder === undefined ? undefined : this.#configured(holder, slot);
    if (own === undefined || holder === undefined) return 2;
    const waitMs = activeDownIntervalMs(own.priority, own.advertIntervalMs);
    const others = this.#setting.names.filter((name) => name !== holder);
    const isTold = others.every((name) => {
      const { priority = 0 } = this.#configured(name, slot) ?? {};
      return Math.abs(activeDownIntervalMs(priority, own.advertIntervalMs) - waitMs) > undecidedMs;
    });
    return isTold ? 1 : 2;
  }

  #configured(director: string, slot: number): FlatRouter | undefined {
    return this.#setting.director(director)?.routers.find(({ leaseSlot }) => leaseSlot === slot);
  }

  #holder(director: string, address: IpAddress): Part {
    const configured = this.#setting.director(director)?.routers ?? [];
    const router = configured.find(({ addresses }) => addresses.some((one) => one.address === address));
    return this.#part(director, router?.leaseSlot ?? 0);
  }

  #of(director: string): Part[] {
    return [...this.#parts.values()].filter((part) => part.director === director);
  }

  #part(director: string, slot: number): Part {
    return this.#parts.get(`${director} ${slot}`)!;
  }
}

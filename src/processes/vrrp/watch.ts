// SPDX-License-Identifier: Apache-2.0
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { Sign } from '../../model/lease.ts';

/** A part that has given no sign of life for this long is late. */
const silenceMaxMs = 500;
export const signPeriodMs = 100;
/** How far ahead a part signs: it is late when it has missed its turn by `silenceMaxMs`. */
export const signMs = signPeriodMs + silenceMaxMs;
/**
 * The director's event loop may be held up by a reload, and the data path needs it for nothing: it gets as long as the
 * successor of a director that has died.
 */
const directorPatienceMs = 5_000;
/** After a hang, before the hold of the handover ends: sync has found out by then what it has missed, and so have checks. */
const settledAfterMs = 2_000;
const lookPeriodMs = 50;
/** This process itself did not run for so long: what it finds says nothing about the others. */
const ownPauseMs = 150;

export interface PartsWatchParts {
  readonly clock: Clock;
  /** Signs of life: Infinity when nobody watches the part, 0 when it has never signed. */
  readonly signedUntilMs: (part: Sign) => number;
  /** Whether the director's channel is open. A director that has died is the matter of the grace period. */
  readonly hasDirector: () => boolean;
  /** The names of the virtual routers that are active here. */
  readonly active: () => readonly string[];
  /** They resign, and do not preempt until `release`. */
  readonly handOver: () => void;
  readonly release: () => void;
  /** Nobody else is there: new connections are admitted although no peer hears of them. */
  readonly stay: () => void;
  /** While something is late the gate counts as closed: a director of which half hangs takes over from a dead one only. */
  readonly onLate: (isLate: boolean) => void;
  /** This process has stood still, or the director does: what it has told of its gate is old. False: its parts have turned since. */
  readonly onOutdated: (isOutdated: boolean) => void;
  readonly log: Log;
}

/** What has been done about the present hang. */
type Answer = 'none' | 'handedOver' | 'stays';

/**
 * Watches from the vrrp process whether the director's event loop and its sync thread still run. Advertisements alone would
 * keep the addresses at a director that checks no real server and publishes no connection. What hangs is handed over once. If
 * nobody is there to take over, this director stays active: known connections go on, which is better than nothing.
 */
export class PartsWatch {
  readonly #parts: PartsWatchParts;
  #lookedAtMs: number;
  /** No verdict before: after a pause of this process the others get time to sign. */
  #blindUntilMs = 0;
  /** The sync thread, and then the event loop of the director, must have signed after this; undefined: they have. */
  #turn: { readonly of: 'sync' | 'director'; readonly sinceMs: number } | undefined;
  #late: string | undefined;
  #answer: Answer = 'none';
  #wellSinceMs = Number.NEGATIVE_INFINITY;
  #waits = false;

  constructor(parts: PartsWatchParts) {
    this.#parts = parts;
    this.#lookedAtMs = parts.clock.nowMs();
    this.#look();
  }

  /** Whether a virtual router is held because of a hang: until it is over, and settled. */
  get holds(): boolean {
    return this.#answer === 'handedOver';
  }

  #look(): void {
    const { clock, hasDirector } = this.#parts;
    const nowMs = clock.nowMs();
    if (nowMs - this.#lookedAtMs > ownPauseMs) {
      this.#blindUntilMs = nowMs + signMs;
      this.#distrust(nowMs);
    } else this.#awaitTurns(nowMs);
    this.#lookedAtMs = nowMs;
    if (hasDirector() && nowMs >= this.#blindUntilMs) this.#judge(nowMs);
    clock.callAt(nowMs + lookPeriodMs, () => this.#look());
  }

  #distrust(nowMs: number): void {
    if (this.#turn === undefined) this.#parts.onOutdated(true);
    this.#turn = { of: 'sync', sinceMs: nowMs };
  }

  /**
   * The sync thread closes the gate when it goes on and finds what it has missed, and tells so through the director's event
   * loop: each has to turn, one after the other.
   */
  #awaitTurns(nowMs: number): void {
    const { signedUntilMs, onOutdated } = this.#parts;
    if (this.#turn?.of === 'sync') {
      const sync = signedUntilMs(Sign.sync);
      if (sync === 0 || sync >= this.#turn.sinceMs + signMs) this.#turn = { of: 'director', sinceMs: nowMs };
    } else if (this.#turn !== undefined && signedUntilMs(Sign.director) >= this.#turn.sinceMs + signMs) {
      this.#turn = undefined;
      onOutdated(false);
    }
  }

  #judge(nowMs: number): void {
    const { log } = this.#parts;
    const late = this.#findLate(nowMs);
    if (late === undefined) {
      this.#noteWell(nowMs);
      return;
    }
    this.#wellSinceMs = Number.POSITIVE_INFINITY;
    if (this.#late === undefined) {
      this.#late = late;
      log('error', `${late} stands still`);
      this.#parts.onLate(true);
      this.#begin(nowMs);
    } else if (this.#answer !== 'stays' && this.#parts.active().length > 0) {
      // Active after the handover: nobody else was. Active since a hang as a backup: the other one has gone.
      this.#stay();
    }
  }

  #begin(nowMs: number): void {
    const names = this.#parts.active();
    if (names.length === 0) return;
    if (this.#isAlone(nowMs)) {
      this.#stay();
      return;
    }
    this.#answer = 'handedOver';
    this.#parts.handOver();
    this.#parts.log('error', `the virtual routers are handed over, because ${this.#late} stands still`, { names });
  }

  #stay(): void {
    this.#answer = 'stays';
    this.#parts.stay();
    this.#parts.log('error', 'nobody is there to take over: this director goes on with the connections that it has');
  }

  #noteWell(nowMs: number): void {
    if (this.#late === undefined) return;
    if (this.#wellSinceMs > nowMs) {
      this.#wellSinceMs = nowMs;
      this.#parts.log('warn', `${this.#late} runs again`);
    }
    if (nowMs - this.#wellSinceMs < settledAfterMs) return;
    this.#late = undefined;
    this.#parts.onLate(false);
    if (this.#answer === 'handedOver') this.#parts.release();
    this.#answer = 'none';
  }

  #findLate(nowMs: number): string | undefined {
    const { signedUntilMs } = this.#parts;
    const sync = signedUntilMs(Sign.sync);
    if (sync !== 0 && sync <= nowMs) return 'the sync thread';
    const director = signedUntilMs(Sign.director);
    const silentMs = director === 0 ? 0 : nowMs - director + signMs;
    this.#noteWaiting(silentMs);
    // It may have a closed gate to tell of.
    if (silentMs > signMs) this.#distrust(nowMs);
    return silentMs >= directorPatienceMs ? "the director's event loop or its health checks" : undefined;
  }

  #noteWaiting(silentMs: number): void {
    const waits = silentMs > signMs;
    if (waits && !this.#waits) {
      this.#parts.log(
        'warn',
        `the director is late; its virtual routers are handed over after ${directorPatienceMs} ms`,
      );
    }
    this.#waits = waits;
  }

  /** Whether sync has heard no peer when it last looked. Without sync nobody knows, and VRRP has to find out. */
  #isAlone(nowMs: number): boolean {
    const { signedUntilMs } = this.#parts;
    const sync = signedUntilMs(Sign.sync);
    if (sync === 0 || sync === Number.POSITIVE_INFINITY) return false;
    const peer = signedUntilMs(Sign.peer);
    return peer < Math.min(sync, nowMs);
  }
}

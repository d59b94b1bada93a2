// SPDX-License-Identifier: Apache-2.0

/** The states that a heartbeat tells the peers. The index is the number in it. */
export const toldGateStates = ['alone', 'joining', 'inSync'] as const;
export type ToldGateState = (typeof toldGateStates)[number];

/**
 * - `alone`: there is no peer to copy a table from.
 * - `cutOff`: sync hears no peer although VRRP hears a living active director.
 * - `joining`: this director's table may lack connections of a peer.
 * - `inSync`: the table is a copy of every peer's.
 */
export type GateState = ToldGateState | 'cutOff';

/** Everything that decides the gate's state, besides the time. The table is in sync/README.md. */
export interface GateInputs {
  /** The number of peers that are heard. */
  readonly peersHeard: number;
  /** Those of them whose snapshot is in the table and whose stream has no lasting gap. */
  readonly peersInSync: number;
  /** Entries of the peers have been waiting for the table for longer than a gap may last. */
  readonly tableIsBehind: boolean;
  /**
   * VRRP hears another director as active: how long that one may be silent before it counts as gone, in milliseconds.
   * Undefined: VRRP hears none.
   */
  readonly activeDownIntervalMs: number | undefined;
}

/**
 * Begins as `joining`: until `answersUntilMs` a peer may still answer. It opens with `inSync`. Where sync hears nobody it
 * need not open: a director that hears no active one by VRRP either takes over without asking, and a living active one
 * has connections that are not here.
 */
export class Gate {
  #state: GateState = 'joining';
  #answersUntilMs: number;
  /** How long a director that is cut off waits before it preempts all the same. */
  readonly #preemptAfterMs: number;
  /** Since when no peer has been heard. */
  #nobodySinceMs = Number.POSITIVE_INFINITY;
  #cutOffSinceMs = Number.POSITIVE_INFINITY;
  #open = false;

  constructor(answersUntilMs: number, preemptAfterMs = Number.POSITIVE_INFINITY) {
    this.#answersUntilMs = answersUntilMs;
    this.#preemptAfterMs = preemptAfterMs;
  }

  get state(): GateState {
    return this.#state;
  }

  /** Whether this director may preempt a living active one. */
  get open(): boolean {
    return this.#open;
  }

  /** While joining, an answer may arrive until `untilMs`; before then the director is not `alone`. */
  awaitAnswers(untilMs: number): void {
    if (this.#state === 'joining') this.#answersUntilMs = Math.max(this.#answersUntilMs, untilMs);
  }

  /** Returns whether it is in another state, or has opened or closed. */
  update(inputs: GateInputs, nowMs: number): boolean {
    const [before, wasOpen] = [this.#state, this.#open];
    this.#nobodySinceMs = inputs.peersHeard === 0 ? Math.min(this.#nobodySinceMs, nowMs) : Number.POSITIVE_INFINITY;
    this.#state = this.#decide(inputs, nowMs);
    this.#cutOffSinceMs = this.#state === 'cutOff' ? Math.min(this.#cutOffSinceMs, nowMs) : Number.POSITIVE_INFINITY;
    this.#open = this.#state === 'inSync' || nowMs >= this.#cutOffSinceMs + this.#preemptAfterMs;
    return this.#state !== before || this.#open !== wasOpen;
  }

  /** When a director that hears no peer becomes `alone` or `cutOff`, or opens nevertheless; infinity otherwise. */
  nextDeadlineMs({
    peersHeard,
    activeDownIntervalMs,
  }: Pick<GateInputs, 'peersHeard' | 'activeDownIntervalMs'>): number {
    if (peersHeard > 0 || this.#open) return Number.POSITIVE_INFINITY;
    if (this.#state === 'joining') return this.#answersUntilMs;
    if (this.#state === 'cutOff') return this.#cutOffSinceMs + this.#preemptAfterMs;
    return activeDownIntervalMs === undefined ? Number.POSITIVE_INFINITY : this.#nobodySinceMs + activeDownIntervalMs;
  }

  #decide({ peersHeard, peersInSync, tableIsBehind, activeDownIntervalMs }: GateInputs, nowMs: number): GateState {
    if (peersHeard > 0) return tableIsBehind || peersInSync < peersHeard ? 'joining' : 'inSync';
    if (this.#state === 'joining' && nowMs < this.#answersUntilMs) return 'joining';
    // One that has just died is silent in both, and VRRP may be the slower to notice.
    const lives = activeDownIntervalMs !== undefined && nowMs >= this.#nobodySinceMs + activeDownIntervalMs;
    return lives ? 'cutOff' : 'alone';
  }
}

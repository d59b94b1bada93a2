// SPDX-License-Identifier: Apache-2.0

/** The states of a director's own table. The index is the number in a heartbeat. */
export const gateStates = ['alone', 'joining', 'inSync'] as const;

/**
 * - `alone`: there is no peer to copy a table from.
 * - `joining`: this director's table may lack connections of a peer; it does not take over by choice.
 * - `inSync`: the table is a copy of every peer's.
 */
export type GateState = (typeof gateStates)[number];

/** Everything that decides the gate's state, besides the time. */
export interface GateInputs {
  /** The number of peers that are heard. */
  readonly peersHeard: number;
  /** Those of them whose snapshot is in the table and whose stream has no lasting gap. */
  readonly peersInSync: number;
  /** Entries of the peers have been waiting for the table for longer than a gap may last. */
  readonly tableIsBehind: boolean;
}

/** Begins as `joining`: until `answersUntilMs` a peer may still answer. */
export class Gate {
  #state: GateState = 'joining';
  #answersUntilMs: number;

  constructor(answersUntilMs: number) {
    this.#answersUntilMs = answersUntilMs;
  }

  get state(): GateState {
    return this.#state;
  }

  /** While joining, an answer may arrive until `untilMs`; before then the director is not `alone`. */
  awaitAnswers(untilMs: number): void {
    if (this.#state === 'joining') this.#answersUntilMs = Math.max(this.#answersUntilMs, untilMs);
  }

  /** Returns whether the state has changed. */
  update(inputs: GateInputs, nowMs: number): boolean {
    const before = this.#state;
    this.#state = this.#decide(inputs, nowMs);
    return this.#state !== before;
  }

  /** When a director that hears no peer becomes `alone`; infinity otherwise. */
  nextDeadlineMs({ peersHeard }: Pick<GateInputs, 'peersHeard'>): number {
    return peersHeard === 0 && this.#state === 'joining' ? this.#answersUntilMs : Number.POSITIVE_INFINITY;
  }

  #decide({ peersHeard, peersInSync, tableIsBehind }: GateInputs, nowMs: number): GateState {
    if (peersHeard === 0) return this.#state === 'joining' && nowMs < this.#answersUntilMs ? 'joining' : 'alone';
    return tableIsBehind || peersInSync < peersHeard ? 'joining' : 'inSync';
  }
}

// SPDX-License-Identifier: Apache-2.0

/** What a director says of its own table. The index is its number in a heartbeat. */
export const gateStates = ['alone', 'joining', 'inSync'] as const;

/**
 * - `alone`: there is nobody to copy a table from.
 * - `joining`: this director's table may lack connections of a peer; it does not take over by choice.
 * - `inSync`: the table is a copy of every peer's.
 */
export type GateState = (typeof gateStates)[number];

/** All that the gate is decided by, beside the time. */
export interface GateInputs {
  /** Peers that are heard. */
  readonly peersHeard: number;
  /** Those of them whose snapshot is in the table and whose stream has no lasting gap. */
  readonly peersInSync: number;
  /** The table lets what the peers said wait for longer than a gap may last. */
  readonly tableIsBehind: boolean;
}

/** Begins as `joining`: until `answersUntilMs` somebody may still answer. */
export class Gate {
  #state: GateState = 'joining';
  #answersUntilMs: number;

  constructor(answersUntilMs: number) {
    this.#answersUntilMs = answersUntilMs;
  }

  get state(): GateState {
    return this.#state;
  }

  /** While joining, nobody is taken for absent before `untilMs`. */
  awaitAnswers(untilMs: number): void {
    if (this.#state === 'joining') this.#answersUntilMs = Math.max(this.#answersUntilMs, untilMs);
  }

  /** Returns whether the state has changed. */
  update(inputs: GateInputs, nowMs: number): boolean {
    const before = this.#state;
    this.#state = this.#decide(inputs, nowMs);
    return this.#state !== before;
  }

  /** When a director that hears nobody becomes alone; infinity otherwise. */
  nextDeadlineMs({ peersHeard }: Pick<GateInputs, 'peersHeard'>): number {
    return peersHeard === 0 && this.#state === 'joining' ? this.#answersUntilMs : Number.POSITIVE_INFINITY;
  }

  #decide({ peersHeard, peersInSync, tableIsBehind }: GateInputs, nowMs: number): GateState {
    if (peersHeard === 0) return this.#state === 'joining' && nowMs < this.#answersUntilMs ? 'joining' : 'alone';
    return tableIsBehind || peersInSync < peersHeard ? 'joining' : 'inSync';
  }
}

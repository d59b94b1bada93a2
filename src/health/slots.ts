// SPDX-License-Identifier: Apache-2.0

/** Lets a bounded number of attempts run at a time; the others wait in the order of their requests. */
export class Slots {
  #free: number;
  /** A Set keeps the order and allows the removal of a waiting request. */
  readonly #waiting = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  /**
   * Calls `begin` at once, or when a slot is free, with a function that gives the slot back; a second call of that does
   * nothing. Returns a function that withdraws the request while it waits.
   */
  take(begin: (release: () => void) => void): () => void {
    const run = (): void => {
      this.#free -= 1;
      let held = true;
      begin(() => {
        if (!held) return;
        held = false;
        this.#free += 1;
        this.#wakeNext();
      });
    };
    if (this.#free > 0) {
      run();
      return () => {};
    }
    this.#waiting.add(run);
    return () => this.#waiting.delete(run);
  }

  /** Drops the waiting requests; attempts that hold a slot go on. */
  dropWaiting(): void {
    this.#waiting.clear();
  }

  #wakeNext(): void {
    const [next] = this.#waiting;
    if (next === undefined || this.#free === 0) return;
    this.#waiting.delete(next);
    next();
  }
}

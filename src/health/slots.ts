// SPDX-License-Identifier: Apache-2.0

/** Lets a bounded number of attempts run at a time; the others wait in the order in which they came. */
export class Slots {
  #free: number;
  /** A Set keeps the order and lets one that waits leave. */
  readonly #waiting = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  /**
   * Calls `begin` with what gives the slot back, at once or when one is free. Giving back twice is harmless. Returns what
   * takes the request back while it waits.
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

  /** Drops the requests that wait: what holds a slot goes on. */
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

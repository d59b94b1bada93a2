// SPDX-License-Identifier: Apache-2.0

/** A first-in first-out queue that refuses rather than grows: `push` returns false when it is full. */
export class BoundedQueue<Item> {
  readonly #slots: (Item | undefined)[];
  #head = 0;
  #length = 0;
  readonly capacity: number;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#slots = new Array<Item | undefined>(capacity).fill(undefined);
  }

  get length(): number {
    return this.#length;
  }

  push(item: Item): boolean {
    if (this.#length === this.capacity) return false;
    this.#slots[(this.#head + this.#length) % this.capacity] = item;
    this.#length += 1;
    return true;
  }

  shift(): Item | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) % this.capacity;
    this.#length -= 1;
    return item;
  }
}

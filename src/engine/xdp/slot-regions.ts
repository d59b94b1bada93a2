// SPDX-License-Identifier: Apache-2.0

interface Region {
  start: number;
  length: number;
}

/** Which parts of an array are free: first fit, neighbours joined. */
export class SlotRegions {
  /** In order, none empty, none touching the next. */
  readonly #free: Region[];

  constructor(size: number) {
    this.#free = size > 0 ? [{ start: 0, length: size }] : [];
  }

  /** Slots that nobody has, in total. */
  get freeSlots(): number {
    return this.#free.reduce((sum, { length }) => sum + length, 0);
  }

  /** The first slot of a region of `length`; undefined when there is no such gap. A region of none begins at 0. */
  allocate(length: number): number | undefined {
    if (length === 0) return 0;
    const at = this.#free.findIndex((region) => region.length >= length);
    const region = this.#free[at];
    if (region === undefined) return undefined;
    const { start } = region;
    region.start += length;
    region.length -= length;
    if (region.length === 0) this.#free.splice(at, 1);
    return start;
  }

  /** Takes a certain region. False when it is not wholly free: nothing is taken then. */
  reserve(start: number, length: number): boolean {
    if (length === 0) return true;
    const at = this.#free.findIndex(
      (region) => region.start <= start && start + length <= region.start + region.length,
    );
    const region = this.#free[at];
    if (region === undefined) return false;
    const before = { start: region.start, length: start - region.start };
    const after = { start: start + length, length: region.start + region.length - start - length };
    this.#free.splice(at, 1, ...[before, after].filter((rest) => rest.length > 0));
    return true;
  }

  /** Gives a region back. */
  release(start: number, length: number): void {
    if (length === 0) return;
    const found = this.#free.findIndex((region) => region.start > start);
    const at = found < 0 ? this.#free.length : found;
    const before = this.#free[at - 1];
    const after = this.#free[at];
    if ((before !== undefined && before.start + before.length > start) || (after && start + length > after.start)) {
      throw new RangeError(`slots ${start} to ${start + length - 1} were free already; they are released twice`);
    }
    const region = { start, length };
    this.#free.splice(at, 0, region);
    if (after !== undefined && start + length === after.start) {
      region.length += after.length;
      this.#free.splice(at + 1, 1);
    }
    if (before !== undefined && before.start + before.length === start) {
      before.length += region.length;
      this.#free.splice(at, 1);
    }
  }
}

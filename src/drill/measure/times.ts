// SPDX-License-Identifier: Apache-2.0

/** A growing list of moments, each with a 16-bit tag. */
export interface Times {
  add(atMs: number, tag: number): void;
  clear(): void;
  times(): Float64Array;
  tags(): Uint16Array;
  /** The moment added last; −∞ when there is none. */
  lastMs(): number;
}

const capacityMin = 4_096;

export function createTimes(): Times {
  let times = new Float64Array(capacityMin);
  let tags = new Uint16Array(capacityMin);
  let count = 0;
  const grow = (): void => {
    const [oldTimes, oldTags] = [times, tags];
    times = new Float64Array(oldTimes.length * 2);
    times.set(oldTimes);
    tags = new Uint16Array(oldTags.length * 2);
    tags.set(oldTags);
  };
  return {
    add: (atMs, tag) => {
      if (count === times.length) grow();
      times[count] = atMs;
      tags[count] = tag;
      count += 1;
    },
    clear: () => {
      count = 0;
    },
    times: () => times.slice(0, count),
    tags: () => tags.slice(0, count),
    lastMs: () => (count === 0 ? Number.NEGATIVE_INFINITY : times[count - 1]!),
  };
}

// SPDX-License-Identifier: Apache-2.0

/** How forwarding moved from one director to the other. Times are milliseconds of one clock. */
export interface Gap {
  /** The last packet that the old active forwarded before, or while, the new one took over. */
  readonly lastOldMs: number;
  /** The first packet that the new active forwarded. */
  readonly firstNewMs: number;
  /** From the last of the old to the first of the new; 0 when they overlap. */
  readonly gapMs: number;
  /** How long both forwarded; 0 as it must be. */
  readonly overlapMs: number;
}

/** Packets forwarded per slice of time, by the old and by the new active. */
export interface Slice {
  /** Relative to the trigger. */
  readonly fromMs: number;
  readonly old: number;
  readonly new: number;
}

/**
 * Both arrays hold, in order, when a director forwarded a packet, from before the failure until well after it.
 * Undefined when one of them has forwarded nothing: then there was no takeover to measure.
 */
export function measureGap(oldTimes: Float64Array, newTimes: Float64Array): Gap | undefined {
  const lastOldMs = oldTimes.at(-1);
  const firstNewMs = newTimes[0];
  if (lastOldMs === undefined || firstNewMs === undefined) return undefined;
  const gapMs = Math.max(0, firstNewMs - lastOldMs);
  return { lastOldMs, firstNewMs, gapMs, overlapMs: Math.max(0, lastOldMs - firstNewMs) };
}

/** Counts packets per slice of `sliceMs` from `fromMs` to `toMs`, both relative to `triggerMs`. */
export function sliceTimes(
  oldTimes: Float64Array,
  newTimes: Float64Array,
  triggerMs: number,
  { fromMs, toMs, sliceMs }: { readonly fromMs: number; readonly toMs: number; readonly sliceMs: number },
): Slice[] {
  const count = Math.max(1, Math.ceil((toMs - fromMs) / sliceMs));
  const tally = (times: Float64Array): number[] => {
    const counts = new Array<number>(count).fill(0);
    for (const time of times) {
      const index = Math.floor((time - triggerMs - fromMs) / sliceMs);
      if (index >= 0 && index < count) counts[index]! += 1;
    }
    return counts;
  };
  const byOld = tally(oldTimes);
  const byNew = tally(newTimes);
  return byOld.map((old, i) => ({ fromMs: fromMs + i * sliceMs, old, new: byNew[i]! }));
}

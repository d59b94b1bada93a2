// SPDX-License-Identifier: Apache-2.0

/** The move of forwarding from one director to the other. Times are milliseconds of one clock. */
export interface Gap {
  /** The last packet that the old active forwarded before the new one took over for good, or while it did. */
  readonly lastOldMs: number;
  /** The first packet that the new active forwarded then. */
  readonly firstNewMs: number;
  /** From the last of the old to the first of the new; 0 when they overlap. */
  readonly gapMs: number;
  /** The time in which both forwarded at once; it must be 0. */
  readonly overlapMs: number;
  /** The number of times that forwarding moved: 1, unless it went back and forth before it settled. */
  readonly moves: number;
}

/** Packets forwarded per slice of time, by the old and by the new active. */
export interface Slice {
  /** Relative to the trigger. */
  readonly fromMs: number;
  readonly old: number;
  readonly new: number;
}

/** A time in which nothing was forwarded. */
export interface Silence {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Packets of one director with none of the other in between. */
interface Run {
  readonly byNew: boolean;
  readonly firstMs: number;
  lastMs: number;
}

/**
 * An address cannot move to the other director and back in less: preempting alone waits so long. Packets of both that
 * alternate faster were forwarded by two at once.
 */
const moveAndBackMs = 10;

/**
 * Both arrays hold, in order, when a director forwarded a packet, from before the failure until well after it.
 * Undefined when one of them has forwarded nothing: then there was no takeover to measure.
 */
export function measureGap(oldTimes: Float64Array, newTimes: Float64Array): Gap | undefined {
  const runs = runsOf(oldTimes, newTimes);
  const last = runs.findLastIndex(({ byNew }) => byNew);
  if (last < 0 || oldTimes.length === 0) return undefined;
  const isMixed = runs.map((_, i) => alternates(runs, i));
  const overlapMs = sumOverlaps(runs, isMixed);
  const settled = runs.filter((_, i) => !isMixed[i]);
  const moves = settled.filter(({ byNew }, i) => i > 0 && settled[i - 1]!.byNew !== byNew).length;
  let start = last;
  while (isMixed[start - 1] === true) start -= 1;
  if (start < last) {
    const mixed = runs.slice(start, last + 1);
    const lastOldMs = mixed.findLast(({ byNew }) => !byNew)?.lastMs ?? runs[last]!.firstMs;
    return { lastOldMs, firstNewMs: mixed.find(({ byNew }) => byNew)!.firstMs, gapMs: 0, overlapMs, moves };
  }
  const firstNewMs = runs[last]!.firstMs;
  const lastOldMs = runs[last - 1]?.lastMs ?? firstNewMs;
  return { lastOldMs, firstNewMs, gapMs: firstNewMs - lastOldMs, overlapMs, moves };
}

/**
 * The time in which both were active: events of the two that alternate so that the other's next comes within
 * `withinMs`. For packets that is the time an address needs to move and come back, for advertisements two intervals.
 */
export function measureOverlap(left: Float64Array, right: Float64Array, withinMs = moveAndBackMs): number {
  const runs = runsOf(left, right);
  return sumOverlaps(
    runs,
    runs.map((_, i) => alternates(runs, i, withinMs)),
  );
}

/** The longest time from `fromMs` to `toMs` in which neither of two directors forwarded. */
export function longestSilence(left: Float64Array, right: Float64Array, fromMs: number, toMs: number): Silence {
  const within = [...left, ...right].filter((atMs) => atMs > fromMs && atMs < toMs);
  const moments = Float64Array.from([fromMs, ...within, toMs]).sort();
  let longest = 1;
  for (let i = 2; i < moments.length; i += 1) {
    if (moments[i]! - moments[i - 1]! > moments[longest]! - moments[longest - 1]!) longest = i;
  }
  return { fromMs: moments[longest - 1]!, toMs: moments[longest]! };
}

function runsOf(oldTimes: Float64Array, newTimes: Float64Array): Run[] {
  const runs: Run[] = [];
  let [i, j] = [0, 0];
  while (i < oldTimes.length || j < newTimes.length) {
    const byNew = (newTimes[j] ?? Number.POSITIVE_INFINITY) < (oldTimes[i] ?? Number.POSITIVE_INFINITY);
    const timeMs = byNew ? newTimes[j]! : oldTimes[i]!;
    if (byNew) j += 1;
    else i += 1;
    const current = runs.at(-1);
    if (current?.byNew === byNew) current.lastMs = timeMs;
    else runs.push({ byNew, firstMs: timeMs, lastMs: timeMs });
  }
  return runs;
}

/** From the first packet that came while the other was still forwarding to the last one, for each time it happened. */
function sumOverlaps(runs: readonly Run[], isMixed: readonly boolean[]): number {
  let sum = 0;
  for (let i = 0; i < runs.length; i += 1) {
    if (!isMixed[i]) continue;
    const start = i;
    while (isMixed[i + 1] === true) i += 1;
    // A single run amid packets of the other: it is the other's next packet that shows that both went on.
    const endMs = i === start ? runs[i + 1]!.firstMs : runs[i]!.lastMs;
    sum += endMs - runs[start]!.firstMs;
  }
  return sum;
}

/** True when the other director forwarded right before and right after this run. */
function alternates(runs: readonly Run[], i: number, withinMs = moveAndBackMs): boolean {
  const [before, after] = [runs[i - 1], runs[i + 1]];
  return before !== undefined && after !== undefined && after.firstMs - before.lastMs < withinMs;
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

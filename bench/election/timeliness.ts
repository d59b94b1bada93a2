// SPDX-License-Identifier: Apache-2.0

export const directorNames = ['better', 'backup'] as const;

/** The director of the higher priority, which is to be active all the time, and its peer, which is to stay silent. */
export type DirectorName = (typeof directorNames)[number];

/** An advertisement as it was seen on the wire. */
export interface SeenAdvertisement {
  readonly atMs: number;
  readonly from: DirectorName;
  /** The addresses that it says it lists. */
  readonly addresses: number;
}

/** The clock is that of the advertisements. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Timeliness {
  /** By the better director. */
  readonly advertisements: number;
  /** By its peer. */
  readonly foreign: number;
  /**
   * The longest time without an advertisement of the better director, whoever else advertised meanwhile; from the
   * beginning of the span and until its end too.
   */
  readonly longestGapMs: number;
  /** How many times it was silent for longer than one and a half intervals, and than two. */
  readonly over1_5: number;
  readonly over2: number;
  /** How often an advertisement came from another director than the one before it; the better one was active before. */
  readonly changes: number;
}

/** What the wire says about an election in a span of time. The advertisements may be in any order. */
export function timelinessOf(seen: readonly SeenAdvertisement[], span: Span, intervalMs: number): Timeliness {
  const within = seen
    .filter(({ atMs }) => atMs >= span.fromMs && atMs <= span.toMs)
    .toSorted((left, right) => left.atMs - right.atMs);
  const times = within.filter(({ from }) => from === 'better').map(({ atMs }) => atMs);
  const edges = [span.fromMs, ...times, span.toMs];
  const gaps = edges.slice(1).map((atMs, i) => atMs - edges[i]!);
  const senders: DirectorName[] = ['better', ...within.map(({ from }) => from)];
  return {
    advertisements: times.length,
    foreign: within.length - times.length,
    longestGapMs: gaps.reduce((longest, gap) => Math.max(longest, gap), 0),
    over1_5: gaps.filter((gap) => gap > 1.5 * intervalMs).length,
    over2: gaps.filter((gap) => gap > 2 * intervalMs).length,
    changes: senders.slice(1).filter((sender, i) => sender !== senders[i]).length,
  };
}

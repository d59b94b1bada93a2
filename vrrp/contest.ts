// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../src/lib/ip-address.ts';

/** The datagrams by which another router contests the active role: a lesser claim to it, or priority 0. */
export type ContestKind = 'rival' | 'resignation';

/** What one kind of datagram may bring about, and when again. */
export interface Contest {
  /** The senders that were answered within an interval, until it is over. */
  readonly answered: readonly { readonly source: IpAddress; readonly untilMs: number }[];
  /** Until then no set of announcements begins at once. */
  readonly announcesAtMs: number;
  /** A set begins at `announcesAtMs` for what came too soon for one of its own. */
  readonly announcesLater: boolean;
}

const never: Contest = { answered: [], announcesAtMs: Number.NEGATIVE_INFINITY, announcesLater: false };
export const uncontested: Readonly<Record<ContestKind, Contest>> = { rival: never, resignation: never };

/** More than the routers of any segment. A flood from invented addresses gets no more answers than this. */
const answeredMax = 16;
/** A set is one announcement or more for each address, to everybody on the segment: it costs more than an answer. */
const setPeriodMinMs = 1000;

/**
 * What one more datagram of a kind brings about: one answer for each sender and interval. A sender with a shorter
 * interval than this router's is answered at its own pace, because it acquires the addresses unless it is answered while
 * it settles. A set of announcements that comes too soon after another one is
 * not left out but put off, because the switches believe the router that announces last.
 */
export function retort(
  { answered, announcesAtMs, announcesLater }: Contest,
  { advertIntervalMs, holding }: { readonly advertIntervalMs: number; readonly holding: boolean },
  sender: { readonly source: IpAddress; readonly intervalMs: number },
  nowMs: number,
): { readonly answers: boolean; readonly announces: boolean; readonly contest: Contest } {
  const recent = answered.filter(({ untilMs }) => nowMs < untilMs);
  const answers = recent.length < answeredMax && recent.every((each) => each.source !== sender.source);
  const untilMs = nowMs + Math.min(advertIntervalMs, sender.intervalMs);
  if (answers) recent.push({ source: sender.source, untilMs });
  const periodMs = Math.max(advertIntervalMs, setPeriodMinMs);
  // The set that was put off has begun in time, and counts.
  const busyUntilMs = announcesLater ? announcesAtMs + periodMs : announcesAtMs;
  const announces = holding && nowMs >= busyUntilMs;
  const putOffMs = nowMs >= announcesAtMs ? busyUntilMs : announcesAtMs;
  return {
    answers,
    announces,
    contest: {
      answered: recent,
      announcesAtMs: announces ? nowMs + periodMs : holding ? putOffMs : announcesAtMs,
      announcesLater: holding ? !announces : announcesLater,
    },
  };
}

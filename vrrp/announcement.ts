// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../src/lib/ip-address.ts';
import type { AnnouncementPolicy } from '../src/model/virtual-router.ts';

/** The announcements that have not been sent yet. Deadlines are absolute milliseconds. */
export interface AnnouncementSchedule {
  /** The addresses of the current set that have not been announced yet, in order; the first is due at `nextAtMs`. */
  readonly queue: readonly IpAddress[];
  readonly nextAtMs: number;
  readonly secondSetAtMs: number | undefined;
  readonly refreshAtMs: number | undefined;
}

export const noAnnouncements: AnnouncementSchedule = {
  queue: [],
  nextAtMs: Number.POSITIVE_INFINITY,
  secondSetAtMs: undefined,
  refreshAtMs: undefined,
};

/** After a takeover: one set now, one after the delay, then refreshes counted from the second (keepalived's vrrp.c). */
export function startAnnouncing(
  addresses: readonly IpAddress[],
  policy: AnnouncementPolicy,
  nowMs: number,
): AnnouncementSchedule {
  return {
    queue: repeated(addresses, policy.repeat),
    nextAtMs: nowMs,
    secondSetAtMs: policy.delayMs > 0 ? nowMs + policy.delayMs : undefined,
    refreshAtMs: policy.refreshMs > 0 ? nowMs + policy.delayMs + policy.refreshMs : undefined,
  };
}

/** Returns the addresses to announce now, in order, and the schedule of the remaining announcements. */
export function dueAnnouncements(
  schedule: AnnouncementSchedule,
  addresses: readonly IpAddress[],
  policy: AnnouncementPolicy,
  nowMs: number,
): { readonly due: readonly IpAddress[]; readonly schedule: AnnouncementSchedule } {
  let { queue, nextAtMs, secondSetAtMs, refreshAtMs } = schedule;
  if (secondSetAtMs !== undefined && secondSetAtMs <= nowMs) {
    if (queue.length === 0) nextAtMs = nowMs;
    queue = repeated(addresses, policy.repeat);
    secondSetAtMs = undefined;
  }
  if (refreshAtMs !== undefined && refreshAtMs <= nowMs) {
    if (queue.length === 0) {
      queue = repeated(addresses, policy.refreshRepeat);
      nextAtMs = nowMs;
    }
    // Keeps the cadence, but does not send several refreshes at once after a pause.
    refreshAtMs = Math.max(refreshAtMs + policy.refreshMs, nowMs + policy.refreshMs / 2);
  }
  if (queue.length === 0 || nextAtMs > nowMs) {
    return { due: [], schedule: { queue, nextAtMs, secondSetAtMs, refreshAtMs } };
  }
  const due = policy.intervalMs > 0 ? queue.slice(0, 1) : queue;
  const left = queue.slice(due.length);
  return { due, schedule: { queue: left, nextAtMs: nowMs + policy.intervalMs, secondSetAtMs, refreshAtMs } };
}

export function nextAnnouncementMs(schedule: AnnouncementSchedule): number {
  return Math.min(
    schedule.queue.length > 0 ? schedule.nextAtMs : Number.POSITIVE_INFINITY,
    schedule.secondSetAtMs ?? Number.POSITIVE_INFINITY,
    schedule.refreshAtMs ?? Number.POSITIVE_INFINITY,
  );
}

function repeated(addresses: readonly IpAddress[], times: number): IpAddress[] {
  return Array.from({ length: times }, () => addresses).flat();
}

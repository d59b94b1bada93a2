// SPDX-License-Identifier: Apache-2.0
import { compareIpAddresses } from '../src/lib/ip-address.ts';
import { ownerPriority, type VirtualRouter } from '../src/model/virtual-router.ts';
import type { BackupState, Common, Heard } from './state.ts';
import { activeDownIntervalMs } from './timers.ts';

// RFC 9568 section 6.4.2 adopts any interval, up to 40.95 s. One forged advertisement would leave nobody active for
// three times as long, so a long interval is adopted only as far as its sender has been heard for that long. A sender
// that is disbelieved may still be active under a longer lease: the takeover then settles, and the first advertisement
// of it, which an active router answers or yields to at once, finds that out before any address is acquired.

type Adopting = Common & { readonly preemptDelayUntilMs?: number | undefined };

const adoptedFactor = 10;
/** After its time, so long an advertisement may be under way that answers the one by which this router took over. */
const answerMs = 100;

/** The longest interval that is adopted from a sender heard for the first time. */
export function adoptedMaxMs({ advertIntervalMs, maxAdoptedIntervalMs }: VirtualRouter): number {
  return Math.max(advertIntervalMs, maxAdoptedIntervalMs ?? adoptedFactor * advertIntervalMs);
}

/**
 * RFC 9568 section 6.4.2: version 3 adopts the active router's interval, here at most `adoptedMaxMs` or the time for
 * which its sender has been heard. In version 2 all have the same interval.
 *
 * A lesser claim that must not be preempted (P3) has no limit: to take over from it would be to preempt it.
 */
export function adoptedIntervalMs(state: Adopting, heard: Heard): number {
  const { router, series } = state;
  if (router.version !== 3) return router.advertIntervalMs;
  if (isLesser(state, heard) && !mayPreempt(state, heard.atMs)) return heard.intervalMs;
  const heardForMs = series?.source === heard.source ? heard.atMs - series.sinceMs : 0;
  return Math.min(heard.intervalMs, Math.max(adoptedMaxMs(router), heardForMs));
}

/** Whether its sender would yield to this router. */
function isLesser({ effectivePriority, primaryAddress }: Common, { priority, source }: Heard): boolean {
  if (priority !== effectivePriority) return priority < effectivePriority;
  return compareIpAddresses(source, primaryAddress) < 0;
}

/** The same state, which has heard one more advertisement. */
export function followSeries<State extends Common>(state: State, heard: Heard): State {
  const { source, atMs } = heard;
  const former = state.series;
  const sinceMs = former?.source === source && atMs < former.untilMs ? former.sinceMs : atMs;
  const next: State = { ...state, series: { source, sinceMs, untilMs: atMs } };
  const untilMs = silentFromMs(next, heard) + answerMs;
  return { ...next, series: { source, sinceMs, untilMs } };
}

/** When the sender of an advertisement will have been silent for an Active_Down_Interval at its adopted interval. */
export function silentFromMs(state: Adopting, heard: Heard): number {
  return heard.atMs + activeDownIntervalMs(state.effectivePriority, adoptedIntervalMs(state, heard));
}

/** The interval that is adopted where it is shorter than the one that the active router advertises. */
export function shortenedIntervalMs(state: BackupState): number | undefined {
  const { heard } = state;
  if (heard === undefined || heard.resigned || state.router.version !== 3) return undefined;
  const adoptedMs = adoptedIntervalMs(state, heard);
  return adoptedMs < heard.intervalMs ? adoptedMs : undefined;
}

/** The same at the interval that it advertises, however long: its lease ends before. */
export function leaseOverMs({ router, effectivePriority }: Common, { atMs, intervalMs }: Heard): number {
  const pace = router.version === 3 ? intervalMs : router.advertIntervalMs;
  return atMs + activeDownIntervalMs(effectivePriority, pace);
}

/** RFC 9568 section 6.1: the owner preempts whatever Preempt_Mode says. With an unproven table no router does (P3). */
export function mayPreempt({ router, gateOpen, heldOff, preemptDelayUntilMs }: Adopting, nowMs: number): boolean {
  if (!gateOpen || heldOff) return false;
  if (router.priority === ownerPriority) return true;
  return router.preempt && (preemptDelayUntilMs === undefined || nowMs >= preemptDelayUntilMs);
}

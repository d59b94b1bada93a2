// SPDX-License-Identifier: Apache-2.0
import type { VirtualRouter } from '../src/model/virtual-router.ts';

/** RFC 9568 section 6.1: a higher priority waits less, so that the best of several backups takes over first. */
export function skewTimeMs(priority: number, intervalMs: number): number {
  return ((256 - priority) * intervalMs) / 256;
}

/** RFC 9568 section 6.1: how long a backup waits for an advertisement before the active router counts as gone. */
export function activeDownIntervalMs(priority: number, intervalMs: number): number {
  return 3 * intervalMs + skewTimeMs(priority, intervalMs);
}

/**
 * How long a sent advertisement entitles its sender to forward. Every backup that received it waits longer, by its skew
 * time: a router that falls silent has stopped forwarding before the next one begins.
 */
export function leaseMs(intervalMs: number): number {
  return 3 * intervalMs;
}

/** RFC 9568 section 6.4.2: version 3 adopts the active router's interval. In version 2 all have the same interval. */
export function adoptedIntervalMs(router: VirtualRouter, advertisedMs: number): number {
  return router.version === 3 ? advertisedMs : router.advertIntervalMs;
}

// SPDX-License-Identifier: Apache-2.0

/** RFC 9568 section 6.1: higher priorities wait less, so that of several backups the best one is first. */
export function skewTimeMs(priority: number, intervalMs: number): number {
  return ((256 - priority) * intervalMs) / 256;
}

/** RFC 9568 section 6.1: how long a backup waits for an advertisement before the active router counts as gone. */
export function activeDownIntervalMs(priority: number, intervalMs: number): number {
  return 3 * intervalMs + skewTimeMs(priority, intervalMs);
}

/**
 * How long a sent advertisement entitles its sender to forward. Every backup that got it waits longer, by its skew time:
 * a router that falls silent has stopped before the next one begins.
 */
export function leaseMs(intervalMs: number): number {
  return 3 * intervalMs;
}

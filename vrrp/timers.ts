// SPDX-License-Identifier: Apache-2.0
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

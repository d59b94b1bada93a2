// SPDX-License-Identifier: Apache-2.0
import type { Sign } from './capture.ts';

/** A time in which a director claimed to be active: from its first advertisement to its last before it stopped. */
interface Claim {
  readonly fromMs: number;
  toMs: number;
}

/**
 * The time in which both directors advertised themselves as active. A claim ends with priority 0, or with the last
 * advertisement before a silence of two intervals: a router that yields to a higher priority falls silent (RFC 9568
 * section 6.4.3).
 */
export function measureTwoClaims(left: readonly Sign[], right: readonly Sign[], intervalMs: number): number {
  const others = claimsOf(right, intervalMs);
  let sum = 0;
  for (const claim of claimsOf(left, intervalMs)) {
    for (const other of others) {
      sum += Math.max(0, Math.min(claim.toMs, other.toMs) - Math.max(claim.fromMs, other.fromMs));
    }
  }
  return sum;
}

function claimsOf(signs: readonly Sign[], intervalMs: number): Claim[] {
  const claims: Claim[] = [];
  let current: Claim | undefined;
  for (const { kind, atMs } of signs) {
    if (kind === 'resignation') current = undefined;
    if (kind !== 'advertisement') continue;
    if (current !== undefined && atMs - current.toMs < 2 * intervalMs) {
      current.toMs = atMs;
      continue;
    }
    current = { fromMs: atMs, toMs: atMs };
    claims.push(current);
  }
  return claims;
}

// SPDX-License-Identifier: Apache-2.0
import type { VirtualService } from './virtual-service.ts';

/** In a `hash` selector: a slot that no real server holds. */
export const emptySlot = 0xffff;

/**
 * What a scheduler compiles a virtual service into, and all that a data path has to execute. Slots hold indexes into
 * `VirtualService.realServers`.
 */
export type Selector =
  /** Walked by a counter that survives recompilation: rr, wrr. An empty table means that no real server is available. */
  | { readonly shape: 'sequence'; readonly slots: Uint16Array }
  /** Indexed by `hashWords(client address words [, client port], seed) % slots.length`: sh, mh. May hold `emptySlot`. */
  | {
      readonly shape: 'hash';
      readonly slots: Uint16Array;
      readonly seed: number;
      readonly hashPort: boolean;
    }
  /** Scanned for the lowest cost, which is overhead / divisor, ties to the first: lc, wlc. */
  | { readonly shape: 'least'; readonly overhead: Overhead; readonly candidates: readonly LeastCandidate[] };

/** The largest factor of an `Overhead`, and the largest divisor of a `LeastCandidate`. */
export const overheadFactorMax = 256;
export const divisorMax = 65_535;

/**
 * What a real server's connections weigh: `activeConnections × active + inactiveConnections × inactive + constant`, with
 * integers from 0 to `overheadFactorMax`.
 *
 * Costs are compared without division: the overhead of one real server times the divisor of the other. For counts that
 * add up to 2^28 at most, a hundred times more than a connection table holds, a product is at most
 * 256 × (2^28 + 1) × 65535 < 2^53, so that a JavaScript number holds it exactly. In 64 bits any counts of 32 bits do.
 */
export interface Overhead {
  readonly active: number;
  readonly inactive: number;
  readonly constant: number;
}

export interface LeastCandidate {
  /** Index into `VirtualService.realServers`. */
  readonly realServer: number;
  /** From 1 to `divisorMax`: 1 when the weight does not matter, otherwise the weight. */
  readonly divisor: number;
}

export interface CompiledService {
  readonly service: VirtualService;
  readonly selector: Selector;
  /**
   * By real server: health checks left it in. A connection template leads to those alone, quiesced ones included.
   * Absent: those that have a share of the selector, and those with weight 0.
   */
  readonly alive?: readonly boolean[];
}

/** By real server: a connection template may lead to it. See `CompiledService.alive`. */
export function availableRealServers({ service, selector, alive }: CompiledService): boolean[] {
  if (alive !== undefined) return [...alive];
  const available = service.realServers.map(({ weight }) => weight === 0);
  const chosen =
    selector.shape === 'least' ? selector.candidates.map(({ realServer }) => realServer) : [...selector.slots];
  for (const realServer of chosen) if (realServer !== emptySlot) available[realServer] = true;
  return available;
}

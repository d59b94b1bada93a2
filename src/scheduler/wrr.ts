// SPDX-License-Identifier: Apache-2.0
import type { Selector } from '../model/selector.ts';
import { type Contender, isAvailable } from './contender.ts';
import { apportion, greatestCommonDivisor } from './weights.ts';

/** A sequence longer than this is made from scaled weights: 8 KiB a service, and recompiled at every health change. */
const slotsMax = 4096;

/**
 * Weighted round robin in the order of ip_vs_wrr.c: passes over the list with a required weight that falls from the
 * largest weight by the greatest common divisor; a pass takes every real server that weighs as much. Weights 4, 3, 2
 * give A A B A B C A B C.
 */
export function compileWrr(contenders: readonly Contender[]): Selector {
  const available = contenders.filter(isAvailable);
  const weights = boundedWeights(available.map((contender) => contender.weight));
  const slots = new Uint16Array(weights.reduce((sum, weight) => sum + weight, 0));
  let length = 0;
  for (let required = Math.max(0, ...weights); required > 0; required -= 1) {
    for (const [i, weight] of weights.entries()) {
      if (weight >= required) slots[length++] = available[i]!.realServer;
    }
  }
  return { shape: 'sequence', slots };
}

/** The weights in lowest terms, or the closest to them that fill no more than `slotsMax` slots with one for each. */
function boundedWeights(weights: readonly number[]): number[] {
  const reduced = inLowestTerms(weights);
  const sum = reduced.reduce((acc, weight) => acc + weight, 0);
  const bound = Math.max(slotsMax, weights.length);
  return sum <= bound ? reduced : inLowestTerms(apportion(reduced, bound));
}

function inLowestTerms(weights: readonly number[]): number[] {
  const divisor = greatestCommonDivisor(weights);
  return weights.map((weight) => weight / divisor);
}

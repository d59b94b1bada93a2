// SPDX-License-Identifier: Apache-2.0
import type { Overhead, Selector } from '../model/selector.ts';
import { type Contender, isAvailable } from './contender.ts';

/** An active connection weighs as much as 256 inactive ones (ip_vs_dest_conn_overhead in include/net/ip_vs.h). */
export const connectionOverhead: Overhead = { active: 256, inactive: 1, constant: 0 };

/** The available real server with the least overhead / divisor; `divisorOf` is asked for the divisor of each. */
export function leastSelector(
  contenders: readonly Contender[],
  overhead: Overhead,
  divisorOf: (contender: Contender) => number,
): Selector {
  const candidates = contenders.filter(isAvailable).map((contender) => ({
    realServer: contender.realServer,
    divisor: divisorOf(contender),
  }));
  return { shape: 'least', overhead, candidates };
}

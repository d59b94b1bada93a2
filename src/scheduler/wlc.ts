// SPDX-License-Identifier: Apache-2.0
import type { Selector } from '../model/selector.ts';
import type { Contender } from './contender.ts';
import { connectionOverhead, leastSelector } from './least.ts';

/** Weighted least connections: connections in proportion to the weight (ip_vs_wlc.c). */
export function compileWlc(contenders: readonly Contender[]): Selector {
  return leastSelector(contenders, connectionOverhead, ({ weight }) => weight);
}

// SPDX-License-Identifier: Apache-2.0
import type { Selector } from '../model/selector.ts';
import type { Contender } from './contender.ts';
import { connectionOverhead, leastSelector } from './least.ts';

/** Least connections: the weight only says whether a real server is quiesced (ip_vs_lc.c). */
export function compileLc(contenders: readonly Contender[]): Selector {
  return leastSelector(contenders, connectionOverhead, () => 1);
}

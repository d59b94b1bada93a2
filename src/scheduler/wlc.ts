// SPDX-License-Identifier: Apache-2.0
import type { Selector } from '../model/selector.ts';
import { type Contender, isAvailable } from './contender.ts';

/** Weighted least connections: connections in proportion to the weight (ip_vs_wlc.c). */
export function compileWlc(contenders: readonly Contender[]): Selector {
  const candidates = contenders.filter(isAvailable).map(({ realServer, weight }) => ({ realServer, divisor: weight }));
  return { shape: 'least', candidates };
}

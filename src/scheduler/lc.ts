// SPDX-License-Identifier: Apache-2.0
import type { Selector } from '../model/selector.ts';
import { type Contender, isAvailable } from './contender.ts';

/** Least connections: the weight only says whether a real server is quiesced (ip_vs_lc.c). */
export function compileLc(contenders: readonly Contender[]): Selector {
  const candidates = contenders.filter(isAvailable).map(({ realServer }) => ({ realServer, divisor: 1 }));
  return { shape: 'least', candidates };
}

// SPDX-License-Identifier: Apache-2.0
import type { Selector } from '../model/selector.ts';
import { type Contender, isAvailable } from './contender.ts';

/** Round robin: every available real server in turn, whatever its weight (ip_vs_rr.c). */
export function compileRr(contenders: readonly Contender[]): Selector {
  return { shape: 'sequence', slots: Uint16Array.from(contenders.filter(isAvailable), (c) => c.realServer) };
}

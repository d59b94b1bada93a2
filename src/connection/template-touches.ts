// SPDX-License-Identifier: Apache-2.0
import type { Persistence } from '../model/virtual-service.ts';

/** A connection template is looked after this many times in its timeout while connections of it live. */
const touchesPerTimeout = 4;

/** A connection looks after its template once in so many rounds of the sweep; a round takes `roundMs`. */
export function roundsBetweenTouches({ timeoutMs }: Persistence, roundMs: number): number {
  return Math.max(1, Math.floor(timeoutMs / touchesPerTimeout / roundMs));
}

// SPDX-License-Identifier: Apache-2.0
import type { Persistence } from '../model/virtual-service.ts';

/** How many times in its timeout a connection template is refreshed while connections of it live. */
const touchesPerTimeout = 4;

/** Rounds of the sweep, of `roundMs` each, between two times that a connection refreshes its template. */
export function roundsBetweenTouches({ timeoutMs }: Persistence, roundMs: number): number {
  return Math.max(1, Math.floor(timeoutMs / touchesPerTimeout / roundMs));
}

// SPDX-License-Identifier: Apache-2.0
import type { SignWriter } from '../../director/ports.ts';
import { Sign } from '../../model/lease.ts';
import { signMs } from '../vrrp/watch.ts';

/** A look of the engine at the oldest event tells it sooner of a thread that stops while connections are opened. */
const publisherWordMs = 250;
/** Two grace periods of a killed director and a little. */
const aloneWordMs = 12_000;

/**
 * The signs of the sync thread. Each word ends before the next sign of a thread that is late. Where no peer is heard nobody
 * has to hear of a connection: new ones are then admitted for as long as a restart may take. Where one is heard, but what is
 * published does not leave, as without an address, they wait.
 */
export function signLife(memory: SignWriter, nowMs: number, peersHeard: number, leaves: boolean): void {
  memory.sign(Sign.sync, nowMs + signMs);
  memory.sign(Sign.peer, peersHeard > 0 ? nowMs + signMs : 0);
  const publisherMs = leaves ? publisherWordMs : 0;
  memory.sign(Sign.publisher, nowMs + (peersHeard > 0 ? publisherMs : aloneWordMs));
}

// SPDX-License-Identifier: Apache-2.0
import { finishHash, mixWord } from '../../lib/hash.ts';
import { emptySlot, type LeastCandidate } from '../../model/selector.ts';
import type { Destinations } from './destinations.ts';
import type { RunningService } from './running-service.ts';

/** The destination number for a client's first packet, or -1: no real server is available. */
export function selectDestination(
  service: RunningService,
  destinations: Destinations,
  clientAddress: number,
  clientPort: number,
): number {
  const { selector } = service.compiled;
  switch (selector.shape) {
    case 'sequence': {
      const { slots } = selector;
      if (slots.length === 0) return -1;
      if (service.cursor >= slots.length) service.cursor = 0;
      const slot = slots[service.cursor]!;
      service.cursor += 1;
      return service.destinations[slot] ?? -1;
    }
    case 'hash': {
      const { slots } = selector;
      if (slots.length === 0) return -1;
      const slot = slots[hashClient(clientAddress, clientPort, selector.seed, selector.hashPort) % slots.length]!;
      return slot === emptySlot ? -1 : (service.destinations[slot] ?? -1);
    }
    case 'least':
      return leastLoaded(service, selector.candidates, destinations);
  }
}

/** `hashWords` of the address word [and the port], without an array. */
function hashClient(address: number, port: number, seed: number, hashPort: boolean): number {
  const state = mixWord(seed | 0, address);
  return hashPort ? finishHash(mixWord(state, port) ^ 2) : finishHash(state ^ 1);
}

function leastLoaded(
  service: RunningService,
  candidates: readonly LeastCandidate[],
  destinations: Destinations,
): number {
  let best = -1;
  let bestCost = 0;
  let bestDivisor = 1;
  for (let i = 0; i < candidates.length; i += 1) {
    const { realServer, divisor } = candidates[i]!;
    const destination = service.destinations[realServer]!;
    const cost = destinations.active[destination]! * 256 + destinations.inactive[destination]!;
    // cost / divisor < bestCost / bestDivisor without the division, as ip_vs_wlc.c compares.
    if (best >= 0 && cost * bestDivisor >= bestCost * divisor) continue;
    best = destination;
    bestCost = cost;
    bestDivisor = divisor;
  }
  return best;
}

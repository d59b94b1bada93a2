// SPDX-License-Identifier: Apache-2.0
import { finishHash, mixWord } from '../../lib/hash.ts';
import { emptySlot, type Selector } from '../../model/selector.ts';
import type { Destinations } from './destinations.ts';
import { EntryFlag, KeyWord } from './entry-layout.ts';
import type { RunningService } from './running-service.ts';

/** How many slots of a `hash` selector are tried for a real server that is not overloaded, before taking any. */
const fallbackProbes = 64;

/** The destination number for a client's first packet, or -1: no real server is available. `key`: see `KeyWord`. */
export function selectDestination(
  service: RunningService,
  destinations: Destinations,
  key: Int32Array,
  nowMs: number,
): number {
  const { selector } = service.compiled;
  switch (selector.shape) {
    case 'sequence':
      return nextInTurn(service, selector.slots, destinations, nowMs);
    case 'hash': {
      const { slots } = selector;
      if (slots.length === 0) return -1;
      const slot = hashClient(key, selector.seed, selector.hashPort) % slots.length;
      const realServer = slots[slot]!;
      if (realServer === emptySlot) return -1;
      const destination = service.destinations[realServer] ?? -1;
      if (destination < 0 || !destinations.isOverloaded(destination, nowMs)) return destination;
      // Without sh-fallback or mh-fallback an overloaded real server's clients are refused (ip_vs_sh.c, ip_vs_mh.c).
      return service.compiled.service.scheduler.fallback ? fallback(service, slots, slot, destinations, nowMs) : -1;
    }
    case 'least':
      return leastLoaded(service, selector, destinations, nowMs);
  }
}

/** An overloaded real server loses its turn. */
function nextInTurn(service: RunningService, slots: Uint16Array, destinations: Destinations, nowMs: number): number {
  for (let left = slots.length; left > 0; left -= 1) {
    if (service.cursor >= slots.length) service.cursor = 0;
    const destination = service.destinations[slots[service.cursor]!] ?? -1;
    service.cursor += 1;
    if (destination < 0 || !destinations.isOverloaded(destination, nowMs)) return destination;
  }
  return -1;
}

/** `hashWords` of the address words [and the port], without an array. */
function hashClient(key: Int32Array, seed: number, hashPort: boolean): number {
  const words = (key[KeyWord.head]! & EntryFlag.ipv6) === 0 ? 1 : 4;
  let state = seed | 0;
  for (let i = 0; i < words; i += 1) state = mixWord(state, key[KeyWord.clientAddress + i]!);
  if (!hashPort) return finishHash(state ^ words);
  return finishHash(mixWord(state, key[KeyWord.ports]! >>> 16) ^ (words + 1));
}

/** Starts at twice the slot, so that neighbours find different ones; in the end any that has a slot will do. */
function fallback(
  service: RunningService,
  slots: Uint16Array,
  slot: number,
  destinations: Destinations,
  nowMs: number,
): number {
  for (let step = 0; step < fallbackProbes; step += 1) {
    const realServer = slots[(2 * slot + step) % slots.length]!;
    if (realServer === emptySlot) continue;
    const destination = service.destinations[realServer]!;
    if (!destinations.isOverloaded(destination, nowMs)) return destination;
  }
  const { realServers } = service.compiled.service;
  for (let i = 0; i < realServers.length; i += 1) {
    const destination = service.destinations[i]!;
    if (service.available[i] !== 1 || realServers[i]!.weight === 0) continue;
    if (!destinations.isOverloaded(destination, nowMs)) return destination;
  }
  return -1;
}

function leastLoaded(
  service: RunningService,
  { overhead, candidates }: Extract<Selector, { shape: 'least' }>,
  destinations: Destinations,
  nowMs: number,
): number {
  const { active, inactive, constant } = overhead;
  let best = -1;
  let bestOverhead = 0;
  let bestDivisor = 1;
  for (let i = 0; i < candidates.length; i += 1) {
    const { realServer, divisor } = candidates[i]!;
    const destination = service.destinations[realServer]!;
    if (destinations.isOverloaded(destination, nowMs)) continue;
    const own = destinations.active[destination]! * active + destinations.inactive[destination]! * inactive + constant;
    // own / divisor < bestOverhead / bestDivisor without the division, as ip_vs_wlc.c compares.
    if (best >= 0 && own * bestDivisor >= bestOverhead * divisor) continue;
    best = destination;
    bestOverhead = own;
    bestDivisor = divisor;
  }
  return best;
}

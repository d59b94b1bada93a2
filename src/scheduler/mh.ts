// SPDX-License-Identifier: Apache-2.0

import { readI32 } from '../lib/bytes.ts';
import { finishHash, hashWords, mixWord } from '../lib/hash.ts';
import { compareIpAddresses, ipAddressBytes } from '../lib/ip-address.ts';
import { emptySlot, type Selector } from '../model/selector.ts';
import type { Scheduler } from '../model/virtual-service.ts';
import { type Contender, isAvailable } from './contender.ts';
import { apportion } from './weights.ts';

/** Primes, as in ip_vs_mh.c; 4093 is its default (CONFIG_IP_VS_MH_TAB_INDEX 12). Larger ones only for more servers. */
const slotCounts = [4093, 8191, 16381, 32749, 65521];
const seed = 0x4d48; // "MH"
const offsetSeed = 0x9e3779b1;
const skipSeed = 0x9e37a46c;
const fallbackSeed = 0x85ebca77;

interface Preference {
  readonly contender: Contender;
  /** How many slots it is to hold. */
  readonly quota: number;
  readonly skip: number;
  next: number;
  taken: number;
}

/**
 * Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4; ip_vs_mh.c): each real server has its own order of preference
 * over the slots, and they take turns choosing, so a server that comes or goes moves few of the others' slots.
 *
 * Real servers hold slots in exact proportion to their weights, at least one each. (IPVS rounds a weight to six bits and
 * lets the first in the list gain from the last, unfinished turn.) They choose in the order of their addresses, so
 * directors whose configurations list them differently still agree. A quiesced real server holds none: IPVS would keep
 * its last weight, which a peer that has just started cannot know.
 *
 * One that its health checks took out leaves the table, as keepalived has IPVS do. With `mh-fallback` the table stays
 * as it is and only its slots go to others: nobody else's client moves at all.
 */
export function compileMh(contenders: readonly Contender[], scheduler: Scheduler): Selector {
  const holders = contenders.filter((contender) => contender.weight > 0 && (contender.alive || scheduler.fallback));
  const owners = populate(holders, slotCountFor(holders.length));
  const someAvailable = holders.some(isAvailable);
  const slots = Uint16Array.from(owners, (owner, slot) => {
    if (owner === undefined || !someAvailable) return emptySlot;
    return (isAvailable(owner) ? owner : fallbackFor(slot, owners)).realServer;
  });
  return { shape: 'hash', slots, seed, hashPort: scheduler.hashPort };
}

function slotCountFor(holderCount: number): number {
  const slotCount = slotCounts.find((size) => size >= holderCount);
  if (slotCount === undefined)
    throw new RangeError(`scheduler mh holds at most 65521 real servers, not ${holderCount}`);
  return slotCount;
}

function populate(holders: readonly Contender[], slotCount: number): (Contender | undefined)[] {
  const owners = new Array<Contender | undefined>(slotCount).fill(undefined);
  if (holders.length === 0) return owners;
  const preferences = preferencesOf(holders, slotCount);
  const quotaMax = Math.max(...preferences.map((preference) => preference.quota));
  // In pass p a real server may hold p/quotaMax of its quota: turns are spread evenly, and the last pass fills the table.
  for (let pass = 1; pass <= quotaMax; pass += 1) {
    for (const preference of preferences) {
      if (preference.taken * quotaMax >= pass * preference.quota) continue;
      while (owners[preference.next] !== undefined) preference.next = (preference.next + preference.skip) % slotCount;
      owners[preference.next] = preference.contender;
      preference.taken += 1;
    }
  }
  return owners;
}

function preferencesOf(holders: readonly Contender[], slotCount: number): Preference[] {
  const ordered = holders.toSorted(
    (a, b) => compareIpAddresses(a.endpoint.address, b.endpoint.address) || a.endpoint.port - b.endpoint.port,
  );
  const quotas = apportion(
    ordered.map((contender) => contender.weight),
    slotCount,
  );
  return ordered.map((contender, i) => {
    const words = endpointWords(contender);
    return {
      contender,
      quota: quotas[i]!,
      skip: (hashWords(words, skipSeed) % (slotCount - 1)) + 1,
      next: hashWords(words, offsetSeed) % slotCount,
      taken: 0,
    };
  });
}

function endpointWords({ endpoint }: Contender): number[] {
  const bytes = ipAddressBytes(endpoint.address);
  const words: number[] = [];
  for (let at = 0; at < bytes.length; at += 4) words.push(readI32(bytes, at));
  return [...words, endpoint.port];
}

/** Looks at slots in an order that the slot number decides; the odd slot that finds none takes the nearest after it. */
function fallbackFor(slot: number, owners: readonly (Contender | undefined)[]): Contender {
  const attemptsMax = 64;
  for (let attempt = 0; attempt < attemptsMax + owners.length; attempt += 1) {
    const probe =
      attempt < attemptsMax
        ? finishHash(mixWord(mixWord(fallbackSeed, slot), attempt)) % owners.length
        : (slot + attempt - attemptsMax) % owners.length;
    const owner = owners[probe]!;
    if (isAvailable(owner)) return owner;
  }
  throw new RangeError('scheduler mh was asked for a fallback without an available real server');
}

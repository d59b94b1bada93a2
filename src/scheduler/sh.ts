// SPDX-License-Identifier: Apache-2.0
import { emptySlot, type Selector } from '../model/selector.ts';
import type { Scheduler } from '../model/virtual-service.ts';
import { type Contender, isAvailable } from './contender.ts';
import { apportion } from './weights.ts';

/** CONFIG_IP_VS_SH_TAB_BITS is 8. */
const slotCountUsual = 256;
const seed = 0x5348; // "SH"

/**
 * Source hashing as in ip_vs_sh.c: going round the list, each real server takes as many consecutive slots as it weighs,
 * until the table is full. A quiesced one takes one slot, which refuses connections, or with `sh-fallback` gives them
 * to another. Weights that add up to more than the table are scaled down, so that none is left out (IPVS leaves the
 * last ones out).
 *
 * A real server that its health checks took out is treated as keepalived has IPVS treat it: the table is made without
 * it, so its clients are served elsewhere. With `sh-fallback` only its own slots go to others: nobody else's client moves.
 */
export function compileSh(contenders: readonly Contender[], scheduler: Scheduler): Selector {
  const holders = scheduler.fallback ? contenders : contenders.filter((contender) => contender.alive);
  const owners = fillSlots(holders, slotCountFor(holders.length));
  const available = new Set(contenders.filter(isAvailable));
  const slots = Uint16Array.from(owners, (owner, slot) => {
    if (owner !== undefined && available.has(owner)) return owner.realServer;
    if (!scheduler.fallback || available.size === 0) return emptySlot;
    return fallbackFor(slot, owners, available);
  });
  return { shape: 'hash', slots, seed, hashPort: scheduler.hashPort };
}

function slotCountFor(holderCount: number): number {
  let slotCount = slotCountUsual;
  while (slotCount < holderCount) slotCount *= 2;
  return slotCount;
}

function fillSlots(holders: readonly Contender[], slotCount: number): (Contender | undefined)[] {
  const widths = slotWidths(holders, slotCount);
  const owners = new Array<Contender | undefined>(slotCount).fill(undefined);
  let holder = 0;
  let taken = 0;
  for (let slot = 0; slot < slotCount && holders.length > 0; slot += 1) {
    owners[slot] = holders[holder];
    taken += 1;
    if (taken >= widths[holder]!) {
      holder = (holder + 1) % holders.length;
      taken = 0;
    }
  }
  return owners;
}

function slotWidths(holders: readonly Contender[], slotCount: number): number[] {
  const widths = holders.map((holder) => Math.max(1, holder.weight));
  const sum = widths.reduce((acc, width) => acc + width, 0);
  return sum <= slotCount ? widths : apportion(widths, slotCount);
}

/** Where ip_vs_sh_get_fallback ends up: the search starts at twice the slot, so that neighbours find different ones. */
function fallbackFor(slot: number, owners: readonly (Contender | undefined)[], available: ReadonlySet<Contender>) {
  for (let step = 0; step < owners.length; step += 1) {
    const owner = owners[(2 * slot + step) % owners.length];
    if (owner !== undefined && available.has(owner)) return owner.realServer;
  }
  return emptySlot;
}

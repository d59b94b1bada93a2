// SPDX-License-Identifier: Apache-2.0

// The lease array is memory that the vrrp process writes and a data path reads: for each slot, until when its holder may
// forward.

/** How many slots the lease array has. `LEASE_SLOTS` of layout.h is the same, which a test holds. */
export const leaseSlots = 256;

/** A slot that no virtual router gets: the sign of life of an engine that runs in the director's own process. */
export const engineLifeSlot = leaseSlots - 1;

/** Virtual routers get the slots below this. */
export const routerLeaseSlotsMax = engineLifeSlot;

/** Instead of a slot, for addresses that belong to no virtual router: their lease never ends. */
export const endlessLease = -1;

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

/**
 * Words behind the leases: until when each of these counts as alive. The director's event loop, the sync thread, a peer that
 * the sync thread hears, and the publisher: past its word no new connection is admitted.
 */
export const Sign = Object.freeze({ director: 0, sync: 1, peer: 2, publisher: 3 });
export type Sign = (typeof Sign)[keyof typeof Sign];

/** How many such words there are, those that nothing uses yet included. `SIGNS` of layout.h is the same, which a test holds. */
export const signs = 8;

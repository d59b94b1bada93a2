/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: until when this director may forward for a virtual address. The vrrp process writes them. */
#ifndef BATON_LEASE_H
#define BATON_LEASE_H

#include "packet.h"

static __always_inline int lease_is_valid(__u32 slot, __u64 now_ns)
{
	struct lease *lease;

	if (slot == LEASE_ENDLESS)
		return 1;
	lease = element(&leases, slot);
	/* The clock may lag behind, so its lag is added: the rest of a lease is never overestimated. */
	return lease && READ_ONCE(lease->valid_until) > now_ns + clock_lag;
}

/* Whether connections may still be on their way: the lease was taken over a short while ago, or a peer is heard again. */
static __always_inline int in_grace(__u32 slot, __u64 now_ns)
{
	__u32 since_slot = LEASE_SLOTS + 1 + slot;
	struct lease *since;

	if (now_ns < READ_ONCE(settings.records_expected_until))
		return 1;
	if (slot == LEASE_ENDLESS)
		return 0;
	since = element(&leases, since_slot);
	return since && now_ns < READ_ONCE(since->valid_until) + READ_ONCE(settings.grace_period) * 1000000ULL;
}

#endif

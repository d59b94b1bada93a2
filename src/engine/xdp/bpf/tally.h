/* SPDX-License-Identifier: Apache-2.0 */
/* Counting. Each processor counts for itself: nothing here is shared. */
#ifndef BATON_TALLY_H
#define BATON_TALLY_H

#include "packet.h"

static __always_inline struct tally *own_tally(void)
{
	__u32 processor = bpf_get_smp_processor_id();

	return element(&tallies, processor);
}

/* Counts a drop. Standalone: without CAP_PERFMON the verifier refuses an index whose bounds depend on the path. */
standalone int drop(__u32 reason)
{
	struct tally *tally = own_tally();

	if (tally && reason < DROP_REASONS)
		tally->drops[reason] += 1;
	return DISCARD;
}

static __always_inline void count_events(enum tally_event event, __u64 by)
{
	struct tally *tally = own_tally();

	if (tally)
		tally->events[event] += by;
}

static __always_inline struct traffic *own_traffic(__u32 destination)
{
	__u32 index = bpf_get_smp_processor_id() * destinations_max + destination;

	return element(&traffic, index);
}

static __always_inline void count_in(__u32 destination, __u32 bytes)
{
	struct traffic *own = own_traffic(destination);

	if (!own)
		return;
	own->packets_in += 1;
	own->bytes_in += bytes;
}

static __always_inline void count_out(__u32 destination, __u32 bytes)
{
	struct traffic *own = own_traffic(destination);

	if (!own)
		return;
	own->packets_out += 1;
	own->bytes_out += bytes;
}

static __always_inline void count_connection(__u32 destination)
{
	struct traffic *own = own_traffic(destination);

	if (own)
		own->connections += 1;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* How busy a real server is: its connections, its thresholds, and the rate at which it may get new ones. */
#ifndef BATON_SERVER_LOAD_H
#define BATON_SERVER_LOAD_H

#include "packet.h"

#define RATE_PERIOD 1000

static __always_inline struct load *load_of(__u32 destination)
{
	return element(&loads, destination);
}

static __always_inline struct destination *destination_of(__u32 number)
{
	return element(&destinations, number);
}

static __always_inline enum forwarding_method method_of(const struct destination *destination)
{
	return destination->method;
}

/* Whether the replies of a real server pass here. */
static __always_inline int sees_replies(const struct destination *destination)
{
	return method_sees_replies(method_of(destination));
}

/*
 * Overload begins when a connection comes and the upper threshold is reached, and ends when one goes and fewer than
 * the lower threshold are left; where there is none, fewer than three quarters of the upper (ip_vs_bind_dest and
 * ip_vs_unbind_dest in ip_vs_conn.c).
 */
static __always_inline void weigh_load(struct load *load, __u32 number, int by)
{
	struct destination *destination = destination_of(number);
	__u32 upper, lower, total;

	if (!destination)
		return;
	upper = READ_ONCE(destination->upper_threshold);
	if (likely(upper == 0))
		return;
	lower = READ_ONCE(destination->lower_threshold);
	total = READ_ONCE(load->active) + READ_ONCE(load->inactive);
	if (by > 0) {
		if (total < upper)
			return;
		__sync_lock_test_and_set(&load->overloaded, 1);
		/* Connections that have gone since may have been the last ones: nothing else would end the overload then. */
		total = READ_ONCE(load->active) + READ_ONCE(load->inactive);
		if (total >= upper)
			return;
	}
	if (lower ? total < lower : (__u64)total * 4 < (__u64)upper * 3)
		WRITE_ONCE(load->overloaded, 0);
}

/* An entry with this head has come (1) or gone (-1). */
static __always_inline void count_entry(__u32 number, __u32 head, int by)
{
	struct load *load = load_of(number);

	if (!load)
		return;
	if (head & ENTRY_TEMPLATE) {
		__sync_fetch_and_add(&load->templates, by);
		return;
	}
	if ((head & ENTRY_STATE) == TCP_ESTABLISHED << ENTRY_STATE_SHIFT) {
		__sync_fetch_and_add(&load->active, by);
		keep_apart();
	} else {
		__sync_fetch_and_add(&load->inactive, by);
	}
	weigh_load(load, number, by);
}

/* An entry has gone from one state to another: as many connections as before. */
static __always_inline void count_transition(__u32 number, __u32 before, __u32 after)
{
	int change = (after == TCP_ESTABLISHED) - (before == TCP_ESTABLISHED);
	struct load *load;

	if (!change)
		return;
	load = load_of(number);
	if (!load)
		return;
	__sync_fetch_and_add(&load->active, change);
	__sync_fetch_and_add(&load->inactive, -change);
}

/* Whether a real server takes no new connection at present. */
static __always_inline int is_overloaded(__u32 number, __u32 now)
{
	struct load *load = load_of(number);
	struct destination *destination;
	__u32 rate_max;

	if (!load)
		return 1;
	if (READ_ONCE(load->overloaded))
		return 1;
	destination = destination_of(number);
	if (!destination)
		return 1;
	rate_max = READ_ONCE(destination->rate_max);
	if (likely(rate_max == 0))
		return 0;
	return age_of(READ_ONCE(load->rate_since), now) < RATE_PERIOD && READ_ONCE(load->rate_count) >= rate_max;
}

/* Counts a new connection against the rate. */
static __always_inline void count_rate(__u32 number, __u32 now)
{
	struct destination *destination = destination_of(number);
	struct load *load;

	if (!destination || likely(READ_ONCE(destination->rate_max) == 0))
		return;
	load = load_of(number);
	if (!load)
		return;
	if (age_of(READ_ONCE(load->rate_since), now) >= RATE_PERIOD) {
		WRITE_ONCE(load->rate_since, now);
		WRITE_ONCE(load->rate_count, 1);
	} else {
		__sync_fetch_and_add(&load->rate_count, 1);
	}
}

#endif

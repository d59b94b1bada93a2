/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The publisher: the thread that reads `events` and tells the peers. New connections are admitted only while it keeps up, so
 * that none becomes established that no peer will hear of (promise P9).
 */
#ifndef BATON_PUBLISHER_H
#define BATON_PUBLISHER_H

#include "tally.h"

/* As in src/model/lease.ts. */
#define SIGN_PEER 2
#define SIGN_PUBLISHER 3
#define SIGN_ENDLESS (1ULL << 62)

/* As in src/connection/publication.ts. */
#define PUBLISH_LAG_MAX_MS 5
#define SYN_PUBLICATIONS_PER_MS 4
#define SYN_PUBLICATIONS_BURST 1000

/* Positions are those of the ring `events`. */
struct publishing {
	/* Written by the publisher: all events before it have left for the peers. */
	__u64 taken;
	/* Held frames that it did not send: their lease had ended, they had waited for too long, the kernel refused them. */
	__u64 held_no_lease;
	__u64 held_too_long;
	__u64 held_refused;
	__u64 reserved0[4];
	/* The end of the event that is timed, and when it was written, in nanoseconds of CLOCK_MONOTONIC. */
	__u64 mark;
	__u64 marked_at;
	/* Of events of SYNs: see `take_token`. */
	__u64 syn_budget;
	__u64 reserved1[5];
};

struct publishing publishing SEC(".data.publishing");

static __always_inline __u64 exact_time(void)
{
	return test_clock ? READ_ONCE(settings.test_now) : bpf_ktime_get_ns();
}

static __always_inline int is_under_way(void)
{
	return (__s64)(READ_ONCE(publishing.taken) - READ_ONCE(publishing.mark)) < 0;
}

/*
 * An event has been written: it is timed unless an earlier one still is. Two processors at once may leave the time of one with
 * the position of the other, which lie microseconds apart.
 */
standalone int time_event(void)
{
	if (is_under_way())
		return 0;
	WRITE_ONCE(publishing.marked_at, exact_time());
	WRITE_ONCE(publishing.mark, bpf_ringbuf_query(&events, BPF_RB_PROD_POS));
	return 0;
}

/* Until when a part counts as alive. */
static __always_inline __u64 signed_until(__u32 sign)
{
	__u32 word = 2 * LEASE_SLOTS + 1 + sign;
	struct lease *lease = element(&leases, word);

	return lease ? READ_ONCE(lease->valid_until) : 0;
}

/* Whether there is a peer that has to be told of a new connection. */
standalone int peer_is_heard(void)
{
	return signed_until(SIGN_PEER) > exact_time();
}

standalone int publisher_is_alive(void)
{
	return signed_until(SIGN_PUBLISHER) > exact_time();
}

/* Whether the publisher is alive and not late. The clock of a packet is too coarse for the second. */
standalone int publisher_keeps_up(void)
{
	__u64 until = signed_until(SIGN_PUBLISHER);
	__u64 now;

	if (until >= SIGN_ENDLESS)
		return 1;
	now = exact_time();
	if (until <= now)
		return 0;
	return !is_under_way() || now - READ_ONCE(publishing.marked_at) <= PUBLISH_LAG_MAX_MS * 1000000ULL;
}

/* Takes one of the events of SYNs that may be written now; 0: there is none left. */
standalone int take_syn_publication(__u32 now)
{
	return take_token(&publishing.syn_budget, now, SYN_PUBLICATIONS_PER_MS, SYN_PUBLICATIONS_BURST);
}

_Static_assert(sizeof(struct publishing) == 2 * CACHE_LINE, "the publisher writes a line of its own");

#endif

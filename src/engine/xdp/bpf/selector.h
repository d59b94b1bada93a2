/* SPDX-License-Identifier: Apache-2.0 */
/* Selectors: the three shapes that every scheduler compiles to (src/model/selector.ts). */
#ifndef BATON_SELECTOR_H
#define BATON_SELECTOR_H

#include "server-load.h"

/* How many slots of a `hash` selector are tried for a real server that is not overloaded, before taking any. */
#define FALLBACK_PROBES 64

static __always_inline __u32 slot_at(__u32 index)
{
	struct slot *slot = element(&slots, index);

	return slot ? slot->destination : NO_DESTINATION;
}

/* What a walk over slots needs and finds. */
struct walk {
	__u32 first;
	__u32 count;
	/* Where it began, of `count`. */
	__u32 at;
	__u32 now;
	__u32 found;
	__u32 end;
	/* `least`: the formula, and the overhead and the divisor of what was found. */
	struct overhead overhead;
	__u32 divisor;
	__u32 reserved;
	__u64 least;
};

static long try_in_turn(__u32 step, struct walk *walk)
{
	__u32 at = walk->at + step;
	__u32 destination;

	if (at >= walk->count)
		at -= walk->count;
	destination = slot_at(walk->first + at);
	walk->end = at + 1;
	if (destination == NO_DESTINATION || !is_overloaded(destination, walk->now)) {
		walk->found = destination;
		return 1;
	}
	return 0;
}

/* An overloaded real server loses its turn. */
static __always_inline __u32 next_in_turn(struct service *service, __u32 first, __u32 count, __u32 now)
{
	for (int i = 0; i < 8; i++) {
		__u32 cursor = READ_ONCE(service->cursor);
		struct walk walk = {
			.first = first,
			.count = count,
			.at = cursor >= count ? 0 : cursor,
			.now = now,
			.found = NO_DESTINATION,
		};

		/* The first in turn nearly always takes it. */
		if (!try_in_turn(0, &walk)) {
			walk.at = walk.at + 1 >= count ? 0 : walk.at + 1;
			bpf_loop(count - 1, try_in_turn, &walk, 0);
		}
		if (__sync_val_compare_and_swap(&service->cursor, cursor, walk.end) == cursor)
			return walk.found;
	}
	return slot_at(first);
}

static __always_inline __u32 hash_client(const __u32 *client, __u32 ports, int ipv6, __u32 seed, int hash_port)
{
	__u32 state = mix_word(seed, bpf_ntohl(client[0]));
	__u32 words = 1;

	if (ipv6) {
		state = mix_word(state, bpf_ntohl(client[1]));
		state = mix_word(state, bpf_ntohl(client[2]));
		state = mix_word(state, bpf_ntohl(client[3]));
		words = 4;
	}
	if (hash_port) {
		state = mix_word(state, bpf_ntohs(ports & 0xffff));
		words += 1;
	}
	return finish_hash(state ^ words);
}

static long try_probe(__u32 step, struct walk *walk)
{
	__u32 at = (walk->at * 2ULL + step) % (walk->count ? walk->count : 1);
	__u32 destination = slot_at(walk->first + at);

	if (destination == NO_DESTINATION || is_overloaded(destination, walk->now))
		return 0;
	walk->found = destination;
	return 1;
}

static long try_any(__u32 step, struct walk *walk)
{
	__u32 number = slot_at(walk->first + step);
	struct destination *destination = destination_of(number);

	if (!destination || is_overloaded(number, walk->now))
		return 0;
	if ((destination->flags & (DESTINATION_AVAILABLE | DESTINATION_WEIGHTY)) !=
	    (DESTINATION_AVAILABLE | DESTINATION_WEIGHTY))
		return 0;
	walk->found = number;
	return 1;
}

/* Starts at twice the slot, so that neighbours find different ones; in the end any that has a slot will do. */
static __always_inline __u32 fall_back(struct service *service, __u32 first, __u32 count, __u32 slot, __u32 now)
{
	struct walk walk = { .first = first, .count = count, .at = slot, .now = now, .found = NO_DESTINATION };
	__u64 all;

	bpf_loop(FALLBACK_PROBES, try_probe, &walk, 0);
	if (walk.found != NO_DESTINATION)
		return walk.found;
	all = READ_ONCE(service->destinations);
	walk.first = (__u32)all;
	bpf_loop(all >> 32, try_any, &walk, 0);
	return walk.found;
}

static long try_cost(__u32 step, struct walk *walk)
{
	__u32 index = walk->first + step;
	struct slot *slot = element(&slots, index);
	struct load *load;
	__u64 own;

	if (!slot)
		return 1;
	load = load_of(slot->destination);
	if (!load || is_overloaded(slot->destination, walk->now))
		return 0;
	own = (__u64)(__u32)READ_ONCE(load->active) * walk->overhead.active +
	      (__u64)(__u32)READ_ONCE(load->inactive) * walk->overhead.inactive + walk->overhead.constant;
	/*
	 * own / divisor < least / its divisor without the division, as ip_vs_wlc.c compares. With factors up to 256 and
	 * divisors below 2^16 the products stay below 2^58.
	 */
	if (walk->found != NO_DESTINATION && own * walk->divisor >= walk->least * slot->divisor)
		return 0;
	walk->found = slot->destination;
	walk->least = own;
	walk->divisor = slot->divisor;
	return 0;
}

static __always_inline __u32 least_loaded(struct service *service, __u32 first, __u32 count, __u32 now)
{
	struct walk walk = {
		.first = first,
		.count = count,
		.now = now,
		.found = NO_DESTINATION,
		.overhead = service->overhead,
	};

	bpf_loop(count, try_cost, &walk, 0);
	return walk.found;
}

/* The destination for a client's first packet; NO_DESTINATION: no real server is available. */
standalone int select_destination(const struct flow *flow, __u32 service_number, int ipv6, __u32 now)
{
	struct service *service = element(&services, service_number);
	__u32 first, count, slot, destination;
	__u64 selector;

	if (!flow || !service)
		return NO_DESTINATION;
	selector = READ_ONCE(service->selector);
	first = (__u32)selector;
	count = selector >> 32;
	if (count == 0)
		return NO_DESTINATION;
	switch (service->shape) {
	case SELECTOR_SEQUENCE:
		return next_in_turn(service, first, count, now);
	case SELECTOR_HASH:
		slot = hash_client(flow->client, flow->ports, ipv6, service->seed, service->flags & SERVICE_HASH_PORT) % count;
		destination = slot_at(first + slot);
		if (destination == NO_DESTINATION || !is_overloaded(destination, now))
			return destination;
		/* Without sh-fallback or mh-fallback an overloaded real server's clients are refused (ip_vs_sh.c). */
		if (!(service->flags & SERVICE_FALLBACK))
			return NO_DESTINATION;
		return fall_back(service, first, count, slot, now);
	default:
		return least_loaded(service, first, count, now);
	}
}

#endif

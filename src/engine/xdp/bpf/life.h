/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a connection: how its packets move it from state to state, and when peers are told of it. */
#ifndef BATON_LIFE_H
#define BATON_LIFE_H

#include "room.h"
#include "template.h"

/* src/connection/lifecycle.ts: the handshake is not complete. */
#define HALF_OPEN_STATES                                                                                               \
	((1 << TCP_NONE) | (1 << TCP_SYN_SENT) | (1 << TCP_SYN_RECEIVED) | (1 << TCP_LISTEN) | (1 << TCP_SYN_ACK))

static __always_inline int is_half_open_state(__u32 state)
{
	return (HALF_OPEN_STATES >> state) & 1;
}

static __always_inline int completes_handshake(__u32 before, __u32 after)
{
	return is_half_open_state(before) && !is_half_open_state(after) && after != TCP_CLOSE;
}

/* Whether the TCP connection is over: a SYN of its client is then scheduled again (IPVS's conn_reuse). */
static __always_inline int is_over(__u32 head)
{
	return state_of(head) == TCP_TIME_WAIT || state_of(head) == TCP_CLOSE;
}

/*
 * Only fields that change are written, and the time once a grain: a cache line that stays clean need not be written
 * back. Entries expire early by one grain at most.
 */
static __always_inline void see(struct entry *entry, __u32 now)
{
	if (unlikely(age_of(READ_ONCE(entry->last_seen), now) > seen_grain))
		WRITE_ONCE(entry->last_seen, now);
}

/* The flow of an entry. */
static __always_inline void flow_of(struct flow *flow, struct entry *entry, int ipv6)
{
	flow->ports = entry->ports;
	flow->key = READ_ONCE(entry->head) & ENTRY_KEY;
	if (ipv6) {
		copy_address(flow->client, outer6(entry)->client);
		copy_address(flow->virtual_address, outer6(entry)->virtual_address);
	} else {
		flow->client[0] = outer4(entry)->client;
		flow->virtual_address[0] = outer4(entry)->virtual_address;
		flow->client[1] = flow->client[2] = flow->client[3] = 0;
		flow->virtual_address[1] = flow->virtual_address[2] = flow->virtual_address[3] = 0;
	}
}

static __always_inline int publish_established_of(struct entry *entry, __u32 now, int ipv6)
{
	struct destination *destination = destination_of(entry->destination);
	struct service *service;
	struct flow flow;

	CALL_ENTRY(publish, ipv6, entry, EVENT_UPSERT, now);
	if (!destination)
		return 0;
	service = service_of(destination->service);
	if (!service || !(service->flags & SERVICE_PERSISTENT))
		return 0;
	flow_of(&flow, entry, ipv6);
	return CALL(keep_template, ipv6, &flow, entry->destination, destination->service, now);
}

/* An entry of the established table becomes known to the peers, and with it the template of its prefix. */
FOR_ENTRIES(publish_established, AND __u32 now, now)

static __always_inline int change_udp_of(struct entry *entry, __u32 now, int ipv6)
{
	__u32 head = READ_ONCE(entry->head);

	if (!(head & ENTRY_USED))
		return 0;
	if (head & ENTRY_HALF_OPEN) {
		if (established_udp_full()) {
			change_head(entry, 0, ENTRY_LOCAL);
			return touch_half_open(READ_ONCE(entry->stamp));
		}
		if (!establish(entry, head, (head & ~ENTRY_HALF_OPEN) | ENTRY_LOCAL))
			return 0;
	} else if (head & ENTRY_LOCAL) {
		return 0;
	} else {
		change_head(entry, 0, ENTRY_LOCAL);
	}
	return CALL_ENTRY(publish_established, ipv6, entry, now);
}

/* Changes of a UDP flow other than its time. */
FOR_ENTRIES(change_udp, AND __u32 now, now)

/* A further packet of a UDP flow, in either direction: the second one makes it known to the peers. */
static __always_inline void follow_udp(struct entry *entry, int ipv6, __u32 now)
{
	__u32 timeout = READ_ONCE(settings.udp_timeout);

	see(entry, now);
	if (READ_ONCE(entry->timeout) != timeout)
		WRITE_ONCE(entry->timeout, timeout);
	if (unlikely((READ_ONCE(entry->head) & (ENTRY_HALF_OPEN | ENTRY_LOCAL)) != ENTRY_LOCAL))
		CALL_ENTRY(change_udp, ipv6, entry, now);
}

enum change {
	/* It would become established, and the established table has no room: the entry stays as it was. */
	CHANGE_REFUSED,
	CHANGED,
	/* Another processor has changed it since. */
	CHANGE_LOST,
};

static __always_inline int change_tcp_of(struct entry *entry, __u32 head, __u32 after, __u32 now, int ipv6)
{
	__u32 before, destination, to;
	int half_open, establishes;

	if (!(head & ENTRY_USED))
		return CHANGED;
	if ((head & ENTRY_HALF_OPEN) && completes_handshake(state_of(head), after) && !make_established_room())
		return CHANGE_REFUSED;
	/* What follows from it is not kept over the call, for which there is no room on the stack. */
	opaque(head);
	before = state_of(head);
	destination = entry->destination;
	to = (head & ~ENTRY_STATE) | (after << ENTRY_STATE_SHIFT) | ENTRY_LOCAL;
	half_open = (head & ENTRY_HALF_OPEN) != 0;
	establishes = half_open && completes_handshake(before, after);
	if (establishes) {
		if (!establish(entry, head, to & ~ENTRY_HALF_OPEN))
			return CHANGE_LOST;
	} else if (__sync_val_compare_and_swap(&entry->head, head, to) != head) {
		return CHANGE_LOST;
	}
	see(entry, now);
	count_transition(destination, before, after);
	if (establishes)
		CALL_ENTRY(publish_established, ipv6, entry, now);
	else if (half_open)
		touch_half_open(READ_ONCE(entry->stamp));
	else
		CALL_ENTRY(publish, ipv6, entry, EVENT_UPSERT, now);
	return CHANGED;
}

/* Changes of a TCP connection other than its time; it has been seen with this head. Returns a `change`. */
FOR_ENTRIES(change_tcp, AND __u32 head AND __u32 after AND __u32 now, head, after, now)

/* A segment as `next_states` has it. */
static __always_inline __u32 tcp_event(enum tcp_direction direction, __u32 flags)
{
	return (direction << 9) | ((flags & 0x1f) << 4);
}

/* Beside an event: the client alone sends, to a dead real server. In the same word, because another would be spilled. */
#define EVENT_STRANDED (1u << 31)

/* The direction of a client's segment. */
static __always_inline enum tcp_direction client_direction(const struct destination *destination)
{
	return sees_replies(destination) ? DIRECTION_INPUT : DIRECTION_INPUT_ONLY;
}

/*
 * Follows an event of `next_states` once, from what the entry is by now. One that changes nothing keeps the entry alive, unless
 * it is `EVENT_STRANDED`. Returns a `change`.
 */
static __always_inline int step_tcp_of(struct entry *entry, __u32 event, __u32 now, int ipv6)
{
	__u32 head = READ_ONCE(entry->head);
	__u32 before = state_of(head);
	__u32 index = (event & ~EVENT_STRANDED) | before;
	__u32 after;

	forget_bounds(index, READ_ONCE(entry->last_seen));
	if (index >= sizeof(settings.next_states))
		return CHANGED;
	after = settings.next_states[index];
	if (likely(before == after && (head & (ENTRY_LOCAL | ENTRY_HALF_OPEN)) == ENTRY_LOCAL)) {
		if (likely(!(event & EVENT_STRANDED)))
			see(entry, now);
		return CHANGED;
	}
	if ((event & EVENT_STRANDED) && before == after && (head & ENTRY_LOCAL))
		return CHANGED;
	return CALL_ENTRY(change_tcp, ipv6, entry, head, after, now);
}

/* The same for paths that need not be fast. */
FOR_ENTRIES(step_tcp, AND __u32 event AND __u32 now, event, now)

#endif

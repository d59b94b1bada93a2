/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connection templates: which real server the clients of a prefix stay with. They are entries of the connection table,
 * with the prefix as client address and 0 as client port. A template is half-open until a connection of its prefix is
 * established: then it is published and stays.
 */
#ifndef BATON_TEMPLATE_H
#define BATON_TEMPLATE_H

#include "event.h"
#include "half-open.h"

static __always_inline struct service *service_of(__u32 number)
{
	return element(&services, number);
}

static __always_inline __u32 prefix_mask(__u32 prefix_length, __u32 word)
{
	__u32 before = word * 32;
	__u32 bits = prefix_length <= before ? 0 : prefix_length - before;

	if (bits == 0)
		return 0;
	return bits >= 32 ? 0xffffffff : bpf_htonl(0xffffffffu << (32 - bits));
}

/* The flow of the template that a flow belongs to. */
static __always_inline void template_flow(struct flow *template, const struct flow *flow, __u32 prefix_length)
{
	for (int i = 0; i < 4; i++) {
		template->client[i] = flow->client[i] & prefix_mask(prefix_length, i);
		template->virtual_address[i] = flow->virtual_address[i];
	}
	template->ports = join_ports(0, target_port(flow->ports));
	template->key = flow->key | ENTRY_TEMPLATE;
}

static __always_inline void use_template(struct entry *entry, int ipv6, __u32 timeout, __u32 now)
{
	__u32 head = READ_ONCE(entry->head);

	WRITE_ONCE(entry->last_seen, now);
	WRITE_ONCE(entry->timeout, timeout);
	if (head & ENTRY_HALF_OPEN)
		touch_half_open(READ_ONCE(entry->stamp));
	if (head & ENTRY_LOCAL)
		return;
	/* A template that a peer kept until now is this director's own from the first connection on. */
	change_head(entry, 0, ENTRY_LOCAL);
	CALL_ENTRY(publish, ipv6, entry, EVENT_UPSERT, now);
}

/* The real server that a flow's template leads to; NO_DESTINATION: none that may be used. */
static __always_inline __u32 find_template(struct service *service, __u32 service_number, const struct flow *template, int ipv6,
				  __u32 now, __u64 now_ns)
{
	struct entry *entry = find_flow(template, ipv6);
	struct destination *destination;
	__u32 number, head;

	if (!entry)
		return NO_DESTINATION;
	head = READ_ONCE(entry->head);
	number = entry->destination;
	destination = destination_of(number);
	if (!destination || has_expired(entry, now) || destination->service != service_number ||
	    (destination->flags & (DESTINATION_CONFIGURED | DESTINATION_AVAILABLE)) !=
		    (DESTINATION_CONFIGURED | DESTINATION_AVAILABLE)) {
		CALL_ENTRY(close_entry, ipv6, entry, head, now, now_ns);
		return NO_DESTINATION;
	}
	use_template(entry, ipv6, service->persistence_timeout, now);
	return number;
}

static __always_inline int insert_entry_of(const struct flow *flow, __u32 destination, __u32 head, __u32 now,
					   __u32 timeout, int ipv6)
{
	__u32 reference = take_slot(flow, ipv6);
	struct entry *entry;
	__u32 generation;

	if (reference == NO_SLOT)
		return NO_SLOT;
	entry = ipv6 ? entry6_at(reference) : entry4_at(reference);
	if (!entry)
		return NO_SLOT;
	generation = READ_ONCE(entry->head) & GENERATION_MASK;
	head |= flow->key;
	entry->last_seen = now;
	entry->timeout = timeout;
	entry->destination = destination;
	entry->stamp = now;
	entry->mark = 0;
	count_table(head, 1);
	count_family(ipv6, 1);
	count_entry(destination, head, 1);
	if (head & ENTRY_HALF_OPEN)
		entry->stamp = ring_append(reference);
	__sync_lock_test_and_set(&entry->head, generation | head);
	return reference;
}

/*
 * Adds an entry, and returns its reference, or NO_SLOT; the caller has made sure that its table has room. `head`: state
 * and flags.
 */
FOR_FAMILIES(insert_entry, const struct flow,
	     flow, AND __u32 destination AND __u32 head AND __u32 now AND __u32 timeout, destination, head, now, timeout)

/* Binds a prefix to a real server, after `find_template` has found nothing. */
static __always_inline void bind_template(struct service *service, const struct flow *template, int ipv6, __u32 destination,
				 __u32 now)
{
	make_half_open_room();
	CALL(insert_entry, ipv6, template, destination, ENTRY_LOCAL | ENTRY_HALF_OPEN, now, service->persistence_timeout);
	ring_tidy();
}

/* Moves an entry, which has this head, from the half-open to the established table. */
static __always_inline int establish(struct entry *entry, __u32 head, __u32 to)
{
	if (__sync_val_compare_and_swap(&entry->head, head, to) != head)
		return 0;
	count_table(head, -1);
	count_table(to, 1);
	return 1;
}

static __always_inline int keep_template_of(struct flow *flow, __u32 destination, __u32 service_number, __u32 now,
					    int ipv6)
{
	struct service *service = service_of(service_number);
	struct entry *entry;
	__u32 head;

	if (!service || !(service->flags & SERVICE_PERSISTENT))
		return 0;
	template_flow(flow, flow, service->prefix_length);
	entry = find_flow(flow, ipv6);
	if (!entry || entry->destination != destination)
		return 0;
	head = READ_ONCE(entry->head);
	if ((head & ENTRY_HALF_OPEN) && !established_full() && establish(entry, head, head & ~ENTRY_HALF_OPEN)) {
		WRITE_ONCE(entry->last_seen, now);
		CALL_ENTRY(publish, ipv6, entry, EVENT_UPSERT, now);
	}
	use_template(entry, ipv6, service->persistence_timeout, now);
	return 0;
}

/*
 * A connection of the prefix lives, or has just been established: its template is used, and stays. `flow` becomes the
 * template's: a second one would be too much for the stack.
 */
FOR_FAMILIES(keep_template, struct flow, flow, AND __u32 destination AND __u32 service_number AND __u32 now,
	     destination, service_number, now)

#endif

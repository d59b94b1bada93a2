/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots of the connection table: taking one for a flow, giving it back, and the counters of what the table holds. How
 * a flow is found, and why nothing is locked, is in entry.h.
 */
#ifndef BATON_SLOT_H
#define BATON_SLOT_H

#include "entry.h"

/* Makes a free slot this processor's alone. Returns false when another one was quicker, or it is not free. */
static __always_inline int claim(struct entry *entry)
{
	__u32 head = READ_ONCE(entry->head);

	if (head & (ENTRY_USED | ENTRY_BUSY))
		return 0;
	return __sync_val_compare_and_swap(&entry->head, head, ((head & GENERATION_MASK) + GENERATION_STEP) | ENTRY_BUSY) ==
	       head;
}

static long claim_in4(__u32 step, struct quest *quest)
{
	__u32 index = choose_bucket(quest->hash, step, buckets4);
	struct bucket4 *bucket = element(&table4, index);
	struct entry4 *slot;
	__u32 mask, way;

	if (!bucket)
		return 1;
	mask = free_ways4(bucket);
	if (!mask) {
		WRITE_ONCE(bucket->entries[0].common.spilled, 1);
		return 0;
	}
	way = way_from(first_way4(quest->hash), mask);
	slot = slot_of4(bucket, way);
	if (!claim(&slot->common)) {
		WRITE_ONCE(bucket->entries[0].common.spilled, 1);
		return 0;
	}
	slot->client = quest->flow.client[0];
	slot->virtual_address = quest->flow.virtual_address[0];
	slot->common.ports = quest->flow.ports;
	quest->found = index * WAYS + way;
	return 1;
}

static long claim_in6(__u32 step, struct quest *quest)
{
	__u32 index = choose_bucket(quest->hash, step, buckets6);
	struct bucket6 *bucket = element(&table6, index);
	struct entry6 *slot;
	__u32 mask, way;

	if (!bucket)
		return 1;
	mask = free_ways6(bucket);
	if (!mask) {
		WRITE_ONCE(bucket->entries[0].common.spilled, 1);
		return 0;
	}
	way = way_from(first_way6(quest->hash), mask);
	slot = slot_of6(bucket, way);
	if (!claim(&slot->common)) {
		WRITE_ONCE(bucket->entries[0].common.spilled, 1);
		return 0;
	}
	copy_address(slot->client, quest->flow.client);
	copy_address(slot->virtual_address, quest->flow.virtual_address);
	slot->common.ports = quest->flow.ports;
	quest->found = (index * WAYS + way) | REFERENCE_IPV6;
	return 1;
}

/* The reference of a slot for a flow, with its key in it and busy; NO_SLOT when all choices are full. */
static __always_inline __u32 take_slot(const struct flow *flow, int ipv6)
{
	struct quest quest = { .found = NO_SLOT };

	quest.hash = ipv6 ? hash_flow6(flow) :
			    hash_flow4(flow->client[0], flow->virtual_address[0], flow->ports, flow->key);
	quest.flow = *flow;
	if (ipv6)
		bpf_loop(CHOICES, claim_in6, &quest, 0);
	else
		bpf_loop(CHOICES, claim_in4, &quest, 0);
	return quest.found;
}

/* An entry with this head has come (1) or gone (-1). */
static __always_inline void count_table(__u32 head, int by)
{
	if (head & ENTRY_HALF_OPEN) {
		__sync_fetch_and_add(&totals.half_open, by);
		if (is_template(head)) {
			__sync_fetch_and_add(&totals.half_open_templates, by);
			keep_apart();
		}
		return;
	}
	__sync_fetch_and_add(&totals.established, by);
	WRITE_ONCE(totals.established_max, established_max);
	if (is_template(head)) {
		__sync_fetch_and_add(&totals.established_templates, by);
		keep_apart();
	} else if (protocol_of(head) == PROTOCOL_UDP) {
		__sync_fetch_and_add(&totals.established_udp, by);
		keep_apart();
	} else if (head & ENTRY_SECOND_CLASS) {
		__sync_fetch_and_add(&totals.second_class, by);
		keep_apart();
	}
}

static __always_inline void count_family(int ipv6, int by)
{
	if (ipv6) {
		__sync_fetch_and_add(&totals.entries6, by);
		keep_apart();
	} else {
		__sync_fetch_and_add(&totals.entries4, by);
	}
}

static __always_inline int half_open_full(void)
{
	return READ_ONCE(totals.half_open) >= half_open_max;
}

static __always_inline int established_full(void)
{
	return READ_ONCE(totals.established) >= established_max;
}

/*
 * Anybody can forge UDP packets that look like a flow, but not a TCP handshake. UDP flows fill at most half of the
 * established table, so that the other half is always left for TCP connections.
 */
static __always_inline int established_udp_full(void)
{
	return established_full() || READ_ONCE(totals.established_udp) >= established_max >> 1;
}

/*
 * Removes an entry if its head is still the one that the caller has judged it by. Returns whether this call removed it.
 * A slot that is free or busy has no entry to remove.
 */
static __always_inline int remove_entry(struct entry *entry, __u32 head, int ipv6)
{
	__u32 busy = (head & GENERATION_MASK) | ENTRY_BUSY;
	__u32 destination;

	if (!(head & ENTRY_USED) || __sync_val_compare_and_swap(&entry->head, head, busy) != head)
		return 0;
	destination = entry->destination;
	count_table(head, -1);
	count_family(ipv6, -1);
	count_entry(destination, head, -1);
	__sync_lock_test_and_set(&entry->head, head & GENERATION_MASK);
	return 1;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of half-open entries: a ring of references, in which each entry's last position counts. A position that its
 * entry has left, because it got a packet, was established or is gone, is a hole, which is skipped when it comes
 * up. The ring has four times as many positions as there may be half-open entries.
 *
 * Taking a position off and writing another into the entry are two steps. An entry whose position is taken off in between
 * by another processor, or is overwritten, cannot be pushed out until the sweep gives it a new one.
 */
#ifndef BATON_HALF_OPEN_H
#define BATON_HALF_OPEN_H

#include "slot.h"

/* Holes that one eviction skips at most; after so many the table grows by one beyond its limit instead. */
#define HOLES_MAX 64

static __always_inline struct half_open_slot *ring_slot(__u32 position)
{
	__u32 index = position & ring_mask;

	return element(&half_open_ring, index);
}

/* Puts a reference behind all others. Returns its position. */
static __always_inline __u64 ring_append(__u32 reference)
{
	/* 64 bits: see `element`. */
	__u64 position = __sync_fetch_and_add(&totals.ring_tail, 1);
	struct half_open_slot *slot = ring_slot(position);

	opaque(position);
	if (slot) {
		slot->reference = reference;
		__sync_lock_test_and_set(&slot->position, position);
	}
	return position;
}

/* The entry whose last position this is, and the head that it was seen with; 0: a hole. */
static __always_inline struct entry *ring_entry(__u32 position, __u32 *reference, __u32 *seen)
{
	struct half_open_slot *slot = ring_slot(position);
	struct entry *entry;
	__u32 head;

	if (!slot || READ_ONCE(slot->position) != position)
		return 0;
	*reference = READ_ONCE(slot->reference);
	entry = entry_at(*reference);
	if (!entry)
		return 0;
	head = READ_ONCE(entry->head);
	if ((head & (ENTRY_USED | ENTRY_HALF_OPEN)) != (ENTRY_USED | ENTRY_HALF_OPEN))
		return 0;
	*seen = head;
	return READ_ONCE(entry->stamp) == position ? entry : 0;
}

/* The entry at this position moves behind all others, unless another processor has established or moved it meanwhile. */
static __always_inline void ring_move(struct entry *entry, __u32 reference, __u32 position)
{
	__u32 next = ring_append(reference);

	__sync_val_compare_and_swap(&entry->stamp, position, next);
}

/* Takes the oldest position off the ring. Returns false when there is none, or another processor was quicker. */
static __always_inline int ring_pop(__u32 *position)
{
	__u32 head = READ_ONCE(totals.ring_head);

	if (head == READ_ONCE(totals.ring_tail))
		return 0;
	*position = head;
	return __sync_val_compare_and_swap(&totals.ring_head, head, head + 1) == head;
}

/*
 * Takes the oldest position off a ring that is more than half full, to clear holes. Until the ring is nearly full only a
 * hole is taken, because an entry would lose its place. Returns false when nothing was taken.
 */
static __always_inline int ring_tidy_once(void)
{
	__u32 span = READ_ONCE(totals.ring_tail) - READ_ONCE(totals.ring_head);
	__u32 reference, position, head;
	struct entry *entry;

	if (span <= ring_mask >> 1)
		return 0;
	if (span <= ring_mask - (ring_mask >> 3) && ring_entry(READ_ONCE(totals.ring_head), &reference, &head))
		return 0;
	if (!ring_pop(&position))
		return 0;
	entry = ring_entry(position, &reference, &head);
	if (entry)
		ring_move(entry, reference, position);
	return 1;
}

/*
 * When holes have filled half of the ring, its oldest positions make room. There is no loop, because the verifier
 * follows it speculatively without CAP_PERFMON, and would not see its end.
 */
static __always_inline void ring_tidy(void)
{
	if (ring_tidy_once())
		ring_tidy_once();
}

/* A packet of the half-open entry at this position has come: the entry is now the last to be pushed out. */
standalone int touch_half_open(__u32 position)
{
	__u32 reference, head;
	struct entry *entry;

	if (position + 1 == READ_ONCE(totals.ring_tail))
		return 0;
	entry = ring_entry(position, &reference, &head);
	if (!entry)
		return 0;
	ring_move(entry, reference, position);
	ring_tidy();
	return 0;
}

/* Gives the half-open entry at a reference a position again if it has lost its own. */
static __always_inline void keep_in_ring(struct entry *entry, __u32 reference)
{
	__u32 position = READ_ONCE(entry->stamp);
	__u32 head = READ_ONCE(totals.ring_head);
	struct half_open_slot *slot = ring_slot(position);

	if (position - head < READ_ONCE(totals.ring_tail) - head && slot && READ_ONCE(slot->position) == position &&
	    READ_ONCE(slot->reference) == reference)
		return;
	ring_move(entry, reference, position);
	ring_tidy();
}

/* Pushes the entry at the oldest position out. Returns true when there was one, and no other processor was quicker. */
static long push_out(__u32 step, __u64 *pushed)
{
	__u32 reference, position, head;
	struct entry *entry;

	if (!ring_pop(&position))
		return 0;
	entry = ring_entry(position, &reference, &head);
	if (!entry || !remove_entry(entry, head, (reference & REFERENCE_IPV6) != 0))
		return 0;
	*pushed = 1;
	return 1;
}

/* Pushes the oldest half-open entry out when there is no room for another. Peers are not told: none was published. */
standalone int make_half_open_room(void)
{
	__u64 pushed = 0;

	if (!half_open_full())
		return 0;
	bpf_loop(HOLES_MAX, push_out, &pushed, 0);
	count_events(TALLY_HALF_OPEN_EVICTIONS, pushed);
	return 0;
}

#endif

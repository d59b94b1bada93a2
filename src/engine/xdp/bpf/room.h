/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room in the established table: entries of the second class give way, as src/connection/second-class.ts says. A hand goes
 * round the slots of each family, so that each entry is passed as often as the others.
 */
#ifndef BATON_ROOM_H
#define BATON_ROOM_H

#include "event.h"

/* As in src/connection/second-class.ts. */
#define GIVES_WAY_AFTER 1000u
#define LOOKS_FOR_ROOM 256

struct room {
	__u64 now_ns;
	/* 64 bits: see `element`. */
	__u64 made;
};

/* Whether an entry with this head is an established one of the second class that has been silent for long enough. */
static __always_inline int gives_way(struct entry *entry, __u32 head, __u64 now_ns)
{
	if ((head & (ENTRY_USED | ENTRY_BUSY | ENTRY_HALF_OPEN | ENTRY_SECOND_CLASS)) != (ENTRY_USED | ENTRY_SECOND_CLASS))
		return 0;
	return age_of(READ_ONCE(entry->last_seen), now_ns / 1000000) >= GIVES_WAY_AFTER;
}

/* Looks at the entry under the hand, and moves the hand on; behind the last entry it begins again. Returns 1 to stop. */
static __always_inline long look_for_room(struct room *room, __u32 *hand, int ipv6)
{
	__u32 at = READ_ONCE(*hand);
	struct entry *entry = ipv6 ? entry6_at(at) : entry4_at(at);
	__u32 head;

	WRITE_ONCE(*hand, entry ? at + 1 : 0);
	if (!entry)
		return 0;
	head = READ_ONCE(entry->head);
	if (gives_way(entry, head, room->now_ns))
		room->made = CALL_ENTRY(close_entry, ipv6, entry, head, room->now_ns / 1000000, room->now_ns);
	return room->made != 0;
}

static long look_for_room4(__u32 step, struct room *room)
{
	return look_for_room(room, &totals.hand4, 0);
}

static long look_for_room6(__u32 step, struct room *room)
{
	return look_for_room(room, &totals.hand6, 1);
}

/* Whether the established table has room for a TCP connection: if need be an entry of the second class gives way. */
standalone int make_established_room(void)
{
	struct room room = {};

	if (!established_full())
		return 1;
	if (READ_ONCE(totals.second_class) == 0)
		return 0;
	room.now_ns = test_clock ? READ_ONCE(settings.test_now) : bpf_ktime_get_coarse_ns();
	bpf_loop(LOOKS_FOR_ROOM, look_for_room4, &room, 0);
	if (!room.made && READ_ONCE(totals.entries6))
		bpf_loop(LOOKS_FOR_ROOM, look_for_room6, &room, 0);
	count_events(TALLY_SECOND_CLASS_EVICTIONS, room.made != 0);
	return room.made != 0;
}

#endif

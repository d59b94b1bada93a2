/* SPDX-License-Identifier: Apache-2.0 */
/* The class of an entry: of the second one until its connection has carried data (src/connection/second-class.ts). */
#ifndef BATON_SECOND_CLASS_H
#define BATON_SECOND_CLASS_H

#include "life.h"

/* 1..255. */
static __always_inline __u8 mark_of(__u32 acknowledgement)
{
	__u8 mark = (acknowledgement * 0x9e3779b1u) >> 24;

	return mark ? mark : 1;
}

/* Gives an entry this class, ENTRY_SECOND_CLASS or 0. When another processor wins, it tries again, a few times. */
static __always_inline void set_class(struct entry *entry, __u32 class)
{
	for (int i = 0; i < 4; i++) {
		__u32 head = READ_ONCE(entry->head);

		if (!(head & ENTRY_USED) || (head & ENTRY_SECOND_CLASS) == class)
			return;
		if (__sync_val_compare_and_swap(&entry->head, head, head ^ ENTRY_SECOND_CLASS) != head)
			continue;
		if (!(head & ENTRY_HALF_OPEN))
			__sync_fetch_and_add(&totals.second_class, class ? 1 : -1);
		return;
	}
}

/* The peers hear of it by the next sweep, which finds the entry due for a refresh. */
static __always_inline void become_first_class(struct entry *entry, __u32 now)
{
	__u32 head = READ_ONCE(entry->head);

	set_class(entry, 0);
	if (!(head & ENTRY_HALF_OPEN))
		WRITE_ONCE(entry->stamp, now - tcp_timeout(state_of(head)));
}

/* A client's segment, to an entry of the second class. `ahead`: how far it ends beyond what is expected, if that is known. */
static __always_inline void hear_second_class(struct entry *entry, __u32 head, const struct packet *packet, __u32 direction,
					      int advances)
{
	__u32 flags = packet->tcp_flags;
	__u8 mark = READ_ONCE(entry->mark), heard = mark_of(bpf_ntohl(packet->acknowledgement));
	int carried;

	if (flags & (TCP_SYN | TCP_RST))
		return;
	carried = packet->data && (head & ENTRY_SEQUENCED ? advances : mark != 0);
	if (!carried && mark == 0) {
		WRITE_ONCE(entry->mark, heard);
		return;
	}
	if (carried || (direction == DIRECTION_INPUT_ONLY && (flags & (TCP_FIN | TCP_ACK)) == TCP_ACK && heard != mark))
		become_first_class(entry, packet->now);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the head of an entry says, and how long the entry lasts. */
#ifndef BATON_ENTRY_TIME_H
#define BATON_ENTRY_TIME_H

#include "packet.h"

static __always_inline int is_template(__u32 head)
{
	return (head & ENTRY_TEMPLATE) != 0;
}

static __always_inline __u32 state_of(__u32 head)
{
	return (head & ENTRY_STATE) >> ENTRY_STATE_SHIFT;
}

static __always_inline __u32 protocol_of(__u32 head)
{
	return head & ENTRY_PROTOCOL;
}

/* `class_and_state`: a state, of the first class by itself. */
static __always_inline __u32 tcp_timeout(__u32 class_and_state)
{
	return READ_ONCE(settings.tcp_timeouts[class_and_state & 31]);
}

/* Whether a head is that of a TCP connection that this director forwards. */
static __always_inline int is_local_tcp(__u32 head)
{
	return (head & (ENTRY_PROTOCOL | ENTRY_LOCAL | ENTRY_TEMPLATE)) == (PROTOCOL_TCP | ENTRY_LOCAL);
}

/* How long an entry with this head lasts after its last packet, in milliseconds. */
static __always_inline __u32 timeout_of(struct entry *entry, __u32 head)
{
	return is_local_tcp(head) ? tcp_timeout(head >> ENTRY_STATE_SHIFT) : READ_ONCE(entry->timeout);
}

static __always_inline int has_expired(struct entry *entry, __u32 now)
{
	return age_of(READ_ONCE(entry->last_seen), now) >= timeout_of(entry, READ_ONCE(entry->head));
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sequence number that the client of a TCP connection is expected to send next, by which a segment of somebody else
 * is told from its own: src/connection/sequence.ts says which segments count.
 */
#ifndef BATON_SEQUENCE_H
#define BATON_SEQUENCE_H

#include "dead-server.h"
#include "second-class.h"

/* As in src/connection/sequence.ts: bytes, and milliseconds. */
#define SEQUENCE_WINDOW 65536u
#define CLOSING_SILENCE 1000u

#define ENDING_STATES                                                                                                  \
	((1 << TCP_FIN_WAIT) | (1 << TCP_TIME_WAIT) | (1 << TCP_CLOSE) | (1 << TCP_CLOSE_WAIT))
#define CLOSING_STATES ((1 << TCP_FIN_WAIT) | (1 << TCP_CLOSE_WAIT))

static __always_inline int sequence_advances(__u32 ahead)
{
	return ahead - 1 < SEQUENCE_WINDOW;
}

static __always_inline int sequence_fits(__u32 ahead)
{
	return ahead + SEQUENCE_WINDOW <= 2 * SEQUENCE_WINDOW;
}

/* Until an entry is this director's own its word holds the peer's timeout. */
static __always_inline void learn_sequence(struct entry *entry, __u32 next)
{
	__u32 head = READ_ONCE(entry->head);

	if (!is_local_tcp(head))
		return;
	WRITE_ONCE(entry->next_sequence, next);
	change_head(entry, 0, ENTRY_SEQUENCED);
}

/* Whether a SYN without ACK counts for an entry. */
static __always_inline int syn_counts(struct entry *entry, __u32 head, __u32 now)
{
	__u32 state = state_of(head);

	if (state == TCP_ESTABLISHED)
		return 0;
	return is_half_open_state(state) || age_of(READ_ONCE(entry->last_seen), now) >= CLOSING_SILENCE;
}

static __always_inline int judge_of(struct entry *entry, const struct packet *packet, __u32 direction, int ipv6)
{
	__u32 head = READ_ONCE(entry->head);
	__u32 states = 1u << state_of(head);
	__u32 expected = READ_ONCE(entry->next_sequence);
	int known = (head & ENTRY_SEQUENCED) != 0;
	__u32 flags, ahead, end;

	if (!packet)
		return 0;
	flags = packet->tcp_flags;
	end = packet->sequence + packet->data + ((flags & TCP_SYN) != 0) + (flags & TCP_FIN);
	ahead = end - expected;
	if (flags & TCP_RST)
		return tcp_event(direction, known && packet->sequence == expected ? flags : 0);
	if (flags & TCP_SYN) {
		if ((flags & TCP_ACK) || !syn_counts(entry, head, packet->now))
			return tcp_event(direction, 0);
		/* The SYN of a connection, which may be another one than the entry's. */
		set_class(entry, ENTRY_SECOND_CLASS);
		WRITE_ONCE(entry->mark, 0);
		learn_sequence(entry, end);
		return tcp_event(direction, flags);
	}
	if (head & ENTRY_SECOND_CLASS)
		hear_second_class(entry, head, packet, direction, sequence_advances(ahead));
	if (known && sequence_advances(ahead))
		WRITE_ONCE(entry->next_sequence, end);
	if (flags & TCP_FIN)
		return tcp_event(direction, !known || sequence_fits(ahead) ? flags : 0);
	if (packet->data && (known ? sequence_advances(ahead) && (states & ENDING_STATES) : (states & CLOSING_STATES)))
		return tcp_event(DIRECTION_REVIVED, flags);
	return tcp_event(direction, flags);
}

/* What a client's segment means to its entry, as an event of `next_states`. */
FOR_ENTRIES(judge, AND const struct packet *packet AND __u32 direction, packet, direction)

/* The same, without a call for the segments of an established connection of the first class. */
static __always_inline __u32 hear_client(struct entry *entry, const struct packet *packet, enum tcp_direction direction,
					 int ipv6)
{
	__u32 head = READ_ONCE(entry->head);
	__u32 end;

	if (unlikely((packet->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) ||
		     (head & ENTRY_CLASS_AND_STATE) != TCP_ESTABLISHED << ENTRY_STATE_SHIFT))
		return CALL_ENTRY(judge, ipv6, entry, packet, direction);
	end = packet->sequence + packet->data;
	if (likely(head & ENTRY_SEQUENCED) && sequence_advances(end - READ_ONCE(entry->next_sequence)))
		WRITE_ONCE(entry->next_sequence, end);
	return tcp_event(direction, packet->tcp_flags);
}

static __always_inline int learn_from_server_of(struct entry *entry, const struct packet *packet, int ipv6)
{
	__u32 head = READ_ONCE(entry->head);

	if (!packet)
		return 0;
	if (!(head & ENTRY_SEQUENCED) && (packet->tcp_flags & TCP_ACK))
		learn_sequence(entry, bpf_ntohl(packet->acknowledgement));
	if ((head & ENTRY_SECOND_CLASS) && packet->data && !(packet->tcp_flags & (TCP_SYN | TCP_RST)))
		become_first_class(entry, packet->now);
	return 0;
}

/*
 * A real server's acknowledgement says what the client is expected to send next, where that is not known, and its data
 * that the connection carries some.
 */
FOR_ENTRIES(learn_from_server, AND const struct packet *packet, packet)

static __always_inline __u32 hear_server(struct entry *entry, const struct packet *packet, int ipv6)
{
	if (unlikely((READ_ONCE(entry->head) & (ENTRY_SEQUENCED | ENTRY_SECOND_CLASS)) != ENTRY_SEQUENCED))
		CALL_ENTRY(learn_from_server, ipv6, entry, packet);
	return tcp_event(DIRECTION_OUTPUT, packet->tcp_flags);
}

/*
 * Follows a TCP segment that this director forwards. Returns false when it would establish its connection and the
 * established table is full: it is not to be forwarded. A change that is lost is tried once more, because a FIN does not
 * come again once it is acknowledged. A segment that changes nothing does not keep the entry alive when `doubted`,
 * its real server, is given and dead.
 */
static __always_inline int follow_tcp(struct entry *entry, int ipv6, const struct packet *packet,
				      enum tcp_direction direction, const struct destination *doubted)
{
	__u32 event = direction == DIRECTION_OUTPUT ? hear_server(entry, packet, ipv6) :
						      hear_client(entry, packet, direction, ipv6);
	int change;

	if (doubted && unlikely(is_stranded(doubted)))
		event |= EVENT_STRANDED;
	change = step_tcp_of(entry, event, packet->now, ipv6);
	if (unlikely(change == CHANGE_LOST))
		change = CALL_ENTRY(step_tcp, ipv6, entry, event, packet->now);
	return change != CHANGE_REFUSED;
}

#endif

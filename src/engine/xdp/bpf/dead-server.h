/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries whose real server is dead: taken out by its health checks, or no longer configured. A client that sends to it
 * does not keep its entry alive, and src/connection/dead-servers.ts says which packets end it.
 */
#ifndef BATON_DEAD_SERVER_H
#define BATON_DEAD_SERVER_H

#include "life.h"

/* In src/connection/dead-servers.ts, in milliseconds. */
#define DEAD_SERVER_SILENCE 5000u

#define DESTINATION_SERVING (DESTINATION_LIVE | DESTINATION_CONFIGURED | DESTINATION_AVAILABLE)

/* Entries of a removed virtual service only wait for the sweep. */
static __always_inline int is_stranded(const struct destination *destination)
{
	__u8 flags = READ_ONCE(destination->flags);

	return (flags & DESTINATION_LIVE) && (flags & DESTINATION_SERVING) != DESTINATION_SERVING;
}

static __always_inline int begins_connection(const struct packet *packet)
{
	return packet->protocol == PROTOCOL_TCP && (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

/* Whether a client's packet ends an entry because the entry's real server is dead. */
static __always_inline int leaves_dead_server(const struct packet *packet, struct entry *entry)
{
	struct destination *destination = destination_of(entry->destination);
	__u32 policy = READ_ONCE(settings.dead_servers);

	if (!destination || !is_stranded(destination))
		return 0;
	if (packet->protocol != PROTOCOL_TCP)
		return policy != DEAD_SERVERS_NONE;
	if (policy == DEAD_SERVERS_ALL)
		return 1;
	return begins_connection(packet) && (is_half_open_state(state_of(READ_ONCE(entry->head))) ||
					     age_of(READ_ONCE(entry->last_seen), packet->now) >= DEAD_SERVER_SILENCE);
}

#endif

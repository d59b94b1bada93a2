/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a packet that is not for an address of ours belongs to a real server all the same. */
#ifndef BATON_REPLY_H
#define BATON_REPLY_H

#include "forward.h"

/* Instead of the number of a destination. */
enum owner {
	/* The packet is not from the endpoint of a masquerade real server. */
	OWNER_NONE = -1,
	/* It is, but of no connection that is known. */
	OWNER_UNKNOWN = -2,
};

static __always_inline int find_owner_of(struct packet *packet, int ipv6)
{
	struct entry *entry;
	__u32 number = find_reply(packet, ipv6, &entry);

	if (number == NO_DESTINATION)
		return OWNER_NONE;
	return entry ? (int)number : OWNER_UNKNOWN;
}

/* The real server whose connection a packet belongs to, or an `owner`. */
FOR_FAMILIES(find_owner, struct packet, packet, )

static __always_inline int find_configured_owner_of(struct packet *packet, int ipv6)
{
	__u32 number =
		find_real_server(packet->flow.client, source_port(packet->flow.ports), packet->flow.key & ENTRY_PROTOCOL, ipv6);

	return number == NO_DESTINATION ? NO_DESTINATION : find_configured(number);
}

/* The real server at the endpoint that a packet comes from, with which a service is configured, or NO_DESTINATION. */
FOR_FAMILIES(find_configured_owner, struct packet, packet, )

/* Whether a packet goes on to a client when nothing is wrong with it: that of a connection, or of a service without entries. */
static __always_inline int is_reply(struct packet *packet)
{
	int owner = CALL(find_owner, packet->ipv6, packet);
	struct destination *destination;
	struct service *service;

	if (owner != OWNER_UNKNOWN)
		return owner != OWNER_NONE;
	destination = destination_of(CALL(find_configured_owner, packet->ipv6, packet));
	service = destination ? service_of(destination->service) : 0;
	return service && (service->flags & SERVICE_ONE_PACKET);
}

#endif

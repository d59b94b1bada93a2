/* SPDX-License-Identifier: Apache-2.0 */
/* The decision about a packet, by lease, connection table, virtual service and selector. */
#ifndef BATON_FORWARD_H
#define BATON_FORWARD_H

#include "admission.h"
#include "dead-server.h"
#include "sequence.h"

/*
 * Whether an address may not be a packet's source on the wire: 0/8, 127/8, multicast, class E (RFC 1812 section 5.3.7);
 * unspecified, loopback, IPv4-mapped (RFC 4038 section 4.2) and multicast in IPv6.
 */
static __always_inline int is_martian(const __u32 *address, int ipv6)
{
	if (ipv6) {
		if ((bpf_ntohl(address[0]) >> 24) == 0xff)
			return 1;
		if (address[0] | address[1])
			return 0;
		return address[2] == bpf_htonl(0xffff) || (address[2] == 0 && bpf_ntohl(address[3]) <= 1);
	} else {
		__u32 first = address[0] & 0xff;

		return first == 0 || first == 127 || first >= 224;
	}
}

/* fe80::/10: never forwarded (RFC 4291 section 2.5.6). */
static __always_inline int is_link_local(const __u32 *address)
{
	return (bpf_ntohl(address[0]) >> 22) == 0x3fa;
}

/* Counts a packet to its real server, and decides whether it may leave. */
static __always_inline int forward_in(struct packet *packet, __u32 number, struct destination *destination)
{
	packet->destination = number;
	packet->lease_slot = destination->lease_slot;
	packet->hop = destination->hop;
	count_in(number, packet->length);
	if (unlikely(packet->ttl <= 1 || packet->length > packet->hop.mtu))
		copy_address(packet->virtual_address, packet->flow.virtual_address);
	return may_leave(packet, FORWARD_IN);
}

/* The position of an address in a filter. */
static __always_inline __u32 filter_bit(const __u32 *address, int ipv6)
{
	__u32 word = ipv6 ? address[0] ^ address[1] ^ address[2] ^ address[3] : address[0];

	return (word * 0x9e3779b1u) >> 22;
}

/* False: packets to the address are not examined. True: they may be. */
static __always_inline int may_be_served(const __u32 *address, int ipv6)
{
	__u32 bit = filter_bit(address, ipv6);

	return (READ_ONCE(settings.served[(bit >> 5) & (FILTER_BITS / 32 - 1)]) >> (bit & 31)) & 1;
}

/* False: the address is not that of a real server whose replies pass here. True: it may be. */
static __always_inline int may_reply(const __u32 *address, int ipv6)
{
	__u32 bit = filter_bit(address, ipv6);

	return (READ_ONCE(settings.replying[(bit >> 5) & (FILTER_BITS / 32 - 1)]) >> (bit & 31)) & 1;
}

static __always_inline struct entry *find_entry(const struct packet *packet, int ipv6)
{
	return ipv6 ? find6(&packet->flow) :
		      find4(packet->flow.client[0], packet->flow.virtual_address[0], packet->flow.ports, packet->flow.key);
}

/* Whether an entry is over for a packet: it has expired, or the packet begins another connection. */
static __always_inline int is_done(const struct packet *packet, struct entry *entry)
{
	return has_expired(entry, packet->now) || (begins_connection(packet) && is_over(READ_ONCE(entry->head)));
}

/*
 * A packet of a known connection whose virtual service lives. Its entry lives on, unless it is asked (`doubted`) whether
 * the real server is dead, and it is.
 */
static __always_inline int follow_in(struct packet *packet, struct entry *entry, __u32 number,
				     struct destination *destination, int doubted, int ipv6)
{
	if (packet->protocol == PROTOCOL_TCP) {
		if (!follow_tcp(entry, ipv6, packet, client_direction(destination), doubted ? destination : 0))
			return drop(DROP_TABLE_FULL);
	} else if (!doubted || !is_stranded(destination)) {
		follow_udp(entry, ipv6, packet->now);
	}
	return forward_in(packet, number, destination);
}

static __always_inline int hear_syn_of(struct entry *entry, __u32 now, int ipv6)
{
	__u32 head = READ_ONCE(entry->head);
	int repeated = head & ENTRY_HALF_OPEN;

	if (repeated ? !(head & ENTRY_LOCAL) : !syn_counts(entry, head, now))
		return 0;
	if (!publisher_keeps_up())
		return -1;
	if (!peer_is_heard() || !take_syn_publication(now))
		return 0;
	if (repeated)
		CALL_ENTRY(publish_begun, ipv6, entry, now);
	else if (is_half_open_state(state_of(head)))
		CALL_ENTRY(publish, ipv6, entry, EVENT_UPSERT, now);
	return 1;
}

/*
 * The SYN of a known entry: its client repeats it, and the publisher may have died with the first one, so that no peer knows of
 * the connection; or it begins another connection in the entry of one that is closing, of which its change of state will
 * tell. Returns whether it is held, negative when nobody would publish it.
 */
FOR_ENTRIES(hear_syn, AND __u32 now, now)

/*
 * A TCP or UDP packet to a served address, whole or the first fragment, with an intact transport header, under a valid
 * lease. `packet->flow.key` names its protocol; `entry` is its entry or 0.
 */
static __always_inline int decide_found(struct packet *packet, struct entry *entry, int ipv6)
{
	struct destination *destination;
	__u32 number;

	if (entry) {
		__u32 head = READ_ONCE(entry->head);

		if (unlikely(is_done(packet, entry) || leaves_dead_server(packet, entry))) {
			CALL_ENTRY(close_entry, ipv6, entry, head, packet->now, packet->now_ns);
			entry = 0;
		}
	}
	if (unlikely(!entry)) {
		/* Its source is a virtual address: it is a peer's, or forged. No entry has such a client. */
		int decision = is_served(find_address(packet->flow.client, ipv6)) ? drop(DROP_MARTIAN_SOURCE) :
										    CALL(admit, ipv6, packet);

		if (decision != FORWARD_IN)
			return decision;
		number = packet->destination;
		destination = destination_of(number);
		return destination ? forward_in(packet, number, destination) : LEAVE_ALONE;
	}
	number = entry->destination;
	destination = destination_of(number);
	/* An entry of a removed service only waits for the sweep. */
	if (!destination || unlikely(!(destination->flags & DESTINATION_LIVE)))
		return LEAVE_ALONE;
	if (begins_connection(packet)) {
		int held = CALL_ENTRY(hear_syn, ipv6, entry, packet->now);

		if (held < 0)
			return drop(DROP_NO_PUBLISHER);
		packet->held = held;
	}
	return follow_in(packet, entry, number, destination, 1, ipv6);
}

static __always_inline int decide_in(struct packet *packet, int ipv6)
{
	return decide_found(packet, find_entry(packet, ipv6), ipv6);
}

/* A packet goes out to its client, from `packet->virtual_address` and `packet->virtual_port`. */
static __always_inline int forward_out(struct packet *packet, __u32 number, struct destination *destination, int ipv6)
{
	packet->destination = number;
	packet->lease_slot = destination->lease_slot;
	client_hop(&packet->hop, packet->flow.virtual_address, ipv6);
	count_out(number, packet->length);
	return may_leave(packet, FORWARD_OUT);
}

/* The entry that a packet belongs to when it comes from this real server, or 0. */
static __always_inline struct entry *find_reply_of(struct packet *packet, __u32 number, struct destination *destination,
						   int ipv6)
{
	__u32 ports = join_ports(target_port(packet->flow.ports), destination->virtual_port);
	struct entry *entry;

	if (ipv6) {
		struct flow flow = { .ports = ports, .key = packet->flow.key };

		copy_address(flow.client, packet->flow.virtual_address);
		copy_address(flow.virtual_address, destination->virtual_address);
		entry = find6(&flow);
	} else {
		entry = find4(packet->flow.virtual_address[0], destination->virtual_address[0], ports, packet->flow.key);
	}
	return entry && entry->destination == number ? entry : 0;
}

static __always_inline int find_sharer_of(struct packet *packet, __u32 number, int ipv6)
{
	struct search search = {
		.client_port = target_port(packet->flow.ports),
		.number = number,
		.except = NO_DESTINATION,
	};

	copy_address(search.flow.client, packet->flow.virtual_address);
	search.flow.key = packet->flow.key;
	look_at_others(&search, ipv6);
	return search.entry ? search.number : NO_DESTINATION;
}

/* Which of several real servers at one endpoint, from this one on, has a connection that a packet belongs to. */
FOR_FAMILIES(find_sharer, struct packet, packet, AND __u32 number, number)

/*
 * The real server and, in `entry`, the connection that a packet from its endpoint belongs to; NO_DESTINATION: it is not
 * from a masquerade real server. `entry` is 0 when the connection is not known, or has expired.
 */
static __always_inline __u64 find_reply(struct packet *packet, int ipv6, struct entry **entry)
{
	/* 64 bits: half a register that is put on the stack would overwrite half of a pointer: see `element`. */
	__u64 first = find_real_server(packet->flow.client, source_port(packet->flow.ports), packet->protocol, ipv6);
	struct destination *destination = destination_of(first);
	__u64 number = first;

	*entry = 0;
	if (first == NO_DESTINATION || !destination)
		return NO_DESTINATION;
	*entry = find_reply_of(packet, number, destination, ipv6);
	if (unlikely(!*entry && destination->next_with_endpoint != NO_DESTINATION)) {
		number = CALL(find_sharer, ipv6, packet, destination->next_with_endpoint);
		opaque(number);
		destination = destination_of(number);
		if (number != NO_DESTINATION && destination)
			*entry = find_reply_of(packet, number, destination, ipv6);
	}
	if (*entry && !has_expired(*entry, packet->now))
		return number;
	*entry = 0;
	return first;
}

/* The first of the real servers at an endpoint whose service is configured with it, or NO_DESTINATION. */
standalone int find_configured(__u32 number)
{
	for (int i = 0; i < SHARERS_MAX; i++) {
		struct destination *destination = destination_of(number);

		if (!destination)
			return NO_DESTINATION;
		if ((destination->flags & (DESTINATION_LIVE | DESTINATION_CONFIGURED)) ==
		    (DESTINATION_LIVE | DESTINATION_CONFIGURED))
			return number;
		number = destination->next_with_endpoint;
	}
	return NO_DESTINATION;
}

/* Sets the virtual address that a real server's packet leaves with. False: it does not leave, and `decision` says why. */
static __always_inline int begin_reply(struct packet *packet, struct destination *destination, int *decision)
{
	if (!(destination->flags & DESTINATION_LIVE)) {
		*decision = LEAVE_ALONE;
		return 0;
	}
	if (!lease_is_valid(destination->lease_slot, packet->now_ns)) {
		*decision = drop(DROP_NO_LEASE);
		return 0;
	}
	copy_address(packet->virtual_address, destination->virtual_address);
	packet->virtual_port = destination->virtual_port;
	return 1;
}

/*
 * A TCP or UDP packet to an address that is not served: perhaps a real server's reply to a masqueraded connection.
 * `fault` is the drop reason for its headers, or negative; it is used only when the packet is such a reply.
 */
static __always_inline int decide_out(struct packet *packet, int fault, int ipv6)
{
	struct destination *destination;
	struct entry *entry;
	__u64 number = find_reply(packet, ipv6, &entry);
	int decision;
	__u64 now;

	if (likely(number == NO_DESTINATION))
		return LEAVE_ALONE;
	if (unlikely(!entry)) {
		struct service *service;

		if (is_kernels_own(packet->flow.virtual_address, ipv6))
			return LEAVE_ALONE;
		number = find_configured(number);
		opaque(number);
		destination = destination_of(number);
		if (!destination)
			return LEAVE_ALONE;
		service = service_of(destination->service);
		/*
		 * Replies of an `ops` service have no entry, but their source can belong to that service only. (IPVS forwards
		 * them with the real server's address, which no client takes for an answer.)
		 */
		if (!service || !(service->flags & SERVICE_ONE_PACKET))
			return drop(DROP_UNKNOWN_CONNECTION);
		if (fault >= 0)
			return drop(fault);
		if (!begin_reply(packet, destination, &decision))
			return decision;
		return forward_out(packet, number, destination, ipv6);
	}
	destination = destination_of(number);
	if (!destination)
		return LEAVE_ALONE;
	if (unlikely(fault >= 0))
		return drop(fault);
	if (!begin_reply(packet, destination, &decision))
		return decision;
	/* 64 bits: see `element`. */
	now = packet->now;
	opaque(now);
	/* The client sees its connection established by this: not before somebody publishes it. */
	if (unlikely(packet->tcp_flags & TCP_SYN) && !publisher_keeps_up())
		return drop(DROP_NO_PUBLISHER);
	if (packet->protocol == PROTOCOL_UDP)
		follow_udp(entry, ipv6, now);
	else if (!follow_tcp(entry, ipv6, packet, DIRECTION_OUTPUT, 0))
		return drop(DROP_TABLE_FULL);
	return forward_out(packet, number, destination, ipv6);
}

#endif

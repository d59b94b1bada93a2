/* SPDX-License-Identifier: Apache-2.0 */
/* Decides about a packet for a virtual service that belongs to no entry: schedules, refuses or drops it. */
#ifndef BATON_ADMISSION_H
#define BATON_ADMISSION_H

#include "egress.h"
#include "second-class.h"
#include "selector.h"

/* Real servers at one endpoint that are examined at most: see `next_with_endpoint`. */
#define SHARERS_MAX 64

static __always_inline struct address *find_address(const __u32 *address, int ipv6)
{
	return ipv6 ? bpf_map_lookup_elem(&addresses6, address) : bpf_map_lookup_elem(&addresses4, address);
}

/* Whether packets to an address are looked at. */
static __always_inline int is_served(struct address *address)
{
	return address && (address->flags & ADDRESS_SERVED);
}

/* The number of the virtual service at an endpoint, or -1. `words`: address; `port` in network order. */
static __always_inline int find_service(const __u32 *words, __u16 port, __u8 protocol, int ipv6)
{
	__u32 *number;

	if (ipv6) {
		struct endpoint6 endpoint = { .port = port, .protocol = protocol };

		copy_address(endpoint.address, words);
		number = bpf_map_lookup_elem(&services6, &endpoint);
	} else {
		struct endpoint4 endpoint = { .address = words[0], .port = port, .protocol = protocol };

		number = bpf_map_lookup_elem(&services4, &endpoint);
	}
	return number ? *number : -1;
}

/* The first destination at an endpoint whose replies pass here, or NO_DESTINATION. */
static __always_inline __u32 find_real_server(const __u32 *words, __u16 port, __u8 protocol, int ipv6)
{
	__u32 *number;

	if (ipv6) {
		struct endpoint6 endpoint = { .port = port, .protocol = protocol };

		copy_address(endpoint.address, words);
		number = bpf_map_lookup_elem(&real_servers6, &endpoint);
	} else {
		struct endpoint4 endpoint = { .address = words[0], .port = port, .protocol = protocol };

		number = bpf_map_lookup_elem(&real_servers4, &endpoint);
	}
	return number ? *number : NO_DESTINATION;
}

/* A search for the entry that a real server's packets to one client port belong to. */
struct search {
	/* Client address and protocol; the rest is filled in for each real server. */
	struct flow flow;
	__u16 client_port;
	__u16 reserved;
	/* The real server to look at next. */
	__u32 number;
	/* A real server to skip, or NO_DESTINATION. */
	__u32 except;
	struct entry *entry;
};

/* Examines one real server and goes on to the next. Returns true when the search has ended. */
static __always_inline int look(struct search *search, int ipv6)
{
	struct destination *destination = destination_of(search->number);
	struct entry *entry;

	if (!destination)
		return 1;
	if (search->number != search->except) {
		copy_address(search->flow.virtual_address, destination->virtual_address);
		search->flow.ports = join_ports(search->client_port, destination->virtual_port);
		entry = find_flow(&search->flow, ipv6);
		if (entry && entry->destination == search->number) {
			search->entry = entry;
			return 1;
		}
	}
	search->number = destination->next_with_endpoint;
	return search->number == NO_DESTINATION;
}

static long look_on4(__u32 step, struct search *search)
{
	return look(search, 0);
}

static long look_on6(__u32 step, struct search *search)
{
	return look(search, 1);
}

static __always_inline void look_at_others(struct search *search, int ipv6)
{
	if (ipv6)
		bpf_loop(SHARERS_MAX, look_on6, search, 0);
	else
		bpf_loop(SHARERS_MAX, look_on4, search, 0);
}

static __always_inline int is_established(__u32 head)
{
	if (protocol_of(head) == PROTOCOL_UDP)
		return !(head & ENTRY_HALF_OPEN);
	return state_of(head) == TCP_ESTABLISHED;
}

/* The entry whose replies could not be told from those of a new one with this flow and destination, or 0. */
static __always_inline struct entry *find_rival(const struct flow *flow, __u32 number, int ipv6)
{
	struct destination *destination = destination_of(number);
	struct search search = {
		.client_port = source_port(flow->ports),
		.except = number,
	};

	if (!destination || !sees_replies(destination))
		return 0;
	search.number = find_real_server(destination->address, destination->port, protocol_of(flow->key), ipv6);
	if (search.number == NO_DESTINATION)
		return 0;
	if (likely(search.number == number && destination->next_with_endpoint == NO_DESTINATION))
		return 0;
	copy_address(search.flow.client, flow->client);
	search.flow.key = flow->key;
	look_at_others(&search, ipv6);
	return search.entry;
}

static __always_inline int make_reply_unique_of(struct packet *packet, __u32 number, int ipv6)
{
	struct entry *rival = find_rival(&packet->flow, number, ipv6);
	__u32 head;

	if (!rival)
		return 1;
	head = READ_ONCE(rival->head);
	if (is_established(head) && !has_expired(rival, packet->now))
		return 0;
	CALL_ENTRY(close_entry, ipv6, rival, head, packet->now, packet->now_ns);
	return 1;
}

/*
 * Two virtual services may lead one client port to one real server, whose replies could then not be told apart. The
 * older connection gives way when it is over or not yet established.
 */
FOR_FAMILIES(make_reply_unique, struct packet, packet, AND __u32 number, number)

static __always_inline int find_bound_of(struct packet *packet, __u32 service_number, int ipv6)
{
	struct service *service = service_of(service_number);
	struct flow template;

	if (!service)
		return NO_DESTINATION;
	template_flow(&template, &packet->flow, service->prefix_length);
	return find_template(service, service_number, &template, ipv6, packet->now, packet->now_ns);
}

/* The real server that a client's template leads to. */
FOR_FAMILIES(find_bound, struct packet, packet, AND __u32 service_number, service_number)

static __always_inline int bind_of(struct packet *packet, __u32 service_number, __u32 number, int ipv6)
{
	struct service *service = service_of(service_number);
	struct flow template;

	if (!service)
		return 0;
	template_flow(&template, &packet->flow, service->prefix_length);
	bind_template(service, &template, ipv6, number, packet->now);
	return 0;
}

/* Binds a client's prefix to a real server. */
FOR_FAMILIES(bind, struct packet, packet, AND __u32 service_number AND __u32 number, service_number, number)

static __always_inline int choose_of(struct packet *packet, __u32 service_number, int ipv6)
{
	struct service *service = service_of(service_number);
	__u32 number;
	int persistent;

	if (!service)
		return NO_DESTINATION;
	persistent = service->flags & SERVICE_PERSISTENT;
	if (persistent) {
		number = CALL(find_bound, ipv6, packet, service_number);
		if (number != NO_DESTINATION)
			return number;
	}
	number = select_destination(&packet->flow, service_number, ipv6, packet->now);
	if (number != NO_DESTINATION && persistent)
		CALL(bind, ipv6, packet, service_number, number);
	return number;
}

/* The real server of the client's template while it may be used, else the selector's choice, remembered. */
FOR_FAMILIES(choose, struct packet, packet, AND __u32 service_number, service_number)

/* A reset, or for UDP an ICMP port unreachable (RFC 1122 section 4.1.3.1). */
static __always_inline int refuse(struct packet *packet)
{
	if (packet->protocol == PROTOCOL_UDP)
		return explain(packet, ANSWER_PORT_UNREACHABLE);
	/* The length of a fragmented segment is not known yet, nor the number that a reset would have to acknowledge. */
	return packet->fragment == FRAGMENT_WHOLE ? ANSWER_RESET : DISCARD;
}

static __always_inline int refuse_service(struct packet *packet)
{
	drop(DROP_NO_REAL_SERVER);
	return refuse(packet);
}

/* Opens a local entry in a TCP state, or for a UDP flow. Sets `packet->destination`, and `opened` when it is established. */
static __always_inline int schedule(struct packet *packet, __u32 service, __u32 state, struct entry **opened, int ipv6)
{
	int is_tcp = packet->protocol == PROTOCOL_TCP;
	int half_open = !is_tcp || is_half_open_state(state);
	__u32 head = (state << ENTRY_STATE_SHIFT) | ENTRY_LOCAL | (half_open ? ENTRY_HALF_OPEN : 0) |
		     (state == TCP_SYN_RECEIVED ? ENTRY_SEQUENCED : 0) | (is_tcp ? ENTRY_SECOND_CLASS : 0);
	/* Of a TCP connection the sequence number behind the SYN, which data may follow. */
	__u32 timeout = is_tcp ? packet->sequence + packet->data + 1 + (packet->tcp_flags & TCP_FIN) :
				   READ_ONCE(settings.udp_timeout);
	__u32 number, reference;
	struct entry *entry;

	/* Peers hear of a UDP flow with its second packet, and nobody sends the first one again. */
	if (is_tcp ? !publisher_keeps_up() : !publisher_is_alive())
		return drop(DROP_NO_PUBLISHER);
	if (is_tcp && !make_established_room())
		return drop(DROP_TABLE_FULL);
	number = CALL(choose, ipv6, packet, service);
	if (number == NO_DESTINATION || !CALL(make_reply_unique, ipv6, packet, number))
		return refuse_service(packet);
	if (half_open)
		make_half_open_room();
	reference = CALL(insert_entry, ipv6, &packet->flow, number, head, packet->now, timeout);
	if (reference == NO_SLOT)
		return drop(DROP_TABLE_FULL);
	if (half_open)
		ring_tidy();
	count_connection(number);
	count_rate(number, packet->now);
	packet->destination = number;
	if (half_open && (!is_tcp || !take_syn_publication(packet->now)))
		return FORWARD_IN;
	entry = ipv6 ? entry6_at(reference) : entry4_at(reference);
	if (!entry)
		return FORWARD_IN;
	if (half_open) {
		CALL_ENTRY(publish_begun, ipv6, entry, packet->now);
		packet->held = peer_is_heard();
		return FORWARD_IN;
	}
	*opened = entry;
	CALL_ENTRY(publish_established, ipv6, entry, packet->now);
	return FORWARD_IN;
}

/* A TCP segment. `begins`: it is a SYN. */
static __always_inline int admit_tcp(struct packet *packet, struct service *service, __u32 number, int begins, int ipv6)
{
	struct entry *entry = 0;
	int decision;

	/* Client port 0 is reserved: no connection has it, and an entry with it would be found as its prefix's template. */
	if (source_port(packet->flow.ports) == 0)
		return drop(DROP_MALFORMED_HEADER);
	/* The entry begins in NONE; the segment itself brings it to SYN_RECV. */
	if (begins)
		return schedule(packet, number, TCP_SYN_RECEIVED, &entry, ipv6);
	if (in_grace(service->lease_slot, packet->now_ns))
		return drop(DROP_GRACE_UNKNOWN_CONNECTION);
	if (packet->tcp_flags & TCP_RST)
		return drop(DROP_UNKNOWN_CONNECTION);
	/* A client never sends a SYN with ACK first. */
	if (service->shape == SELECTOR_HASH && READ_ONCE(settings.sloppy_tcp) && !(packet->tcp_flags & TCP_SYN)) {
		/*
		 * As in IPVS, but ESTABLISHED at once, in the second class: the hash gives the real server that it had before.
		 */
		decision = schedule(packet, number, TCP_ESTABLISHED, &entry, ipv6);
		if (decision == FORWARD_IN && entry) {
			struct destination *destination = destination_of(packet->destination);
			enum tcp_direction direction = destination ? client_direction(destination) : DIRECTION_INPUT_ONLY;

			WRITE_ONCE(entry->mark, mark_of(bpf_ntohl(packet->acknowledgement)));
			step_tcp_of(entry, tcp_event(direction, packet->tcp_flags), packet->now, ipv6);
		}
		return decision;
	}
	drop(DROP_UNKNOWN_CONNECTION);
	return refuse(packet);
}

static __always_inline int admit_of(struct packet *packet, int ipv6)
{
	int begins = (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
	struct destination *destination;
	struct service *service;
	struct entry *entry = 0;
	int number, decision;

	number = find_service(packet->flow.virtual_address, target_port(packet->flow.ports), packet->protocol, ipv6);
	if (number < 0)
		return LEAVE_ALONE;
	service = service_of(number);
	if (!service)
		return LEAVE_ALONE;
	copy_address(packet->virtual_address, packet->flow.virtual_address);
	packet->lease_slot = service->lease_slot;
	if (packet->protocol == PROTOCOL_TCP) {
		decision = admit_tcp(packet, service, number, begins, ipv6);
	} else if (service->flags & SERVICE_ONE_PACKET) {
		/* Every packet is scheduled by itself, without an entry. */
		__u32 chosen = CALL(choose, ipv6, packet, number);

		if (chosen == NO_DESTINATION)
			return refuse_service(packet);
		count_connection(chosen);
		count_rate(chosen, packet->now);
		packet->destination = chosen;
		decision = FORWARD_IN;
	} else {
		decision = schedule(packet, number, 0, &entry, ipv6);
	}
	if (decision != FORWARD_IN)
		return decision;
	destination = destination_of(packet->destination);
	if (destination && sees_replies(destination))
		CALL(hear_client, ipv6, packet);
	return FORWARD_IN;
}

/*
 * Decides about a packet to a virtual address with a valid lease: its headers are intact, and it belongs to no entry.
 * Sets `packet->destination` when the decision is FORWARD_IN.
 */
FOR_FAMILIES(admit, struct packet, packet, )

#endif

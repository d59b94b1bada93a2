/* SPDX-License-Identifier: Apache-2.0 */
/* How packets leave: whether route, TTL and size allow it, and to which neighbour. */
#ifndef BATON_EGRESS_H
#define BATON_EGRESS_H

#include "server-load.h"
#include "tally.h"

#define ERRORS_PER_MS 1
#define ERRORS_BURST 50

static __always_inline void neighbour_key_of(struct neighbour_key *key, __u32 interface_index, const __u32 *address)
{
	key->interface_index = interface_index;
	copy_address(key->address, address);
}

/* Has the loader make the kernel ask for a client's MAC address. Lost when the ring is full: the next packet asks again. */
static __always_inline void report_missing(__u32 interface_index, const __u32 *address, int ipv6)
{
	struct missing_neighbour *missing = bpf_ringbuf_reserve(&missing_neighbours, sizeof(*missing), 0);

	if (!missing)
		return;
	missing->interface_index = interface_index;
	copy_address(missing->address, address);
	missing->family = ipv6;
	bpf_ringbuf_submit(missing, 0);
}

static __always_inline struct route *route_to(const __u32 *address, int ipv6)
{
	if (ipv6) {
		struct prefix6 prefix = { .length = 128 };

		copy_address(prefix.address, address);
		return bpf_map_lookup_elem(&routes6, &prefix);
	} else {
		struct prefix4 prefix = { .length = 32, .address = address[0] };

		return bpf_map_lookup_elem(&routes4, &prefix);
	}
}

/* Whether packets to an address are the kernel's, as the replies of real servers to the director's health checks are. */
static __always_inline int is_kernels_own(const __u32 *address, int ipv6)
{
	struct route *route = route_to(address, ipv6);

	return !route || route->kind == ROUTE_UNREACHABLE;
}

static __always_inline void copy_mac(__u8 *to, const __u8 *from)
{
	*(__u32 *)to = *(const __u32 *)from;
	*(__u16 *)(to + 4) = *(const __u16 *)(from + 4);
}

/* Fills the next hop towards a client. */
static __always_inline void client_hop(struct hop *hop, const __u32 *address, int ipv6)
{
	struct route *route = route_to(address, ipv6);
	struct neighbour *neighbour;
	struct neighbour_key key;

	if (!route) {
		hop->state = HOP_UNREACHABLE;
		return;
	}
	*hop = route->hop;
	if (likely(route->kind != ROUTE_ON_LINK))
		return;
	neighbour_key_of(&key, hop->interface_index, address);
	neighbour = bpf_map_lookup_elem(&neighbours, &key);
	if (!neighbour) {
		neighbour = bpf_map_lookup_elem(&heard_neighbours, &key);
		report_missing(hop->interface_index, address, ipv6);
	}
	if (neighbour) {
		copy_mac(hop->macs, neighbour->mac);
		hop->state = HOP_RESOLVED;
	} else {
		hop->state = HOP_RESOLVING;
	}
}

static __always_inline int hear_client_of(struct packet *packet, int ipv6)
{
	struct route *route = route_to(packet->flow.client, ipv6);
	struct neighbour neighbour = {};
	struct neighbour_key key;

	if (!route || route->kind != ROUTE_ON_LINK || route->hop.interface_index != packet->interface_index)
		return 0;
	neighbour_key_of(&key, packet->interface_index, packet->flow.client);
	if (bpf_map_lookup_elem(&neighbours, &key))
		return 0;
	copy_mac(neighbour.mac, packet->source_mac);
	bpf_map_update_elem(&heard_neighbours, &key, &neighbour, BPF_ANY);
	report_missing(packet->interface_index, packet->flow.client, ipv6);
	return 0;
}

/*
 * An on-link client begins a masqueraded connection. If its MAC address is not known, replies go to the one that its own
 * packet came from, until the kernel has resolved it.
 */
FOR_FAMILIES(hear_client, struct packet, packet, )

/* Takes one of the ICMP errors that may be sent now (icmp_msgs_per_sec and icmp_msgs_burst in Linux). */
standalone int take_error(__u32 now)
{
	return take_token(&totals.error_budget, now, ERRORS_PER_MS, ERRORS_BURST);
}

/*
 * Whether an ICMP error may be sent about a packet: not about ICMP or a later fragment (RFC 1122 section 3.2.2, RFC
 * 4443 section 2.4), and at a bounded rate, except about the size: path MTU discovery waits for that.
 */
static __always_inline int explain(struct packet *packet, enum decision answer)
{
	if (packet->fragment == FRAGMENT_LATER)
		return DISCARD;
	if (packet->protocol != PROTOCOL_TCP && packet->protocol != PROTOCOL_UDP)
		return DISCARD;
	if (answer != ANSWER_TOO_BIG && !take_error(packet->now)) {
		count_events(TALLY_ERRORS_SUPPRESSED, 1);
		return DISCARD;
	}
	return answer;
}

/*
 * Returns `forward` when route, TTL and size let the packet go on to `packet->hop`. Otherwise it is counted, and the
 * decision about it is returned.
 */
static __always_inline int may_leave(struct packet *packet, enum decision forward)
{
	if (unlikely(packet->hop.state == HOP_UNREACHABLE))
		return drop(DROP_NO_ROUTE);
	if (unlikely(packet->ttl <= 1)) {
		drop(DROP_TTL_EXCEEDED);
		return explain(packet, ANSWER_TIME_EXCEEDED);
	}
	if (unlikely(packet->length > packet->hop.mtu)) {
		drop(DROP_TOO_BIG);
		packet->mtu = packet->hop.mtu;
		return packet->ipv6 || packet->dont_fragment ? explain(packet, ANSWER_TOO_BIG) : DISCARD;
	}
	if (unlikely(packet->hop.state != HOP_RESOLVED))
		return drop(DROP_NEIGHBOUR_UNRESOLVED);
	return forward;
}

#endif

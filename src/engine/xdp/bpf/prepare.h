/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that is done to a frame before it leaves, but for its Ethernet header: a forwarding method is carried out here and
 * nowhere else. A director sees the replies only of methods that rewrite them, so these need no choice.
 *
 * Each function returns false for a frame that cannot be sent: it could not be written, or the engine does not have the
 * method.
 */
#ifndef BATON_PREPARE_H
#define BATON_PREPARE_H

#include "endpoint.h"
#include "icmp-error.h"
#include "rewrite.h"

/* Brings the checksum of a transport header up to date. */
static __always_inline void update_transport(const struct packet *packet, struct udphdr *udp, void *end, __u32 gain)
{
	struct tcphdr *tcp = (void *)udp;

	if (packet->protocol == PROTOCOL_UDP)
		update_udp(udp, gain);
	else if ((void *)(tcp + 1) <= end)
		tcp->check = update_checksum(tcp->check, gain);
}

/* A packet without options. `udp`: its transport header, of which source and target port stand in the frame for certain. */
static __always_inline int prepare_ipv4(struct iphdr *ip, struct udphdr *udp, void *end, const struct packet *packet,
					const struct destination *destination, int decision)
{
	ip->ttl -= 1;
	if (decision == FORWARD_OUT) {
		ip->check = update_checksum(ip->check, TTL_SUM + reverse(destination->address_sum));
		ip->saddr = packet->virtual_address[0];
		udp->source = packet->virtual_port;
		update_transport(packet, udp, end, reverse(destination->endpoint_sum));
		return 1;
	}
	switch (method_of(destination)) {
	case METHOD_MASQUERADE:
		ip->check = update_checksum(ip->check, TTL_SUM + destination->address_sum);
		ip->daddr = destination->address[0];
		udp->dest = destination->port;
		update_transport(packet, udp, end, destination->endpoint_sum);
		return 1;
	case METHOD_DIRECT_ROUTE:
		ip->check = update_checksum(ip->check, TTL_SUM);
		return 1;
	case METHOD_TUNNEL:
		return 0;
	}
	return 0;
}

/* The same without extension headers. */
static __always_inline int prepare_ipv6(struct ipv6hdr *ip, struct udphdr *udp, void *end, const struct packet *packet,
					const struct destination *destination, int decision)
{
	ip->hop_limit -= 1;
	if (decision == FORWARD_OUT) {
		copy_address((__u32 *)&ip->saddr, packet->virtual_address);
		udp->source = packet->virtual_port;
		update_transport(packet, udp, end, reverse(destination->endpoint_sum));
		return 1;
	}
	switch (method_of(destination)) {
	case METHOD_MASQUERADE:
		copy_address((__u32 *)&ip->daddr, destination->address);
		udp->dest = destination->port;
		update_transport(packet, udp, end, destination->endpoint_sum);
		return 1;
	case METHOD_DIRECT_ROUTE:
		return 1;
	case METHOD_TUNNEL:
		return 0;
	}
	return 0;
}

/* The packet in `scratch` becomes one to its real server, or from its virtual address. */
static __always_inline int rewrite(struct xdp_md *ctx, struct scratch *scratch, int side, const __u32 *address, __u16 port)
{
	copy_address(scratch->target, address);
	/* The protocol in a later fragment is ignored (RFC 8200 section 4.5): the fragment goes with the first one. */
	if (is_icmp(&scratch->packet) && scratch->packet.fragment == FRAGMENT_WHOLE)
		return rewrite_error(ctx, side, port);
	return replace_endpoint(ctx, side, port);
}

/* The packet in `scratch`, wherever in the frame its headers stand. */
static __always_inline int prepare(struct xdp_md *ctx, struct scratch *scratch, const struct destination *destination,
				   int decision)
{
	struct packet *packet = &scratch->packet;

	if (!age(ctx, scratch))
		return 0;
	if (decision == FORWARD_OUT)
		return rewrite(ctx, scratch, SIDE_SOURCE, packet->virtual_address, packet->virtual_port);
	switch (method_of(destination)) {
	case METHOD_MASQUERADE:
		return rewrite(ctx, scratch, SIDE_TARGET, destination->address, destination->port);
	case METHOD_DIRECT_ROUTE:
		return 1;
	case METHOD_TUNNEL:
		return 0;
	}
	return 0;
}

#endif

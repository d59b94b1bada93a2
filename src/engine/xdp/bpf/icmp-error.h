/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ICMP errors about connections. An error quotes the beginning of a packet as it was on its side of the director. It is
 * forwarded to the other side with the quotation, and in masquerade the addresses, as that side knows them
 * (ip_vs_nat_icmp in ip_vs_core.c). It does not keep the connection alive.
 */
#ifndef BATON_ICMP_ERROR_H
#define BATON_ICMP_ERROR_H

#include "answer.h"
#include "endpoint.h"
#include "forward.h"
#include "header.h"
#include "reply.h"

/* Whether a packet other than a later fragment holds an ICMP message of its own family. */
static __always_inline int is_icmp(const struct packet *packet)
{
	return packet->protocol == (packet->ipv6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP);
}

/* Whether a message of this type quotes a packet that met a problem (RFC 1122 section 3.2.2, RFC 4443 section 2.1). */
static __always_inline int is_error(__u8 type, int ipv6)
{
	if (ipv6)
		return type < 128;
	return type == ICMP_DESTINATION_UNREACHABLE || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||
	       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
}

/* A redirect concerns only the link that it is sent on, and source quench is obsolete (RFC 6633). */
static __always_inline int is_followed(__u8 type, int ipv6)
{
	if (ipv6)
		return type >= ICMPV6_DESTINATION_UNREACHABLE && type <= ICMPV6_PARAMETER_PROBLEM;
	return type == ICMP_DESTINATION_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
}

/* The sum of an ICMP message, in IPv6 with the pseudo-header. */
static __always_inline __u64 sum_of_message(struct xdp_md *ctx, struct packet *packet)
{
	__u32 length = end_of(packet) - packet->transport;
	__u64 sum = sum_frame(ctx, packet->transport, length);

	if (packet->ipv6)
		sum += pseudo_sum(packet->flow.client, packet->flow.virtual_address, length, PROTOCOL_ICMPV6);
	return sum;
}

/* The drop reason of an ICMP message that is damaged, or -1. */
static __always_inline int fault_of_message(struct xdp_md *ctx, struct packet *packet)
{
	if ((__s32)(end_of(packet) - packet->transport) < ICMP_HEADER)
		return DROP_TRUNCATED;
	return fold64(sum_of_message(ctx, packet)) == 0xffff ? -1 : DROP_BAD_CHECKSUM;
}

/*
 * Reads the packet that the message in `scratch->packet` quotes, as much of it as there is, into `scratch->quoted`,
 * and turns it around: its flow is that of its answers. False for a message whose quotation cannot be read, or that
 * concerns no connection.
 */
static __noinline int read_quoted(struct xdp_md *ctx, struct scratch *scratch)
{
	struct packet *packet = &scratch->packet;
	struct packet *quoted = &scratch->quoted;
	__u32 ip = packet->transport + ICMP_HEADER;
	__u32 end = end_of(packet);
	int type;

	type = byte_at(ctx, packet->transport);
	if (ip > end || type < 0 || !is_followed(type, packet->ipv6))
		return 0;
	if (ip + (packet->ipv6 ? IPV6_HEADER : 20) > end)
		return 0;
	if (packet->ipv6) {
		if (!read_ipv6(ctx, scratch, quoted, ip, end) || scratch->ipv6.version != 6 || scratch->fault >= 0)
			return 0;
	} else {
		if (!read_ipv4(ctx, scratch, quoted, ip) || scratch->ipv4.version != 4 || scratch->ipv4.ihl < 5)
			return 0;
	}
	/* RFC 792: at least 8 bytes of what follows the header are quoted. */
	if (quoted->fragment == FRAGMENT_LATER || quoted->transport + 8u > end)
		return 0;
	if (quoted->protocol != PROTOCOL_TCP && quoted->protocol != PROTOCOL_UDP)
		return 0;
	for (int i = 0; i < 4; i++) {
		__u32 word = quoted->flow.client[i];

		quoted->flow.client[i] = quoted->flow.virtual_address[i];
		quoted->flow.virtual_address[i] = word;
	}
	quoted->flow.ports = join_ports(target_port(quoted->flow.ports), source_port(quoted->flow.ports));
	quoted->now = packet->now;
	quoted->now_ns = packet->now_ns;
	return 1;
}

/*
 * Computes the checksum of a message that has been found intact. The address of one side has become `scratch->target`.
 */
standalone int write_message_checksum(struct xdp_md *ctx, int side)
{
	struct scratch *scratch = scratch_of();
	struct packet *packet;
	__u32 field;

	if (!scratch)
		return 0;
	packet = &scratch->packet;
	field = packet->transport + 2;
	if (!put_half(ctx, field, 0))
		return 0;
	if (side == SIDE_SOURCE) {
		copy_address(packet->flow.client, scratch->target);
		keep_apart();
	} else {
		copy_address(packet->flow.virtual_address, scratch->target);
	}
	return put_half(ctx, field, ~fold64(sum_of_message(ctx, packet)));
}

/* An intact error for a virtual address, about a packet that a real server has sent. Its lease is valid. */
standalone int slow_error_in(struct xdp_md *ctx)
{
	struct scratch *scratch = scratch_of();
	struct destination *destination;
	struct packet *packet, *quoted;
	struct entry *entry;

	if (!scratch)
		return LEAVE_ALONE;
	packet = &scratch->packet;
	quoted = &scratch->quoted;
	if (!read_quoted(ctx, scratch))
		return drop(DROP_ICMP_ERROR);
	entry = find_flow(&quoted->flow, packet->ipv6);
	/* An error that is true quotes a packet from the address that it is sent to. */
	if (!entry || has_expired(entry, packet->now) ||
	    !same_address(packet->flow.virtual_address, quoted->flow.virtual_address))
		return drop(DROP_ICMP_ERROR);
	destination = destination_of(entry->destination);
	if (!destination || !(destination->flags & DESTINATION_LIVE))
		return drop(DROP_ICMP_ERROR);
	return forward_in(packet, entry->destination, destination);
}

/* An error for another address, unchecked: perhaps about a masqueraded connection's packet. */
standalone int slow_error_out(struct xdp_md *ctx)
{
	struct scratch *scratch = scratch_of();
	struct destination *destination;
	struct packet *packet, *quoted;
	int decision, fault, number, type;

	if (!scratch)
		return LEAVE_ALONE;
	packet = &scratch->packet;
	quoted = &scratch->quoted;
	type = byte_at(ctx, packet->transport);
	if (packet->fragment != FRAGMENT_WHOLE || type < 0)
		return LEAVE_ALONE;
	if (!is_error(type, packet->ipv6) || fault_of_header(ctx, scratch) >= 0)
		return LEAVE_ALONE;
	if (!read_quoted(ctx, scratch))
		return LEAVE_ALONE;
	number = CALL(find_owner, packet->ipv6, quoted);
	if (number == OWNER_NONE)
		return LEAVE_ALONE;
	destination = number >= 0 ? destination_of(number) : 0;
	if (!destination || !(destination->flags & DESTINATION_LIVE) ||
	    !same_address(packet->flow.virtual_address, quoted->flow.virtual_address)) {
		/* The error quotes a packet that only this director can have sent, or that is forged. */
		number = CALL(find_configured_owner, packet->ipv6, quoted);
		if (number == NO_DESTINATION || is_kernels_own(packet->flow.virtual_address, packet->ipv6))
			return LEAVE_ALONE;
		return drop(DROP_ICMP_ERROR);
	}
	fault = fault_of_message(ctx, packet);
	if (fault >= 0)
		return drop(fault);
	if (!begin_reply(packet, destination, &decision))
		return decision;
	return forward_out(packet, number, destination, packet->ipv6);
}

/* Quotation and address become those of the other side, as `scratch->target` and `port` say. */
static __always_inline int rewrite_error(struct xdp_md *ctx, int side, __u16 port)
{
	return replace_quoted_endpoint(ctx, !side, port) && replace_address(ctx, IP_OFFSET, side) >= 0 &&
	       write_message_checksum(ctx, side);
}

#endif

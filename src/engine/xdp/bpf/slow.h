/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packets that are not TCP or UDP in plain headers: ARP, ICMP, options, extension headers, fragments. The rules and
 * their order are those of `baton`; headers are read and written at any offset, and a packet stands in `scratch` for the
 * whole run.
 */
#ifndef BATON_SLOW_H
#define BATON_SLOW_H

#include "answer.h"
#include "forward.h"
#include "fragment.h"
#include "header.h"
#include "held.h"
#include "host.h"
#include "icmp-error.h"
#include "prepare.h"
#include "reply.h"

/*
 * The next step. Decisions are steps too, the last ones. `slow` takes one step after the other, so that calls are not
 * nested deeply and the stack suffices.
 */
enum step {
	/* To an address of ours, with an intact IP header. */
	STEP_OWN = ANSWERED + 1,
	/* The same, TCP or UDP. */
	STEP_IN,
	STEP_ICMP,
	STEP_ECHO,
	STEP_ERROR_IN,
	/* To an address that is not ours: TCP or UDP, a later fragment, an ICMP message. */
	STEP_REPLY,
	STEP_REPLY_FRAGMENT,
	STEP_OUT,
	STEP_ERROR_OUT,
	STEP_SOLICITATION,
};

/* Prepares a packet that goes on, and sends it. */
static __always_inline int send_on(struct xdp_md *ctx, struct scratch *scratch, int decision)
{
	struct packet *packet = &scratch->packet;
	struct destination *destination = destination_of(packet->destination);

	if (!destination)
		return XDP_DROP;
	if (packet->fragment == FRAGMENT_FIRST)
		begin_datagram(packet, decision == FORWARD_OUT);
	packet->padding = scratch->frame_length - end_of(packet);
	if (!prepare(ctx, scratch, destination, decision) || !store_bytes(ctx, 0, packet->hop.macs, sizeof(packet->hop.macs)))
		return discard(DROP_TRANSMIT_FAILED);
	return transmit(ctx, packet);
}

/* Carries out a decision about the packet in `scratch`. */
standalone int conclude(struct xdp_md *ctx, int decision)
{
	struct scratch *scratch = scratch_of();

	if (!scratch || decision == DISCARD)
		return XDP_DROP;
	switch (decision) {
	case LEAVE_ALONE:
		return XDP_PASS;
	case ANSWERED:
		return XDP_TX;
	case FORWARD_IN:
	case FORWARD_OUT:
		return send_on(ctx, scratch, decision);
	case ANSWER_RESET:
		return send_reset(ctx);
	default:
		return send_error(ctx, decision);
	}
}

static __always_inline int is_tcp_or_udp(const struct packet *packet)
{
	return packet->protocol == PROTOCOL_TCP || packet->protocol == PROTOCOL_UDP;
}

standalone int slow_icmp(struct xdp_md *ctx)
{
	struct scratch *scratch = scratch_of();
	struct packet *packet;
	int fault, type;

	if (!scratch)
		return LEAVE_ALONE;
	packet = &scratch->packet;
	/* A fragmented message would have to be reassembled. */
	fault = packet->fragment == FRAGMENT_WHOLE ? fault_of_message(ctx, packet) : DROP_FRAGMENT_UNKNOWN;
	if (fault >= 0)
		return drop(fault);
	type = byte_at(ctx, packet->transport);
	if (type < 0)
		return LEAVE_ALONE;
	if (is_error(type, packet->ipv6))
		return STEP_ERROR_IN;
	if (!(scratch->address_flags & ADDRESS_ANSWER))
		return LEAVE_ALONE;
	if (packet->ipv6 && type == ICMPV6_SOLICITATION)
		return STEP_SOLICITATION;
	return type == (packet->ipv6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO_REQUEST) ? STEP_ECHO : LEAVE_ALONE;
}

static __always_inline int slow_in_of(struct xdp_md *ctx, int ipv6)
{
	struct scratch *scratch = scratch_of();
	struct packet *packet;
	int fault;

	if (!scratch)
		return LEAVE_ALONE;
	packet = &scratch->packet;
	if (ipv6 && is_link_local(packet->flow.client))
		return drop(DROP_MARTIAN_SOURCE);
	fault = fault_of_transport(ctx, packet);
	return fault >= 0 ? drop(fault) : decide_in(packet, ipv6);
}

standalone int slow_in4(struct xdp_md *ctx)
{
	return slow_in_of(ctx, 0);
}

standalone int slow_in6(struct xdp_md *ctx)
{
	return slow_in_of(ctx, 1);
}

standalone int slow_own(void)
{
	struct scratch *scratch = scratch_of();
	struct address *address;
	struct packet *packet;
	int decision;

	if (!scratch)
		return LEAVE_ALONE;
	packet = &scratch->packet;
	if (is_martian(packet->flow.client, packet->ipv6) || is_served(find_address(packet->flow.client, packet->ipv6)))
		return drop(DROP_MARTIAN_SOURCE);
	address = find_address(packet->flow.virtual_address, packet->ipv6);
	if (!address)
		return LEAVE_ALONE;
	if (!lease_is_valid(address->lease_slot, packet->now_ns))
		return drop(DROP_NO_LEASE);
	scratch->address_flags = address->flags;
	if (packet->fragment != FRAGMENT_WHOLE && !check_fragment(packet, &decision))
		return decision;
	if (is_tcp_or_udp(packet))
		return STEP_IN;
	return is_icmp(packet) ? STEP_ICMP : LEAVE_ALONE;
}

/* Finds the fault of a packet, which stands in `scratch->fault` until it is known whether it counts. */
standalone int slow_reply(struct xdp_md *ctx)
{
	struct scratch *scratch = scratch_of();
	struct packet *packet;
	int decision, fault;

	if (!scratch)
		return LEAVE_ALONE;
	packet = &scratch->packet;
	if (packet->transport + 4u > scratch->frame_length)
		return LEAVE_ALONE;
	fault = fault_of_header(ctx, scratch);
	if (fault < 0)
		fault = fault_of_transport(ctx, packet);
	scratch->fault = fault;
	if (packet->fragment == FRAGMENT_FIRST && fault < 0 && is_reply(packet) && !check_fragment(packet, &decision))
		return decision;
	return STEP_OUT;
}

static __always_inline int slow_out_of(int ipv6)
{
	struct scratch *scratch = scratch_of();
	int fault;

	if (!scratch)
		return LEAVE_ALONE;
	fault = scratch->fault;
	if (fault >= DROP_REASONS)
		return LEAVE_ALONE;
	return decide_out(&scratch->packet, fault, ipv6);
}

standalone int slow_out4(void)
{
	return slow_out_of(0);
}

standalone int slow_out6(void)
{
	return slow_out_of(1);
}

/* A later fragment to another address is left alone, unless its first one was a reply. */
standalone int slow_reply_fragment(struct xdp_md *ctx)
{
	struct scratch *scratch = scratch_of();
	struct destination *destination;
	struct datagram *datagram;
	struct packet *packet;
	int decision, fault;

	if (!scratch)
		return LEAVE_ALONE;
	packet = &scratch->packet;
	datagram = find_datagram(packet);
	if (!datagram || !(datagram->flags & DATAGRAM_OUTBOUND))
		return LEAVE_ALONE;
	fault = fault_of_header(ctx, scratch);
	if (fault >= 0)
		return drop(fault);
	destination = destination_of(datagram->destination);
	if (!destination)
		return LEAVE_ALONE;
	if (!begin_reply(packet, destination, &decision))
		return decision;
	fault = fault_of_fragment(packet);
	return fault >= 0 ? drop(fault) : follow_fragment(packet, datagram);
}

/*
 * A packet to an address that is not ours: perhaps a real server's reply to a masqueraded connection, or an error about
 * one. Nothing of it has been checked.
 */
static __always_inline int slow_foreign(struct xdp_md *ctx, struct packet *packet)
{
	if (packet->fragment == FRAGMENT_LATER)
		return STEP_REPLY_FRAGMENT;
	if (is_tcp_or_udp(packet))
		return STEP_REPLY;
	if (is_solicitation(ctx, packet))
		return STEP_SOLICITATION;
	return is_icmp(packet) ? STEP_ERROR_OUT : LEAVE_ALONE;
}

standalone int slow_ipv4(struct xdp_md *ctx)
{
	struct scratch *scratch = scratch_of();
	struct packet *packet;
	int fault;

	if (!scratch)
		return LEAVE_ALONE;
	packet = &scratch->packet;
	if (!read_ipv4(ctx, scratch, packet, IP_OFFSET))
		return drop(DROP_TRUNCATED);
	if (!is_served(find_address(packet->flow.virtual_address, 0)))
		return slow_foreign(ctx, packet);
	fault = fault_of_ipv4_header(ctx, scratch);
	return fault >= 0 ? drop(fault) : STEP_OWN;
}

standalone int slow_ipv6(struct xdp_md *ctx, int is_group)
{
	struct scratch *scratch = scratch_of();
	struct packet *packet;
	__u32 end;
	int fault;

	if (!scratch)
		return LEAVE_ALONE;
	packet = &scratch->packet;
	if (!load_bytes(ctx, IP_OFFSET, &scratch->ipv6, sizeof(scratch->ipv6)))
		return drop(DROP_TRUNCATED);
	end = IP_OFFSET + IPV6_HEADER + bpf_ntohs(scratch->ipv6.payload_len);
	if (end > scratch->frame_length)
		end = scratch->frame_length;
	read_ipv6(ctx, scratch, packet, IP_OFFSET, end);
	fault = fault_of_ipv6_header(scratch);
	/* Bridges and access points may deliver a group's frame to one station by unicast. */
	if (is_group || is_solicited_node(packet->flow.virtual_address)) {
		if (fault >= 0 || scratch->fault >= 0 || !is_solicited_node(packet->flow.virtual_address))
			return LEAVE_ALONE;
		scratch->address_flags = ADDRESS_ANSWER;
		return is_solicitation(ctx, packet) ? STEP_SOLICITATION : LEAVE_ALONE;
	}
	if (!is_served(find_address(packet->flow.virtual_address, 1)))
		return scratch->fault >= 0 ? LEAVE_ALONE : slow_foreign(ctx, packet);
	if (fault < 0)
		fault = scratch->fault;
	return fault >= 0 ? drop(fault) : STEP_OWN;
}

static __always_inline int first_step(struct xdp_md *ctx, __u16 protocol, int is_group)
{
	switch (protocol) {
	case ETH_P_IP:
		return slow_ipv4(ctx);
	case ETH_P_IPV6:
		return slow_ipv6(ctx, is_group);
	case ETH_P_ARP:
		return slow_arp(ctx);
	case ETH_P_8021Q:
	case ETH_P_8021AD:
		drop(DROP_VLAN_TAGGED);
		return LEAVE_ALONE;
	default:
		return LEAVE_ALONE;
	}
}

SEC("xdp.frags")
int slow(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct scratch *scratch = scratch_of();
	struct ethhdr *ethernet = data;
	int step;

	if ((void *)(ethernet + 1) > end || !scratch)
		return XDP_PASS;
	__builtin_memset(&scratch->packet, 0, sizeof(scratch->packet));
	scratch->packet.interface_index = ctx->ingress_ifindex;
	copy_mac(scratch->packet.source_mac, ethernet->h_source);
	begin_packet(&scratch->packet);
	scratch->frame_length = bpf_xdp_get_buff_len(ctx);
	scratch->address_flags = 0;
	step = first_step(ctx, bpf_ntohs(ethernet->h_proto), ethernet->h_dest[0] & 1);
	/* Each may lead to one below it. */
	if (step == STEP_OWN)
		step = slow_own();
	if (step == STEP_IN)
		step = scratch->packet.ipv6 ? slow_in6(ctx) : slow_in4(ctx);
	if (step == STEP_ICMP)
		step = slow_icmp(ctx);
	if (step == STEP_ECHO)
		step = slow_echo(ctx);
	if (step == STEP_ERROR_IN)
		step = slow_error_in(ctx);
	if (step == STEP_REPLY_FRAGMENT)
		step = slow_reply_fragment(ctx);
	if (step == STEP_REPLY)
		step = slow_reply(ctx);
	if (step == STEP_OUT)
		step = scratch->packet.ipv6 ? slow_out6() : slow_out4();
	if (step == STEP_ERROR_OUT)
		step = slow_error_out(ctx);
	if (step == STEP_SOLICITATION)
		step = slow_solicitation(ctx);
	return conclude(ctx, step);
}

#endif

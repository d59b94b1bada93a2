/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packets with which the engine itself answers the sender of a packet: resets and ICMP errors. They leave by the
 * interface that the packet came in on, to the MAC address that it came from, so that they need no route.
 */
#ifndef BATON_ANSWER_H
#define BATON_ANSWER_H

#include "checksum.h"

#define ANSWER_TTL 64
#define TCP_HEADER 20

/* RFC 1812 section 4.3.2.3, RFC 4443 section 2.4: as much of the packet as fits into this many bytes of message. */
#define ICMP_LENGTH_MAX 576
#define ICMPV6_LENGTH_MAX 1280

enum icmp_type {
	ICMP_ECHO_REPLY = 0,
	ICMP_DESTINATION_UNREACHABLE = 3,
	ICMP_SOURCE_QUENCH = 4,
	ICMP_REDIRECT = 5,
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
};

enum icmpv6_type {
	ICMPV6_DESTINATION_UNREACHABLE = 1,
	ICMPV6_PACKET_TOO_BIG = 2,
	ICMPV6_TIME_EXCEEDED = 3,
	ICMPV6_PARAMETER_PROBLEM = 4,
	ICMPV6_ECHO_REQUEST = 128,
	ICMPV6_ECHO_REPLY = 129,
	ICMPV6_SOLICITATION = 135,
	ICMPV6_ADVERTISEMENT = 136,
};

/* The transport part of an answer, behind a head of either family: a TCP header, or that of an ICMP message. */
struct tcp_words {
	__u32 ports;
	__u32 sequence;
	__u32 acknowledgement;
	__u8 offset;
	__u8 flags;
	__u16 window;
	__u16 checksum;
	__u16 urgent;
};

struct icmp_words {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__u32 rest;
};

/* Gives the frame this length: it grows at its head, where there is always room, and shrinks at its tail. */
static __always_inline int resize(struct xdp_md *ctx, __u32 length)
{
	__u32 present = bpf_xdp_get_buff_len(ctx);

	if (length > present)
		return bpf_xdp_adjust_head(ctx, -(int)(length - present)) == 0;
	return length == present || bpf_xdp_adjust_tail(ctx, -(int)(present - length)) == 0;
}

/* Takes bytes off the frame's beginning. */
static __always_inline int resize_head(struct xdp_md *ctx, __u32 less)
{
	return less == 0 || bpf_xdp_adjust_head(ctx, less) == 0;
}

static __always_inline void begin_ethernet(struct scratch *scratch, const struct port *port, __u16 protocol)
{
	__builtin_memcpy(scratch->head, scratch->packet.source_mac, 6);
	__builtin_memcpy(scratch->head + 6, port->mac, 6);
	*(__u16 *)(scratch->head + 12) = bpf_htons(protocol);
}

/* Ethernet and IP header of an answer, in `scratch->head`: from `source` to the packet's sender. */
static __always_inline void begin_ipv4(struct scratch *scratch, const struct port *port, __u32 source, __u8 protocol,
				       __u32 payload)
{
	struct iphdr *header = &scratch->ipv4;

	__builtin_memset(header, 0, sizeof(*header));
	header->version = 4;
	header->ihl = 5;
	header->tot_len = bpf_htons(sizeof(*header) + payload);
	/* An atomic datagram needs no identification (RFC 6864 section 4.1). */
	header->frag_off = bpf_htons(0x4000);
	header->ttl = ANSWER_TTL;
	header->protocol = protocol;
	header->saddr = source;
	header->daddr = scratch->packet.flow.client[0];
	header->check = ~fold64(sum_memory(header, sizeof(*header)));
	begin_ethernet(scratch, port, ETH_P_IP);
	__builtin_memcpy(scratch->head + IP_OFFSET, header, sizeof(*header));
}

static __always_inline void begin_ipv6(struct scratch *scratch, const struct port *port, const __u32 *source, __u8 protocol,
				       __u32 payload, __u8 hop_limit)
{
	struct ipv6hdr *header = &scratch->ipv6;

	*(__u32 *)header = bpf_htonl(6u << 28);
	header->payload_len = bpf_htons(payload);
	header->nexthdr = protocol;
	header->hop_limit = hop_limit;
	copy_address((__u32 *)&header->saddr, source);
	copy_address((__u32 *)&header->daddr, scratch->packet.flow.client);
	begin_ethernet(scratch, port, ETH_P_IPV6);
	__builtin_memcpy(scratch->head + IP_OFFSET, header, sizeof(*header));
}

/* RFC 9293 section 3.10.7.1 (CLOSED). The caller never answers a reset. */
static __always_inline int fill_reset(struct xdp_md *ctx, struct scratch *scratch, struct tcp_words *reset)
{
	struct packet *packet = &scratch->packet;
	struct tcp_words *segment = (void *)scratch->chunk;
	__u32 length;

	if (!load_bytes(ctx, packet->transport, segment, sizeof(*segment)))
		return 0;
	reset->ports = join_ports(target_port(segment->ports), source_port(segment->ports));
	reset->offset = (TCP_HEADER / 4) << 4;
	length = end_of(packet) - packet->transport - ((segment->offset & 0xf0) >> 2);
	length += ((segment->flags & TCP_SYN) != 0) + ((segment->flags & TCP_FIN) != 0);
	reset->acknowledgement = bpf_htonl(bpf_ntohl(segment->sequence) + length);
	reset->flags = TCP_RST | TCP_ACK;
	if (segment->flags & TCP_ACK) {
		reset->sequence = segment->acknowledgement;
		reset->acknowledgement = 0;
		reset->flags = TCP_RST;
	}
	return 1;
}

/* A reset of the segment in `scratch->packet`. */
standalone int send_reset(struct xdp_md *ctx)
{
	struct scratch *scratch = scratch_of();
	struct tcp_words *reset;
	struct packet *packet;
	struct port *port;
	int sent;

	if (!scratch)
		return XDP_DROP;
	packet = &scratch->packet;
	port = port_of(packet->interface_index);
	reset = (void *)scratch->message;
	__builtin_memset(reset, 0, sizeof(*reset));
	if (!port || !fill_reset(ctx, scratch, reset))
		return XDP_DROP;
	reset->checksum = ~fold64(sum_memory(reset, sizeof(*reset)) + pseudo_sum(packet->flow.client, packet->flow.virtual_address,
										 sizeof(*reset), PROTOCOL_TCP));
	if (packet->ipv6) {
		begin_ipv6(scratch, port, packet->flow.virtual_address, PROTOCOL_TCP, sizeof(*reset), ANSWER_TTL);
		__builtin_memcpy(scratch->head + IP_OFFSET + IPV6_HEADER, reset, sizeof(*reset));
		sent = resize(ctx, IP_OFFSET + IPV6_HEADER + sizeof(*reset)) &&
		       store_bytes(ctx, 0, scratch->head, IP_OFFSET + IPV6_HEADER + sizeof(*reset));
	} else {
		begin_ipv4(scratch, port, packet->flow.virtual_address[0], PROTOCOL_TCP, sizeof(*reset));
		__builtin_memcpy(scratch->head + IP_OFFSET + 20, reset, sizeof(*reset));
		sent = resize(ctx, IP_OFFSET + 20 + sizeof(*reset)) &&
		       store_bytes(ctx, 0, scratch->head, IP_OFFSET + 20 + sizeof(*reset));
	}
	if (!sent)
		return discard(DROP_TRANSMIT_FAILED);
	count_event(TALLY_RESETS_SENT);
	return XDP_TX;
}

/* Type and code of an ICMP error, and its second word. */
static __always_inline void fill_problem(struct packet *packet, int decision, struct icmp_words *problem)
{
	if (decision == ANSWER_TIME_EXCEEDED) {
		problem->type = packet->ipv6 ? ICMPV6_TIME_EXCEEDED : ICMP_TIME_EXCEEDED;
	} else if (decision == ANSWER_TOO_BIG) {
		problem->type = packet->ipv6 ? ICMPV6_PACKET_TOO_BIG : ICMP_DESTINATION_UNREACHABLE;
		problem->code = packet->ipv6 ? 0 : 4;
		problem->rest = bpf_htonl(packet->mtu);
	} else {
		problem->type = packet->ipv6 ? ICMPV6_DESTINATION_UNREACHABLE : ICMP_DESTINATION_UNREACHABLE;
		problem->code = packet->ipv6 ? 4 : 3;
	}
}

/*
 * An ICMP error about the packet in `scratch->packet`, from its virtual address. The packet stays where it is, as the
 * quotation; the head that it gets begins before it.
 */
standalone int send_error(struct xdp_md *ctx, int decision)
{
	struct scratch *scratch = scratch_of();
	struct icmp_words *problem;
	struct packet *packet;
	__u32 quoted, room, before;
	struct port *port;
	__u64 sum;
	int sent;

	if (!scratch)
		return XDP_DROP;
	packet = &scratch->packet;
	port = port_of(packet->interface_index);
	if (!port)
		return XDP_DROP;
	before = ICMP_HEADER + (packet->ipv6 ? IPV6_HEADER : 20);
	room = (packet->ipv6 ? ICMPV6_LENGTH_MAX : ICMP_LENGTH_MAX) - before;
	quoted = packet->length > room ? room : packet->length;
	problem = (void *)scratch->message;
	__builtin_memset(problem, 0, sizeof(*problem));
	fill_problem(packet, decision, problem);
	sum = sum_frame(ctx, IP_OFFSET, quoted) + (__u64)sum_memory(problem, sizeof(*problem));
	if (packet->ipv6)
		sum += pseudo_sum(packet->virtual_address, packet->flow.client, ICMP_HEADER + quoted, PROTOCOL_ICMPV6);
	problem->checksum = ~fold64(sum);
	/* The frame's own Ethernet header goes, where the end of the head comes to stand. */
	if (!resize(ctx, IP_OFFSET + quoted) || bpf_xdp_adjust_head(ctx, -(int)before))
		return discard(DROP_TRANSMIT_FAILED);
	if (packet->ipv6) {
		begin_ipv6(scratch, port, packet->virtual_address, PROTOCOL_ICMPV6, ICMP_HEADER + quoted, ANSWER_TTL);
		__builtin_memcpy(scratch->head + IP_OFFSET + IPV6_HEADER, problem, sizeof(*problem));
		sent = store_bytes(ctx, 0, scratch->head, IP_OFFSET + IPV6_HEADER + ICMP_HEADER);
	} else {
		begin_ipv4(scratch, port, packet->virtual_address[0], PROTOCOL_ICMP, ICMP_HEADER + quoted);
		__builtin_memcpy(scratch->head + IP_OFFSET + 20, problem, sizeof(*problem));
		sent = store_bytes(ctx, 0, scratch->head, IP_OFFSET + 20 + ICMP_HEADER);
	}
	if (!sent)
		return discard(DROP_TRANSMIT_FAILED);
	if (decision != ANSWER_TIME_EXCEEDED)
		count_event(TALLY_UNREACHABLES_SENT);
	return XDP_TX;
}

/* Answers the packet in `packet`, as decided. Returns the XDP action. */
static __noinline int answer(struct xdp_md *ctx, struct packet *packet, int decision)
{
	struct scratch *scratch = scratch_of();

	if (!scratch)
		return XDP_DROP;
	scratch->packet = *packet;
	return decision == ANSWER_RESET ? send_reset(ctx) : send_error(ctx, decision);
}

#endif

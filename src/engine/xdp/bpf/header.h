/* SPDX-License-Identifier: Apache-2.0 */
/* Reads IP headers with options and extension headers, wherever in the frame they stand. */
#ifndef BATON_HEADER_H
#define BATON_HEADER_H

#include "checksum.h"
#include "extension.h"

/* What a TCP header says of its sequence. A frame that ends within the header has a fault. */
static __always_inline void read_sequence(struct xdp_md *ctx, struct packet *packet)
{
	packet->data = 0;
	if (!load_bytes(ctx, packet->transport + 4, packet->numbers, sizeof(packet->numbers)) ||
	    !load_bytes(ctx, packet->transport + 12, &packet->data, 1))
		return;
	packet->sequence = bpf_ntohl(packet->sequence);
	packet->data = sizeof(struct ethhdr) + packet->length - packet->transport - (packet->data >> 4) * 4;
}

/* Ports, TCP flags and sequence, as far as the frame goes. */
static __always_inline void read_transport(struct xdp_md *ctx, struct packet *packet)
{
	packet->flow.key = packet->protocol | ENTRY_USED;
	if (!load_bytes(ctx, packet->transport, &packet->flow.ports, sizeof(packet->flow.ports)))
		packet->flow.ports = 0;
	if (packet->protocol != PROTOCOL_TCP || !load_bytes(ctx, packet->transport + 13, &packet->tcp_flags, 1))
		packet->tcp_flags = 0;
	else
		read_sequence(ctx, packet);
}

/* Reads the header at `ip`, unchecked. False: the frame ends within it. */
static __always_inline int read_ipv4(struct xdp_md *ctx, struct scratch *scratch, struct packet *packet, __u32 ip)
{
	struct iphdr *header = &scratch->ipv4;
	__u32 pieces;

	if (!load_bytes(ctx, ip, header, sizeof(*header)))
		return 0;
	packet->ipv6 = 0;
	packet->transport = ip + header->ihl * 4;
	packet->length = bpf_ntohs(header->tot_len);
	packet->protocol = header->protocol;
	packet->ttl = header->ttl;
	packet->flow.client[0] = header->saddr;
	packet->flow.virtual_address[0] = header->daddr;
	for (int i = 1; i < 4; i++) {
		packet->flow.client[i] = 0;
		packet->flow.virtual_address[i] = 0;
	}
	pieces = bpf_ntohs(header->frag_off);
	packet->dont_fragment = (pieces & 0x4000) != 0;
	packet->fragment_start = packet->transport;
	packet->fragment_offset = (pieces & 0x1fff) << 3;
	packet->more_fragments = (pieces & 0x2000) != 0;
	packet->identification = bpf_ntohs(header->id);
	if (packet->fragment_offset)
		packet->fragment = FRAGMENT_LATER;
	else
		packet->fragment = packet->more_fragments ? FRAGMENT_FIRST : FRAGMENT_WHOLE;
	read_transport(ctx, packet);
	return 1;
}

/*
 * The same for IPv6. `end`: behind the last byte that may be read. Returns whether there is a header; `scratch->fault`
 * is the drop reason for the chain after it.
 */
static __always_inline int read_ipv6(struct xdp_md *ctx, struct scratch *scratch, struct packet *packet, __u32 ip, __u32 end)
{
	struct ipv6hdr *header = &scratch->ipv6;

	if (!load_bytes(ctx, ip, header, sizeof(*header)))
		return 0;
	packet->ipv6 = 1;
	packet->ttl = header->hop_limit;
	copy_address(packet->flow.client, (__u32 *)&header->saddr);
	copy_address(packet->flow.virtual_address, (__u32 *)&header->daddr);
	packet->protocol = header->nexthdr;
	packet->transport = ip + IPV6_HEADER;
	packet->fragment = FRAGMENT_WHOLE;
	packet->dont_fragment = 0;
	packet->length = end - ip;
	scratch->fault = -1;
	if (is_extension(packet->protocol))
		walk_extensions(ctx, scratch, packet, end);
	if (scratch->fault < 0)
		read_transport(ctx, packet);
	return 1;
}

/* The drop reason for a bad IPv4 header, which has been read into `scratch->ipv4`, or -1. */
static __always_inline int fault_of_ipv4_header(struct xdp_md *ctx, struct scratch *scratch)
{
	struct iphdr *header = &scratch->ipv4;
	__u32 length = header->ihl * 4u;
	__u32 total = bpf_ntohs(header->tot_len);

	if (header->version != 4 || length < sizeof(*header) || total < length)
		return DROP_MALFORMED_HEADER;
	if (total > scratch->frame_length - IP_OFFSET)
		return DROP_TRUNCATED;
	return sum_frame(ctx, IP_OFFSET, length) == 0xffff ? -1 : DROP_BAD_CHECKSUM;
}

static __always_inline int fault_of_ipv6_header(struct scratch *scratch)
{
	struct ipv6hdr *header = &scratch->ipv6;

	if (header->version != 6)
		return DROP_MALFORMED_HEADER;
	return bpf_ntohs(header->payload_len) + IP_OFFSET + IPV6_HEADER > scratch->frame_length ? DROP_TRUNCATED : -1;
}

/* The same for either family. */
static __always_inline int fault_of_header(struct xdp_md *ctx, struct scratch *scratch)
{
	return scratch->packet.ipv6 ? fault_of_ipv6_header(scratch) : fault_of_ipv4_header(ctx, scratch);
}

/* The drop reason for a bad TCP or UDP header in a packet whose IP header is intact, or -1. */
static __always_inline int fault_of_transport(struct xdp_md *ctx, struct packet *packet)
{
	__s32 length = end_of(packet) - packet->transport;
	int is_whole = packet->fragment == FRAGMENT_WHOLE;
	int said;

	if (packet->protocol == PROTOCOL_TCP) {
		if (length < 20)
			return is_whole ? DROP_TRUNCATED : DROP_FRAGMENT_TINY;
		said = byte_at(ctx, packet->transport + 12);
		if (said < 0)
			return DROP_TRUNCATED;
		said = (said & 0xf0) >> 2;
		if (said >= 20 && said <= length)
			return -1;
		return is_whole ? DROP_MALFORMED_HEADER : DROP_FRAGMENT_TINY;
	}
	if (length < 8)
		return is_whole ? DROP_TRUNCATED : DROP_FRAGMENT_TINY;
	/* The length in a UDP header is that of the whole datagram. */
	if (!is_whole)
		return -1;
	said = half_at(ctx, packet->transport + 4);
	if (said < 0)
		return DROP_TRUNCATED;
	said = bpf_ntohs(said);
	if (said < 8)
		return DROP_MALFORMED_HEADER;
	return said > length ? DROP_TRUNCATED : -1;
}

#endif

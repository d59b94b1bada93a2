/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replaces one end of a packet wherever in the frame it stands. Checksums follow by RFC 1624 equation 3, as in
 * rewrite.h, but with sums over the bytes that are replaced.
 */
#ifndef BATON_ENDPOINT_H
#define BATON_ENDPOINT_H

#include "rewrite.h"
#include "scratch.h"

enum side {
	SIDE_SOURCE = 0,
	SIDE_TARGET = 1,
};

/* The gain of a sum when one word replaces another, not folded. */
static __always_inline __u32 gain_of(__u32 before, __u32 after)
{
	return ((before & 0xffff) ^ 0xffff) + ((before >> 16) ^ 0xffff) + (after & 0xffff) + (after >> 16);
}

/* One hop less, as the kernel does for every forwarding method (decrement_ttl in ip_vs_xmit.c). */
static __always_inline int age(struct xdp_md *ctx, struct scratch *scratch)
{
	struct iphdr *header = &scratch->ipv4;

	if (scratch->packet.ipv6) {
		scratch->head[0] = scratch->packet.ttl - 1;
		return store_bytes(ctx, IP_OFFSET + __builtin_offsetof(struct ipv6hdr, hop_limit), scratch->head, 1);
	}
	if (!load_bytes(ctx, IP_OFFSET, header, sizeof(*header)))
		return 0;
	header->ttl -= 1;
	header->check = update_checksum(header->check, TTL_SUM);
	return store_bytes(ctx, IP_OFFSET, header, sizeof(*header));
}

/*
 * Replaces the address of one side in the header at `ip` by `scratch->target`. Returns what the change adds to a sum that
 * the address is part of, not folded, or -1: the frame ends within it.
 */
standalone int replace_address(struct xdp_md *ctx, __u32 ip, int side)
{
	struct scratch *scratch = scratch_of();
	struct iphdr *header;
	__u32 gain = 0;
	__u32 *words;

	if (!scratch)
		return -1;
	if (scratch->packet.ipv6) {
		ip += side == SIDE_SOURCE ? 8 : 24;
		words = (__u32 *)scratch->head;
		if (!load_bytes(ctx, ip, words, 16))
			return -1;
		for (int i = 0; i < 4; i++)
			gain += gain_of(words[i], scratch->target[i]);
		return store_bytes(ctx, ip, scratch->target, 16) ? gain : -1;
	}
	header = &scratch->ipv4;
	if (!load_bytes(ctx, ip, header, sizeof(*header)))
		return -1;
	if (side == SIDE_SOURCE) {
		gain = gain_of(header->saddr, scratch->target[0]);
		header->saddr = scratch->target[0];
		keep_apart();
	} else {
		gain = gain_of(header->daddr, scratch->target[0]);
		header->daddr = scratch->target[0];
	}
	header->check = update_checksum(header->check, gain);
	return store_bytes(ctx, ip, header, sizeof(*header)) ? gain : -1;
}

/* Replaces the port of one side, and brings the checksum up to date with that and with `gain`. */
static __always_inline int replace_port(struct xdp_md *ctx, const struct packet *packet, __u32 end, int side, __u16 port,
					__u32 gain)
{
	int is_udp = packet->protocol == PROTOCOL_UDP;
	__u32 field = packet->transport + (is_udp ? 6 : 16);
	__u32 port_field = packet->transport + 2 * side;
	int before = half_at(ctx, port_field);
	int checksum;

	if (before < 0 || !put_half(ctx, port_field, port))
		return 0;
	/* The quotation of an ICMP error may end before the checksum. */
	if (field + 2 > end)
		return 1;
	checksum = half_at(ctx, field);
	if (checksum < 0)
		return 0;
	/* RFC 768: zero means that there is no checksum. */
	if (is_udp && checksum == 0)
		return 1;
	checksum = update_checksum(checksum, gain + (before ^ 0xffff) + port);
	if (is_udp && checksum == 0)
		checksum = 0xffff;
	return put_half(ctx, field, checksum);
}

/*
 * Replaces one side of the packet in `scratch` by `scratch->target` and `port`. A fragment other than the first has an
 * address alone.
 */
standalone int replace_endpoint(struct xdp_md *ctx, int side, __u16 port)
{
	struct scratch *scratch = scratch_of();
	int gain;

	if (!scratch)
		return 0;
	gain = replace_address(ctx, IP_OFFSET, side);
	if (gain < 0 || scratch->packet.fragment == FRAGMENT_LATER)
		return gain >= 0;
	return replace_port(ctx, &scratch->packet, end_of(&scratch->packet), side, port, gain);
}

/* The same for the packet that the packet quotes. */
standalone int replace_quoted_endpoint(struct xdp_md *ctx, int side, __u16 port)
{
	struct scratch *scratch = scratch_of();
	int gain;

	if (!scratch)
		return 0;
	gain = replace_address(ctx, scratch->packet.transport + ICMP_HEADER, side);
	return gain >= 0 && replace_port(ctx, &scratch->quoted, end_of(&scratch->packet), side, port, gain);
}

#endif

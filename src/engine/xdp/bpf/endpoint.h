/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replaces one end of a packet wherever in the frame it stands. Checksums follow by RFC 1624 equation 3, as in
 * rewrite.h, but with the sums of what stands there.
 */
#ifndef BATON_ENDPOINT_H
#define BATON_ENDPOINT_H

#include "rewrite.h"
#include "scratch.h"

enum side {
	SIDE_SOURCE = 0,
	SIDE_TARGET = 1,
	/* Of the packet that the packet quotes. */
	SIDE_QUOTED = 2,
};

/* What a sum gains when a word becomes another, not folded. */
static __always_inline __u32 gain_of(__u32 before, __u32 after)
{
	return ((before & 0xffff) ^ 0xffff) + ((before >> 16) ^ 0xffff) + (after & 0xffff) + (after >> 16);
}

/* One hop less, as the kernel does for every forwarding method (decrement_ttl in ip_vs_xmit.c). */
static __always_inline int age(struct xdp_md *ctx, struct scratch *scratch)
{
	struct iphdr *header = &scratch->ipv4;
	__u8 left;

	if (scratch->packet.ipv6) {
		left = scratch->packet.ttl - 1;
		return store_bytes(ctx, IP_OFFSET + __builtin_offsetof(struct ipv6hdr, hop_limit), &left, 1);
	}
	if (!load_bytes(ctx, IP_OFFSET, header, sizeof(*header)))
		return 0;
	header->ttl -= 1;
	header->check = update_checksum(header->check, TTL_SUM);
	return store_bytes(ctx, IP_OFFSET, header, sizeof(*header));
}

/* Replaces the address of one side in the header at `ip`. `gain`: what the change adds to a sum that it is part of. */
static __always_inline int replace_address(struct xdp_md *ctx, struct scratch *scratch, __u32 ip, int side, const __u32 *address,
					   __u32 *gain)
{
	if (scratch->packet.ipv6) {
		__u32 field = ip + (side == SIDE_SOURCE ? 8 : 24);
		__u32 *words = (__u32 *)scratch->head;

		if (!load_bytes(ctx, field, words, 16))
			return 0;
		*gain = 0;
		for (int i = 0; i < 4; i++)
			*gain += gain_of(words[i], address[i]);
		copy_address(words, address);
		return store_bytes(ctx, field, words, 16);
	} else {
		struct iphdr *header = &scratch->ipv4;
		__u32 *field = side == SIDE_SOURCE ? &header->saddr : &header->daddr;

		if (!load_bytes(ctx, ip, header, sizeof(*header)))
			return 0;
		*gain = gain_of(*field, address[0]);
		*field = address[0];
		header->check = update_checksum(header->check, *gain);
		return store_bytes(ctx, ip, header, sizeof(*header));
	}
}

/* Replaces the port of one side, and brings the checksum up to date with that and with `gain`. */
static __always_inline int replace_port(struct xdp_md *ctx, const struct packet *packet, __u32 end, int side, __u16 port,
					__u32 gain)
{
	int is_udp = packet->protocol == PROTOCOL_UDP;
	__u32 field = packet->transport + (is_udp ? 6 : 16);
	__u32 port_field = packet->transport + 2 * side;
	__u16 before, checksum;

	if (!load_bytes(ctx, port_field, &before, 2) || !store_bytes(ctx, port_field, &port, 2))
		return 0;
	/* What an ICMP error quotes may end before it. */
	if (field + 2 > end)
		return 1;
	if (!load_bytes(ctx, field, &checksum, 2))
		return 0;
	/* RFC 768: zero says that there is none. */
	if (is_udp && checksum == 0)
		return 1;
	checksum = update_checksum(checksum, gain + (before ^ 0xffff) + port);
	if (is_udp && checksum == 0)
		checksum = 0xffff;
	return store_bytes(ctx, field, &checksum, 2);
}

/*
 * Replaces address and port of one side of the packet in `scratch`, or of the one that it quotes. A fragment other than
 * the first has an address alone.
 */
static __noinline int replace_endpoint(struct xdp_md *ctx, struct scratch *scratch, int side, const __u32 *address, __u16 port)
{
	struct packet *packet = side & SIDE_QUOTED ? &scratch->quoted : &scratch->packet;
	__u32 ip = side & SIDE_QUOTED ? scratch->packet.transport + ICMP_HEADER : IP_OFFSET;
	__u32 gain;

	side &= SIDE_TARGET;
	if (!replace_address(ctx, scratch, ip, side, address, &gain))
		return 0;
	if (packet->fragment == FRAGMENT_LATER)
		return 1;
	return replace_port(ctx, packet, end_of(&scratch->packet), side, port, gain);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes to packets in place. Checksums follow by RFC 1624 equation 3, HC' = ~(~HC + ~m + m'), never by summing the
 * packet again: what was damaged before stays detectable. The change is the same for all packets of a destination, so
 * its sum stands in the destination.
 */
#ifndef BATON_REWRITE_H
#define BATON_REWRITE_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "packet.h"

/* The gain of ~checksum when the TTL, the lower byte of its word on a little-endian machine, loses one. */
#define TTL_SUM 0xfffe

static __always_inline __u16 update_checksum(__u16 checksum, __u32 gain)
{
	return ~fold((__u16)~checksum + gain);
}

/* The gain of the change back. */
static __always_inline __u32 reverse(__u16 gain)
{
	return gain == 0xffff ? 0xffff : gain ^ 0xffff;
}

static __always_inline void write_macs(struct ethhdr *ethernet, const struct hop *hop)
{
	__u32 *to = (void *)ethernet;
	const __u32 *from = (const void *)hop->macs;

	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
}

/* RFC 768: zero means that there is no checksum. */
static __always_inline void update_udp(struct udphdr *udp, __u32 gain)
{
	__u16 checksum;

	if (udp->check == 0)
		return;
	checksum = update_checksum(udp->check, gain);
	udp->check = checksum ? checksum : 0xffff;
}

#endif

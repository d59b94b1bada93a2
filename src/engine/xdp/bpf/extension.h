/* SPDX-License-Identifier: Apache-2.0 */
/* The extension headers of IPv6 (RFC 8200 section 4), to the transport that they end with. */
#ifndef BATON_EXTENSION_H
#define BATON_EXTENSION_H

#include "scratch.h"

/* RFC 8200 section 4.1 has seven at most in a packet; a longer chain only serves to hide the transport header. */
#define EXTENSIONS_MAX 8

enum extension_header {
	EXTENSION_HOP_BY_HOP = 0,
	EXTENSION_ROUTING = 43,
	EXTENSION_FRAGMENT = 44,
	EXTENSION_AUTHENTICATION = 51,
	EXTENSION_DESTINATION_OPTIONS = 60,
};

struct extension_walk {
	struct xdp_md *ctx;
	struct scratch *scratch;
	struct packet *packet;
};

static __always_inline int is_extension(__u8 header)
{
	return header == EXTENSION_HOP_BY_HOP || header == EXTENSION_ROUTING || header == EXTENSION_FRAGMENT ||
	       header == EXTENSION_AUTHENTICATION || header == EXTENSION_DESTINATION_OPTIONS;
}

/* Lengths count 8 bytes beyond the first 8; of the authentication header (RFC 4302 section 2.2) 4 beyond the first 8. */
static __always_inline __u32 extension_length(__u8 header, __u8 field)
{
	if (header == EXTENSION_FRAGMENT)
		return 8;
	return header == EXTENSION_AUTHENTICATION ? (field + 2u) << 2 : (field + 1u) << 3;
}

/* A fragment header with offset 0 and nothing to follow makes an ordinary packet (RFC 6946). */
static __always_inline void read_fragment(struct scratch *scratch, struct packet *packet, const __u8 *header)
{
	__u32 field = (header[2] << 8) | header[3];

	packet->fragment_offset = field & 0xfff8;
	packet->more_fragments = field & 1;
	packet->identification = bpf_ntohl(*(const __u32 *)(header + 4));
	packet->fragment_start = scratch->at + 8;
	scratch->fragmented = packet->fragment_offset || packet->more_fragments;
}

static long next_extension(__u32 headers, struct extension_walk *walk)
{
	struct scratch *scratch = walk->scratch;
	struct packet *packet = walk->packet;
	__u8 next = scratch->next;
	__u8 *header = scratch->head;
	__u32 length;

	if (!is_extension(next))
		return 1;
	scratch->fault = DROP_EXTENSION_HEADERS;
	if (headers == EXTENSIONS_MAX)
		return 1;
	if (scratch->at + 8 > scratch->end || !load_bytes(walk->ctx, scratch->at, header, 8)) {
		scratch->fault = DROP_TRUNCATED;
		return 1;
	}
	if (next == EXTENSION_HOP_BY_HOP && headers > 0)
		return 1;
	/* A source route that goes on from here. */
	if (next == EXTENSION_ROUTING && header[3] != 0)
		return 1;
	length = extension_length(next, header[1]);
	if (scratch->at + length > scratch->end) {
		scratch->fault = DROP_TRUNCATED;
		return 1;
	}
	if (next == EXTENSION_FRAGMENT) {
		if (scratch->fragmented)
			return 1;
		read_fragment(scratch, packet, header);
	}
	scratch->next = header[0];
	scratch->at += length;
	scratch->fault = -1;
	/* The bytes that follow in a later fragment are not a header. */
	return scratch->fragmented && packet->fragment_offset > 0;
}

/* Sets transport, protocol and fragment of a packet, or `scratch->fault`. Reads nothing at or behind `end`. */
static __always_inline void walk_extensions(struct xdp_md *ctx, struct scratch *scratch, struct packet *packet, __u32 end)
{
	struct extension_walk walk = { .ctx = ctx, .scratch = scratch, .packet = packet };

	scratch->at = packet->transport;
	scratch->end = end;
	scratch->next = packet->protocol;
	scratch->fragmented = 0;
	bpf_loop(EXTENSIONS_MAX + 1, next_extension, &walk, 0);
	packet->protocol = scratch->next;
	packet->transport = scratch->at;
	if (scratch->fragmented)
		packet->fragment = packet->fragment_offset ? FRAGMENT_LATER : FRAGMENT_FIRST;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Answers for the addresses that are on no interface as a host does for its own: ARP, ND and echo. */
#ifndef BATON_HOST_H
#define BATON_HOST_H

#include "answer.h"
#include "forward.h"
#include "icmp-error.h"

#define ARP_LENGTH 28
#define SOLICITATION_LENGTH 24
#define ADVERTISEMENT_LENGTH 32
#define ND_HOP_LIMIT 255
/* Options of the longest message: each has 8 bytes at least. */
#define OPTIONS_MAX 8192

enum nd_option {
	ND_SOURCE_LINK_LAYER = 1,
	ND_TARGET_LINK_LAYER = 2,
};

enum advertisement_flag {
	ADVERTISEMENT_SOLICITED = 0x40,
	ADVERTISEMENT_OVERRIDE = 0x20,
};

struct arp {
	__u16 hardware_type;
	__u16 protocol_type;
	__u8 hardware_length;
	__u8 protocol_length;
	__u16 operation;
	__u8 sender_mac[6];
	__u8 sender_address[4];
	__u8 target_mac[6];
	__u8 target_address[4];
};

struct advertisement {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__u32 flags;
	__u32 target[4];
	__u8 option;
	__u8 option_length;
	__u8 mac[6];
};

_Static_assert(sizeof(struct arp) == ARP_LENGTH, "as on the wire");
_Static_assert(sizeof(struct advertisement) == ADVERTISEMENT_LENGTH, "as on the wire");

/* Whether ARP requests and neighbour solicitations for an address are answered here. */
enum authority {
	/* The address is another host's, or the kernel answers for it. */
	AUTHORITY_NONE,
	/* The address is ours, but without a lease nobody here may answer. */
	AUTHORITY_SILENT,
	AUTHORITY_OURS,
};

static __always_inline enum authority authority_over(const struct address *address, const struct packet *packet)
{
	if (!address)
		return AUTHORITY_NONE;
	if (!lease_is_valid(address->lease_slot, packet->now_ns))
		return AUTHORITY_SILENT;
	if (!(address->flags & ADDRESS_ANSWER) || address->interface_index != packet->interface_index)
		return AUTHORITY_NONE;
	return AUTHORITY_OURS;
}

static __always_inline __u32 word_at(const __u8 *bytes)
{
	__u32 word;

	__builtin_memcpy(&word, bytes, sizeof(word));
	return word;
}

static __always_inline int is_arp_request(const struct arp *arp)
{
	return arp->hardware_type == bpf_htons(1) && arp->protocol_type == bpf_htons(ETH_P_IP) && arp->hardware_length == 6 &&
	       arp->protocol_length == 4 && arp->operation == bpf_htons(1);
}

/* RFC 826. Answers requests alone: announcements of the address by others concern the election, not the engine. */
standalone int slow_arp(struct xdp_md *ctx)
{
	struct scratch *scratch = scratch_of();
	struct arp *question, *reply;
	struct port *port;
	__u32 target;

	if (!scratch)
		return LEAVE_ALONE;
	question = (void *)scratch->chunk;
	reply = (void *)scratch->message;
	if (!load_bytes(ctx, IP_OFFSET, question, sizeof(*question)) || !is_arp_request(question))
		return LEAVE_ALONE;
	target = word_at(question->target_address);
	if (word_at(question->sender_address) == target)
		return LEAVE_ALONE;
	switch (authority_over(bpf_map_lookup_elem(&addresses4, &target), &scratch->packet)) {
	case AUTHORITY_NONE:
		return LEAVE_ALONE;
	case AUTHORITY_SILENT:
		return DISCARD;
	case AUTHORITY_OURS:
		break;
	}
	port = port_of(scratch->packet.interface_index);
	if (!port)
		return LEAVE_ALONE;
	*reply = *question;
	reply->operation = bpf_htons(2);
	__builtin_memcpy(reply->sender_mac, port->mac, 6);
	__builtin_memcpy(reply->sender_address, question->target_address, 4);
	__builtin_memcpy(reply->target_mac, question->sender_mac, 6);
	__builtin_memcpy(reply->target_address, question->sender_address, 4);
	/* The answer goes to the sender that the request names. */
	__builtin_memcpy(scratch->packet.source_mac, question->sender_mac, 6);
	begin_ethernet(scratch, port, ETH_P_ARP);
	__builtin_memcpy(scratch->head + IP_OFFSET, reply, sizeof(*reply));
	if (!resize(ctx, IP_OFFSET + sizeof(*reply)) || !store_bytes(ctx, 0, scratch->head, IP_OFFSET + sizeof(*reply)))
		return drop(DROP_TRANSMIT_FAILED);
	count_event(TALLY_ARP_REPLIES);
	return ANSWERED;
}

/* Looks at one option: `scratch->next` is set for a source link-layer address, `scratch->fault` at a false length. */
static long next_option(__u32 step, struct summing *walk)
{
	struct scratch *scratch = walk->scratch;
	int option;

	if (scratch->at >= scratch->end)
		return 1;
	scratch->fault = 1;
	option = half_at(walk->ctx, scratch->at);
	if (scratch->at + 2 > scratch->end || option < 0)
		return 1;
	/* Its type, then its length in units of 8 bytes. */
	if (option >> 8 == 0 || scratch->at + (option >> 8) * 8 > scratch->end)
		return 1;
	scratch->fault = 0;
	if ((option & 0xff) == ND_SOURCE_LINK_LAYER)
		scratch->next = 1;
	scratch->at += (option >> 8) * 8;
	return 0;
}

static __always_inline int is_unspecified(const __u32 *address)
{
	return (address[0] | address[1] | address[2] | address[3]) == 0;
}

/* Whether an address lies in ff02::1:ff00:0/104 (RFC 4291 section 2.7.1). */
static __always_inline int is_solicited_node(const __u32 *address)
{
	return address[0] == bpf_htonl(0xff020000) && address[1] == 0 && address[2] == bpf_htonl(1) &&
	       (address[3] & 0xff) == 0xff;
}

/* Whether RFC 4861 section 7.1.1 lets a solicitation pass, which has its length at least. */
static __always_inline int is_valid_solicitation(struct xdp_md *ctx, struct scratch *scratch, const __u32 *target)
{
	struct summing walk = { .ctx = ctx, .scratch = scratch };
	struct packet *packet = &scratch->packet;

	if (packet->ttl != ND_HOP_LIMIT || packet->fragment != FRAGMENT_WHOLE || fault_of_message(ctx, packet) >= 0)
		return 0;
	if (byte_at(ctx, packet->transport + 1) != 0 || (target[0] & 0xff) == 0xff)
		return 0;
	/* No host sends from a multicast address. */
	if ((packet->flow.client[0] & 0xff) == 0xff)
		return 0;
	scratch->at = packet->transport + SOLICITATION_LENGTH;
	scratch->end = end_of(packet);
	scratch->next = 0;
	scratch->fault = 0;
	bpf_loop(OPTIONS_MAX, next_option, &walk, 0);
	if (scratch->fault)
		return 0;
	if (!is_unspecified(packet->flow.client))
		return 1;
	/* Duplicate address detection: to the solicited-node group, and without an address to answer to. */
	return is_solicited_node(packet->flow.virtual_address) && !scratch->next;
}

/*
 * Answers a valid solicitation (RFC 4861 section 7.2.4): to the sender, or to all nodes when it is duplicate address
 * detection, whose sender has no address yet. The router flag is clear, as in the announcement of a takeover on an
 * interface that does not forward.
 */
static __always_inline int send_advertisement(struct xdp_md *ctx, struct scratch *scratch, struct port *port, __u32 *target)
{
	struct packet *packet = &scratch->packet;
	int to_all = is_unspecified(packet->flow.client);
	struct advertisement *message = (void *)scratch->message;

	__builtin_memset(message, 0, sizeof(*message));
	message->type = ICMPV6_ADVERTISEMENT;
	message->flags = bpf_htonl((__u32)(ADVERTISEMENT_OVERRIDE | (to_all ? 0 : ADVERTISEMENT_SOLICITED)) << 24);
	copy_address(message->target, target);
	message->option = ND_TARGET_LINK_LAYER;
	message->option_length = 1;
	__builtin_memcpy(message->mac, port->mac, 6);
	if (to_all) {
		packet->flow.client[0] = bpf_htonl(0xff020000);
		packet->flow.client[3] = bpf_htonl(1);
		*(__u32 *)packet->source_mac = bpf_htonl(0x33330000);
		*(__u16 *)(packet->source_mac + 4) = bpf_htons(1);
	}
	message->checksum = ~fold64(sum_memory(message, sizeof(*message)) +
				    pseudo_sum(target, packet->flow.client, sizeof(*message), PROTOCOL_ICMPV6));
	begin_ipv6(scratch, port, target, PROTOCOL_ICMPV6, sizeof(*message), ND_HOP_LIMIT);
	__builtin_memcpy(scratch->head + IP_OFFSET + IPV6_HEADER, message, sizeof(*message));
	if (!resize(ctx, HEAD) || !store_bytes(ctx, 0, scratch->head, HEAD))
		return drop(DROP_TRANSMIT_FAILED);
	count_event(TALLY_NEIGHBOUR_REPLIES);
	return ANSWERED;
}

/*
 * A solicitation in `scratch->packet`. One for an address that is not answered here is left alone, even a malformed one.
 * So is one to such a destination, except that without a lease for its target the kernel is kept from answering it.
 */
standalone int slow_solicitation(struct xdp_md *ctx)
{
	struct scratch *scratch = scratch_of();
	struct packet *packet;
	struct port *port;
	__u32 *target;

	if (!scratch)
		return LEAVE_ALONE;
	packet = &scratch->packet;
	target = scratch->target;
	if ((__s32)(end_of(packet) - packet->transport) < SOLICITATION_LENGTH)
		return LEAVE_ALONE;
	if (!load_bytes(ctx, packet->transport + 8, target, sizeof(scratch->target)))
		return LEAVE_ALONE;
	switch (authority_over(bpf_map_lookup_elem(&addresses6, target), packet)) {
	case AUTHORITY_NONE:
		return LEAVE_ALONE;
	case AUTHORITY_SILENT:
		return DISCARD;
	case AUTHORITY_OURS:
		break;
	}
	if (!(scratch->address_flags & ADDRESS_ANSWER))
		return LEAVE_ALONE;
	/* A solicitation from the very address is a peer's, or forged: as with ARP, it gets no answer. */
	if (same_address(packet->flow.client, target))
		return LEAVE_ALONE;
	port = port_of(packet->interface_index);
	if (!port)
		return LEAVE_ALONE;
	if (!is_valid_solicitation(ctx, scratch, target))
		return drop(DROP_NEIGHBOUR_DISCOVERY);
	return send_advertisement(ctx, scratch, port, target);
}

/* Whether a packet in `scratch->packet` holds a solicitation. */
static __always_inline int is_solicitation(struct xdp_md *ctx, const struct packet *packet)
{
	return packet->ipv6 && packet->protocol == PROTOCOL_ICMPV6 && packet->transport < end_of(packet) &&
	       byte_at(ctx, packet->transport) == ICMPV6_SOLICITATION;
}

/* Turns an echo request into its reply, in place (RFC 792, RFC 4443 section 4.2): addresses swapped, the data as it came. */
static __always_inline int turn_echo_around(struct xdp_md *ctx, struct scratch *scratch, struct port *port)
{
	struct packet *packet = &scratch->packet;
	__u32 length = end_of(packet) - packet->transport;
	__u8 *head = scratch->head;
	int before = half_at(ctx, packet->transport);
	int checksum = half_at(ctx, packet->transport + 2);
	int after = (before & 0xff00) | (packet->ipv6 ? ICMPV6_ECHO_REPLY : ICMP_ECHO_REPLY);

	if (before < 0 || checksum < 0)
		return 0;
	checksum = update_checksum(checksum, (before ^ 0xffff) + after);
	if (!put_half(ctx, packet->transport, after) || !put_half(ctx, packet->transport + 2, checksum))
		return 0;
	if (packet->ipv6) {
		struct ipv6hdr *header = &scratch->ipv6;

		if (!load_bytes(ctx, IP_OFFSET, header, sizeof(*header)))
			return 0;
		header->payload_len = bpf_htons(length);
		header->nexthdr = PROTOCOL_ICMPV6;
		header->hop_limit = ANSWER_TTL;
		copy_address((__u32 *)&header->saddr, packet->flow.virtual_address);
		copy_address((__u32 *)&header->daddr, packet->flow.client);
		begin_ethernet(scratch, port, ETH_P_IPV6);
		__builtin_memcpy(head + IP_OFFSET, header, sizeof(*header));
		/* The extension headers of a request concern its own path, not the reply's. */
		return resize_head(ctx, packet->transport - IP_OFFSET - IPV6_HEADER) &&
		       store_bytes(ctx, 0, head, IP_OFFSET + IPV6_HEADER);
	} else {
		struct iphdr *header = &scratch->ipv4;

		if (!load_bytes(ctx, IP_OFFSET, header, sizeof(*header)))
			return 0;
		header->ttl = ANSWER_TTL;
		header->check = 0;
		header->saddr = packet->flow.virtual_address[0];
		header->daddr = packet->flow.client[0];
		begin_ethernet(scratch, port, ETH_P_IP);
		__builtin_memcpy(head + IP_OFFSET, header, sizeof(*header));
		if (!store_bytes(ctx, 0, head, IP_OFFSET + sizeof(*header)))
			return 0;
		/* Options are part of the sum. */
		checksum = ~fold(sum_frame(ctx, IP_OFFSET, packet->transport - IP_OFFSET));
		return put_half(ctx, IP_OFFSET + __builtin_offsetof(struct iphdr, check), checksum);
	}
}

/* An echo request, intact, for an address that is answered for, and whose lease is valid. */
standalone int slow_echo(struct xdp_md *ctx)
{
	struct scratch *scratch = scratch_of();
	struct port *port;

	if (!scratch)
		return LEAVE_ALONE;
	port = port_of(scratch->packet.interface_index);
	if (!port)
		return LEAVE_ALONE;
	if (!resize(ctx, end_of(&scratch->packet)) || !turn_echo_around(ctx, scratch, port))
		return drop(DROP_TRANSMIT_FAILED);
	count_event(TALLY_ECHO_REPLIES);
	return ANSWERED;
}

#endif

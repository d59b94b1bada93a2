/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data path: one run for each packet. Nearly all packets are TCP or UDP over IPv4 without options or over IPv6
 * without extension headers, and are handled here; every other one goes to `slow`.
 */
#include "answer.h"
#include "forward.h"
#include "prepare.h"
#include "slow.h"
#include "record-work.h"

char _license[] SEC("license") = "Apache-2.0";

enum { PROGRAM_SLOW };

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} programs SEC(".maps") = {
	.values = { [PROGRAM_SLOW] = (void *)&slow },
};

/* Instead of an XDP action: the packet is not handled here. */
#define NOT_PLAIN -1

static __always_inline int is_own_mac(const struct ethhdr *ethernet, const struct port *port)
{
	const __u32 *first = (const void *)ethernet->h_dest;
	const __u16 *last = (const void *)(ethernet->h_dest + 4);

	return *first == *(const __u32 *)port->mac && *last == *(const __u16 *)(port->mac + 4);
}

static __always_inline int fault_of_tcp(const struct tcphdr *tcp, __u32 length)
{
	if (length < sizeof(*tcp))
		return DROP_TRUNCATED;
	return tcp->doff < 5 || tcp->doff * 4u > length ? DROP_MALFORMED_HEADER : -1;
}

/* `length` is that of header and data. */
static __always_inline void read_tcp(struct packet *packet, const struct tcphdr *tcp, __u32 length)
{
	packet->tcp_flags = ((__u8 *)tcp)[13];
	packet->sequence = bpf_ntohl(tcp->seq);
	packet->acknowledgement = tcp->ack_seq;
	packet->data = length - tcp->doff * 4u;
}

static __always_inline int fault_of_udp(const struct udphdr *udp, __u32 length)
{
	__u32 said = bpf_ntohs(udp->len);

	if (length < sizeof(*udp))
		return DROP_TRUNCATED;
	if (said < sizeof(*udp))
		return DROP_MALFORMED_HEADER;
	return said > length ? DROP_TRUNCATED : -1;
}

static __always_inline int fault_of_ipv4(const struct iphdr *ip, __u32 frame_length)
{
	const __u32 *words = (const void *)ip;
	__u32 total = bpf_ntohs(ip->tot_len);
	__u64 sum;

	if (total < sizeof(*ip))
		return DROP_MALFORMED_HEADER;
	if (total > frame_length - sizeof(struct ethhdr))
		return DROP_TRUNCATED;
	sum = (__u64)words[0] + words[1] + words[2] + words[3] + words[4];
	return fold64(sum) != 0xffff ? DROP_BAD_CHECKSUM : -1;
}

/*
 * Decides about packets in both directions. Nearly every packet is intact and of a known connection; for the others the
 * checks come in the order in which their faults count.
 */
static __always_inline int decide(struct packet *packet, int ip_fault, int transport_fault, int ipv6)
{
	struct address *address;
	struct entry *entry = 0;

	if (!may_be_served(packet->flow.virtual_address, ipv6)) {
		if (!may_reply(packet->flow.client, ipv6))
			return LEAVE_ALONE;
		return decide_out(packet, ip_fault >= 0 ? ip_fault : transport_fault, ipv6);
	}
	if (likely(ip_fault < 0 && transport_fault < 0 && !is_martian(packet->flow.client, ipv6))) {
		entry = find_entry(packet, ipv6);
		if (likely(entry && !has_expired(entry, packet->now) && !begins_connection(packet))) {
			__u32 number = entry->destination;
			struct destination *destination = destination_of(number);

			if (likely(destination && (destination->flags & DESTINATION_SERVING) == DESTINATION_SERVING)) {
				if (unlikely(!lease_is_valid(destination->lease_slot, packet->now_ns)))
					return drop(DROP_NO_LEASE);
				return follow_in(packet, entry, number, destination, 0, ipv6);
			}
		}
	}
	address = find_address(packet->flow.virtual_address, ipv6);
	if (!is_served(address))
		return decide_out(packet, ip_fault >= 0 ? ip_fault : transport_fault, ipv6);
	if (unlikely(ip_fault >= 0))
		return drop(ip_fault);
	if (unlikely(is_martian(packet->flow.client, ipv6)))
		return drop(DROP_MARTIAN_SOURCE);
	if (unlikely(!lease_is_valid(address->lease_slot, packet->now_ns)))
		return drop(is_served(find_address(packet->flow.client, ipv6)) ? DROP_MARTIAN_SOURCE : DROP_NO_LEASE);
	if (ipv6 && unlikely(is_link_local(packet->flow.client)))
		return drop(DROP_MARTIAN_SOURCE);
	if (unlikely(transport_fault >= 0))
		return drop(is_served(find_address(packet->flow.client, ipv6)) ? DROP_MARTIAN_SOURCE : transport_fault);
	return decide_found(packet, entry, ipv6);
}

static __always_inline int finish(struct xdp_md *ctx, struct packet *packet, int decision)
{
	if (decision == LEAVE_ALONE)
		return XDP_PASS;
	if (decision == DISCARD)
		return XDP_DROP;
	return answer(ctx, packet, decision);
}

standalone int handle_ipv4(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct packet *packet = own_packet();
	struct ethhdr *ethernet = data;
	struct iphdr *ip = data + sizeof(*ethernet);
	struct tcphdr *tcp = data + sizeof(*ethernet) + sizeof(*ip);
	struct udphdr *udp = (void *)tcp;
	struct destination *destination;
	int transport_fault, decision;
	__u32 frame_length;

	if (!packet || (void *)(udp + 1) > end)
		return NOT_PLAIN;
	if (*(__u8 *)ip != 0x45 || (ip->frag_off & bpf_htons(0x3fff)))
		return NOT_PLAIN;
	packet->protocol = ip->protocol;
	packet->length = bpf_ntohs(ip->tot_len);
	if (ip->protocol == PROTOCOL_TCP) {
		if ((void *)(tcp + 1) > end)
			return NOT_PLAIN;
		transport_fault = fault_of_tcp(tcp, packet->length - sizeof(*ip));
		read_tcp(packet, tcp, packet->length - sizeof(*ip));
	} else if (ip->protocol == PROTOCOL_UDP) {
		transport_fault = fault_of_udp(udp, packet->length - sizeof(*ip));
		packet->tcp_flags = 0;
	} else {
		return NOT_PLAIN;
	}
	packet->flow.client[0] = ip->saddr;
	packet->flow.client[1] = packet->flow.client[2] = packet->flow.client[3] = 0;
	packet->flow.virtual_address[0] = ip->daddr;
	packet->flow.virtual_address[1] = packet->flow.virtual_address[2] = packet->flow.virtual_address[3] = 0;
	packet->flow.ports = *(__u32 *)tcp;
	packet->flow.key = packet->protocol | ENTRY_USED;
	packet->interface_index = ctx->ingress_ifindex;
	packet->transport = sizeof(*ethernet) + sizeof(*ip);
	packet->ipv6 = 0;
	packet->fragment = FRAGMENT_WHOLE;
	packet->ttl = ip->ttl;
	packet->dont_fragment = (ip->frag_off & bpf_htons(0x4000)) != 0;
	copy_mac(packet->source_mac, ethernet->h_source);
	begin_packet(packet);

	frame_length = bpf_xdp_get_buff_len(ctx);
	packet->padding = frame_length - sizeof(*ethernet) - packet->length;
	decision = decide(packet, fault_of_ipv4(ip, frame_length), transport_fault, 0);
	if (unlikely(decision != FORWARD_IN && decision != FORWARD_OUT))
		return finish(ctx, packet, decision);
	destination = destination_of(packet->destination);
	if (!destination)
		return XDP_DROP;
	if (!prepare_ipv4(ip, udp, end, packet, destination, decision))
		return discard(DROP_TRANSMIT_FAILED);
	write_macs(ethernet, &packet->hop);
	return transmit(ctx, packet);
}

standalone int handle_ipv6(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct packet *packet = own_packet();
	struct ethhdr *ethernet = data;
	struct ipv6hdr *ip = data + sizeof(*ethernet);
	struct tcphdr *tcp = data + sizeof(*ethernet) + sizeof(*ip);
	struct udphdr *udp = (void *)tcp;
	struct destination *destination;
	int ip_fault, transport_fault, decision;
	__u32 payload, frame_length;

	if (!packet || (void *)(udp + 1) > end)
		return NOT_PLAIN;
	payload = bpf_ntohs(ip->payload_len);
	packet->protocol = ip->nexthdr;
	packet->length = payload + sizeof(*ip);
	packet->ipv6 = 1;
	if (ip->nexthdr == PROTOCOL_TCP) {
		if ((void *)(tcp + 1) > end)
			return NOT_PLAIN;
		transport_fault = fault_of_tcp(tcp, payload);
		read_tcp(packet, tcp, payload);
	} else if (ip->nexthdr == PROTOCOL_UDP) {
		transport_fault = fault_of_udp(udp, payload);
		packet->tcp_flags = 0;
	} else {
		return NOT_PLAIN;
	}
	frame_length = bpf_xdp_get_buff_len(ctx);
	packet->padding = frame_length - sizeof(*ethernet) - packet->length;
	if (ip->version != 6)
		ip_fault = DROP_MALFORMED_HEADER;
	else
		ip_fault = packet->length > frame_length - sizeof(*ethernet) ? DROP_TRUNCATED : -1;
	copy_address(packet->flow.client, (__u32 *)&ip->saddr);
	copy_address(packet->flow.virtual_address, (__u32 *)&ip->daddr);
	packet->flow.ports = *(__u32 *)tcp;
	packet->flow.key = packet->protocol | ENTRY_USED;
	packet->interface_index = ctx->ingress_ifindex;
	packet->transport = sizeof(*ethernet) + sizeof(*ip);
	packet->fragment = FRAGMENT_WHOLE;
	packet->dont_fragment = 1;
	packet->ttl = ip->hop_limit;
	copy_mac(packet->source_mac, ethernet->h_source);
	begin_packet(packet);

	decision = decide(packet, ip_fault, transport_fault, 1);
	if (unlikely(decision != FORWARD_IN && decision != FORWARD_OUT))
		return finish(ctx, packet, decision);
	destination = destination_of(packet->destination);
	if (!destination)
		return XDP_DROP;
	if (!prepare_ipv6(ip, udp, end, packet, destination, decision))
		return discard(DROP_TRANSMIT_FAILED);
	write_macs(ethernet, &packet->hop);
	return transmit(ctx, packet);
}

SEC("xdp.frags")
int baton(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = data;
	struct port *port = port_of(ctx->ingress_ifindex);
	int action = NOT_PLAIN;

	if ((void *)(ethernet + 1) > end || !port)
		return XDP_PASS;
	if (likely(is_own_mac(ethernet, port))) {
		if (ethernet->h_proto == bpf_htons(ETH_P_IP))
			action = handle_ipv4(ctx);
		else if (ethernet->h_proto == bpf_htons(ETH_P_IPV6))
			action = handle_ipv6(ctx);
	} else if (!(ethernet->h_dest[0] & 1) || ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		/* Of frames to a group only ARP and neighbour discovery matter; frames for another station do not. */
		return XDP_PASS;
	}
	if (likely(action != NOT_PLAIN))
		return action;
	bpf_tail_call(ctx, &programs, PROGRAM_SLOW);
	return XDP_DROP;
}

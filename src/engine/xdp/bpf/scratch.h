/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of one run that is too large for the stack, one of each processor. */
#ifndef BATON_SCRATCH_H
#define BATON_SCRATCH_H

#include <linux/ip.h>
#include <linux/ipv6.h>

#include "tally.h"

#define CHUNK 512
/* The longest head that an answer needs: Ethernet, IPv6 and a neighbour advertisement. */
#define HEAD 86

/* Of IP header and everything behind it, in the Ethernet frame. */
#define IP_OFFSET 14
#define IPV6_HEADER 40
#define ICMP_HEADER 8

struct scratch {
	/* The packet of this run, or of the run that wants an answer. */
	struct packet packet;
	/* What an ICMP error quotes. */
	struct packet quoted;
	/* Of the frame, in bytes. */
	__u32 frame_length;
	/* Of the virtual address that the packet is for. */
	__u32 address_flags;
	/* A walk over extension headers or options, or a sum: where it stands, where it ends, what it has found. */
	__u32 at;
	__u32 end;
	__u32 next;
	__s32 fault;
	__u32 fragmented;
	__u32 reserved;
	__u64 sum;
	struct iphdr ipv4;
	struct ipv6hdr ipv6;
	__u8 head[HEAD + 10] __attribute__((aligned(8)));
	__u8 chunk[CHUNK] __attribute__((aligned(8)));
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline struct scratch *scratch_of(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&scratches, &key);
}

/* Copies bytes of the frame, from any offset. False: they are not all there. */
static __always_inline int load_bytes(struct xdp_md *ctx, __u32 offset, void *to, __u32 length)
{
	return bpf_xdp_load_bytes(ctx, offset, to, length) == 0;
}

static __always_inline int store_bytes(struct xdp_md *ctx, __u32 offset, void *from, __u32 length)
{
	return bpf_xdp_store_bytes(ctx, offset, from, length) == 0;
}

/* Behind the last byte of a packet, in the frame. */
static __always_inline __u32 end_of(const struct packet *packet)
{
	return IP_OFFSET + packet->length;
}

/* As `drop`, for those who return what XDP is to do. */
static __always_inline int discard(__u32 reason)
{
	drop(reason);
	return XDP_DROP;
}

#endif

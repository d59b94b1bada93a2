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

/* Where the IP header begins in the Ethernet frame. */
#define IP_OFFSET 14
#define IPV6_HEADER 40
#define ICMP_HEADER 8

struct scratch {
	/* The packet of this run, or of the run that wants an answer. */
	struct packet packet;
	/* The packet that an ICMP error quotes. */
	struct packet quoted;
	/* Length of the frame, in bytes. */
	__u32 frame_length;
	/* Flags of the virtual address that the packet is for. */
	__u32 address_flags;
	/* A walk over extension headers or options, or a sum: where it stands, where it ends, what it has found. */
	__u32 at;
	__u32 end;
	__u32 next;
	__s32 fault;
	__u32 fragmented;
	/* The odd bytes behind the last whole word. */
	__u32 rest;
	/* The target of a solicitation. */
	__u32 target[4];
	__u64 sum;
	struct iphdr ipv4;
	struct ipv6hdr ipv6;
	/* An answer's first bytes, and what stands behind its IP header. */
	__u8 head[HEAD + 10] __attribute__((aligned(8)));
	__u8 message[40] __attribute__((aligned(8)));
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

	return element(&scratches, key);
}

/* As `count_events`, of one. */
standalone int count_event(__u32 event)
{
	if (event < TALLY_EVENTS)
		count_events(event, 1);
	return 0;
}

/*
 * Copies bytes of the frame, from any offset. False: they are not all there. Not onto the stack: the compiler may have
 * kept a pointer in the same place before, and the verifier takes its bytes for that, without CAP_PERFMON.
 */
static __always_inline int load_bytes(struct xdp_md *ctx, __u32 offset, void *to, __u32 length)
{
	return bpf_xdp_load_bytes(ctx, offset, to, length) == 0;
}

static __always_inline int store_bytes(struct xdp_md *ctx, __u32 offset, void *from, __u32 length)
{
	return bpf_xdp_store_bytes(ctx, offset, from, length) == 0;
}

/* A byte of the frame, or -1. */
standalone int byte_at(struct xdp_md *ctx, __u32 offset)
{
	__u8 byte;

	return load_bytes(ctx, offset, &byte, sizeof(byte)) ? byte : -1;
}

/* Two bytes of the frame as they stand there, or -1. */
standalone int half_at(struct xdp_md *ctx, __u32 offset)
{
	__u16 half;

	return load_bytes(ctx, offset, &half, sizeof(half)) ? half : -1;
}

/* Writes two bytes of the frame as `half_at` reads them. */
standalone int put_half(struct xdp_md *ctx, __u32 offset, __u32 value)
{
	__u16 half = value;

	return store_bytes(ctx, offset, &half, sizeof(half));
}

/* Behind the last byte of a packet, in the frame. */
static __always_inline __u32 end_of(const struct packet *packet)
{
	return IP_OFFSET + packet->length;
}

/* As `drop`, for functions that return an XDP action. */
static __always_inline int discard(__u32 reason)
{
	drop(reason);
	return XDP_DROP;
}

#endif

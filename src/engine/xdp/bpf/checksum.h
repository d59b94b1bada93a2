/* SPDX-License-Identifier: Apache-2.0 */
/* Internet checksums (RFC 1071) over any length: sums of 16-bit words as this machine reads them. */
#ifndef BATON_CHECKSUM_H
#define BATON_CHECKSUM_H

#include "scratch.h"

/* Chunks of the longest packet and its odd end. */
#define CHUNKS_MAX (65536 / CHUNK + 3)

struct summing {
	struct xdp_md *ctx;
	struct scratch *scratch;
};

/* The next chunk, or the odd bytes behind the last whole word. */
static long add_chunk(__u32 step, struct summing *summing)
{
	struct scratch *scratch = summing->scratch;
	__u32 at = scratch->at;
	__u32 left = scratch->end - at;

	if (left >= 4) {
		left = left > CHUNK ? CHUNK : left & ~3u;
		opaque(left);
		if (left < 4 || left > CHUNK)
			return 1;
		if (!load_bytes(summing->ctx, at, scratch->chunk, left))
			return 1;
		scratch->sum += (__u32)bpf_csum_diff(0, 0, (__be32 *)scratch->chunk, left, 0);
		scratch->at = at + left;
		return 0;
	}
	opaque(left);
	scratch->rest = 0;
	if (left >= 1 && left <= 3 && load_bytes(summing->ctx, at, &scratch->rest, left)) {
		scratch->sum += scratch->rest;
		scratch->at = at + left;
	}
	return 1;
}

/* The folded sum of `length` bytes of the frame. */
standalone __u32 sum_frame(struct xdp_md *ctx, __u32 offset, __u32 length)
{
	struct summing summing = { .ctx = ctx, .scratch = scratch_of() };

	if (!summing.scratch)
		return 0;
	summing.scratch->at = offset;
	summing.scratch->end = offset + length;
	summing.scratch->sum = 0;
	if (length == 0 || length > 65536)
		return 0;
	bpf_loop(CHUNKS_MAX, add_chunk, &summing, 0);
	return fold64(summing.scratch->sum);
}

/* The sum of words in memory, whose length is a multiple of four bytes that is known at compile time. */
static __always_inline __u32 sum_memory(const void *from, __u32 length)
{
	return (__u32)bpf_csum_diff(0, 0, (__be32 *)from, length, 0);
}

/* The pseudo-header of IPv6 (RFC 8200 section 8.1), not folded. */
static __always_inline __u64 pseudo_sum(const __u32 *source, const __u32 *target, __u32 length, __u8 protocol)
{
	__u64 sum = bpf_htonl(length);

	sum += (__u32)protocol << 8;
	for (int i = 0; i < 4; i++)
		sum += (__u64)source[i] + target[i];
	/* The protocol stands in the last byte of a word, which is the high one of its half here. */
	return sum;
}

#endif

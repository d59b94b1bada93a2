/* SPDX-License-Identifier: Apache-2.0 */
/* What C and BPF lack. */
#ifndef BATON_BITS_H
#define BATON_BITS_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Another processor may write it, or read it, at any time. */
#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))

/* Keeps the compiler from proving a bound that the verifier then cannot see. */
#define opaque(x) asm volatile("" : "+r"(x))

/* Folds a ones' complement sum to 16 bits (RFC 1071). */
static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The same for a sum of more than 2^16 words. */
static __always_inline __u16 fold64(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return fold((sum & 0xffff) + (sum >> 16));
}

/* src/lib/hash.ts: a pair of directors with different engines chooses the same real server. */
static __always_inline __u32 mix_word(__u32 state, __u32 word)
{
	word *= 0xcc9e2d51;
	word = (word << 15) | (word >> 17);
	state ^= word * 0x1b873593;
	state = (state << 13) | (state >> 19);
	return state * 5 + 0xe6546b64;
}

static __always_inline __u32 finish_hash(__u32 state)
{
	state ^= state >> 16;
	state *= 0x85ebca6b;
	state ^= state >> 13;
	state *= 0xc2b2ae35;
	return state ^ (state >> 16);
}

#endif

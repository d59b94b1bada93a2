/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that C and BPF lack. */
#ifndef BATON_BITS_H
#define BATON_BITS_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/*
 * A function that the verifier checks once, by itself, and not at each call: otherwise the paths through all functions
 * together are too many. Its pointers may be null, and it returns a number.
 */
#define standalone __attribute__((noinline))

/*
 * One for each address family: the verifier must know which table an entry stands in. Written once, as `name_of`, with
 * the family as its last parameter.
 */
#define FOR_FAMILIES(name, type, parameter, parameters, ...)                                                           \
	standalone int name##4(type *parameter parameters)                                                             \
	{                                                                                                              \
		return parameter ? name##_of(parameter, ##__VA_ARGS__, 0) : 0;                                         \
	}                                                                                                              \
	standalone int name##6(type *parameter parameters)                                                             \
	{                                                                                                              \
		return parameter ? name##_of(parameter, ##__VA_ARGS__, 1) : 0;                                         \
	}

/* The same for functions of an entry, which is handed over with its key. */
#define FOR_ENTRIES(name, parameters, ...)                                                                             \
	standalone int name##4(struct entry4 *outer parameters)                                                        \
	{                                                                                                              \
		return outer ? name##_of(&outer->common, ##__VA_ARGS__, 0) : 0;                                        \
	}                                                                                                              \
	standalone int name##6(struct entry6 *outer parameters)                                                        \
	{                                                                                                              \
		return outer ? name##_of(&outer->common, ##__VA_ARGS__, 1) : 0;                                        \
	}

#define AND ,

/* Calls the variant for a family that is known at compile time. */
#define CALL(name, ipv6, ...) ((ipv6) ? name##6(__VA_ARGS__) : name##4(__VA_ARGS__))
#define CALL_ENTRY(name, ipv6, entry, ...)                                                                             \
	((ipv6) ? name##6(outer6(entry), ##__VA_ARGS__) : name##4(outer4(entry), ##__VA_ARGS__))

/*
 * An element of an array, or 0. The key takes eight bytes of the stack: without CAP_PERFMON the verifier does not let
 * four overwrite half of where a pointer was kept before.
 */
#define element(map, index)                                                                                            \
	({                                                                                                             \
		__u64 key_ = (index);                                                                                  \
		bpf_map_lookup_elem(map, &key_);                                                                       \
	})

/* Another processor may write it, or read it, at any time. */
#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))

/* Keeps the compiler from using a bound that the verifier cannot see. */
#define opaque(x) asm volatile("" : "+r"(x))

/* At the end of a branch: keeps the compiler from merging it with another into one that has a variable address. */
#define keep_apart() asm volatile("" ::: "memory")

/*
 * Makes the verifier forget what it knows about a number, by way of another that it knows nothing about. Without
 * CAP_PERFMON an index into a map value must have the same bounds on all paths, or the verifier refuses the addition.
 */
#define forget_bounds(x, unknown)                                                                                      \
	do {                                                                                                           \
		__u32 veil_ = (unknown);                                                                               \
		(x) ^= veil_;                                                                                          \
		opaque(x);                                                                                             \
		(x) ^= veil_;                                                                                          \
		opaque(x);                                                                                             \
	} while (0)

/*
 * The address at an offset that is not known when compiling, but bounded. The base is added to the offset and not the
 * other way round: without CAP_PERFMON the verifier accepts only this on the paths that it follows speculatively (Linux
 * 6.8 to 6.18).
 */
static __always_inline void *at_offset(void *base, __u64 offset)
{
	asm volatile("%0 += %1" : "+r"(offset) : "r"(base));
	return (void *)offset;
}

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

/* The same as in src/lib/hash.ts: a pair of directors with different engines chooses the same real server. */
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

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection table: buckets of four entries, one pair of cache lines in IPv4. An entry whose bucket is full stands
 * in the next of its choices, and its bucket is marked permanently. That is rare, because half of the slots are never
 * used.
 *
 * Nothing is locked. A slot is taken, a state changed and an entry removed by compare-and-swap on the entry's head, which
 * carries a generation: of two processors one wins, and the other sees that it has lost. Two that open the same flow at
 * the same moment may leave two entries, of which one is found and the other expires.
 *
 * Only the processor that has won a head changes counters, according to that head, so counters are exact. All other
 * fields are written by plain stores. A processor that is held up between finding an entry and writing to it may find
 * the slot taken by another connection: it then follows its packet as one of that connection, or writes its time there,
 * until the next packet or the sweep puts it right. A limit may be exceeded by one entry for each processor.
 */
#ifndef BATON_ENTRY_H
#define BATON_ENTRY_H

#include "entry-time.h"
#include "server-load.h"
#include "tally.h"

#define CHOICES 8

#define GENERATION_STEP (1u << ENTRY_GENERATION_SHIFT)
#define GENERATION_MASK (~(GENERATION_STEP - 1))

static __always_inline __u64 mix64(__u64 hash)
{
	hash *= 0x9e3779b97f4a7c15ULL;
	return hash ^ (hash >> 32);
}

static __always_inline __u64 hash_flow4(__u32 client, __u32 virtual_address, __u32 ports, __u32 key)
{
	__u64 hash = mix64((((__u64)client << 32) | ports) ^ hash_seed);

	return mix64(mix64(hash + (((__u64)virtual_address << 32) | key)) + hash_seed);
}

static __always_inline __u64 hash_flow6(const struct flow *flow)
{
	__u64 hash = hash_seed;

	hash = mix64(hash ^ (((__u64)flow->client[0] << 32) | flow->client[1]));
	hash = mix64(hash ^ (((__u64)flow->client[2] << 32) | flow->client[3]));
	hash = mix64(hash + (((__u64)flow->virtual_address[0] << 32) | flow->virtual_address[1]));
	hash = mix64(hash + (((__u64)flow->virtual_address[2] << 32) | flow->virtual_address[3]));
	hash = mix64(hash + (((__u64)flow->ports << 32) | flow->key));
	return mix64(hash + hash_seed);
}

/* The bucket of a choice, spread over `buckets` without a division. */
static __always_inline __u32 choose_bucket(__u64 hash, __u32 choice, __u32 buckets)
{
	__u32 spread = (__u32)hash + choice * ((__u32)(hash >> 32) | 1);

	return ((__u64)spread * buckets) >> 32;
}

/* 1 for 0, else 0: without a branch, of which the verifier would follow both sides for each entry of each bucket. */
static __always_inline __u32 is_zero(__u32 word)
{
	word |= -word;
	opaque(word);
	return (word >> 31) ^ 1;
}

/* The lowest of the ways in a mask that is not 0. */
static __always_inline __u32 lowest_way(__u32 mask)
{
	__u32 lowest = mask & -mask;

	return ((lowest >> 1) - (lowest >> 3)) & (WAYS - 1);
}

/* The way of its bucket that a flow takes if it is free, so that most entries are found in one cache line. */
static __always_inline __u32 first_way4(__u64 hash)
{
	return (hash >> 63) << 1;
}

static __always_inline __u32 first_way6(__u64 hash)
{
	return hash >> 62;
}

/* The first way from `first` on that a mask, which is not 0, has. */
static __always_inline __u32 way_from(__u32 first, __u32 mask)
{
	return (lowest_way(((mask >> first) | (mask << (WAYS - first))) & ((1 << WAYS) - 1)) + first) & (WAYS - 1);
}

static __always_inline __u32 is_flow4(struct entry4 *entry, __u32 client, __u32 virtual_address, __u32 ports, __u32 key)
{
	return is_zero((entry->client ^ client) | (entry->common.ports ^ ports) |
		       (entry->virtual_address ^ virtual_address) | ((READ_ONCE(entry->common.head) & ENTRY_KEY) ^ key));
}

/* The ways of a bucket in which a flow stands, as a mask. */
static __always_inline __u32 scan4(struct bucket4 *bucket, __u32 client, __u32 virtual_address, __u32 ports, __u32 key)
{
	__u32 mask = 0;

#pragma unroll
	for (int i = 0; i < WAYS; i++)
		mask |= is_flow4(&bucket->entries[i], client, virtual_address, ports, key) << i;
	return mask;
}

static __always_inline __u32 difference(const __u32 *a, const __u32 *b)
{
	return (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]);
}

static __always_inline __u32 is_flow6(struct entry6 *entry, const struct flow *flow)
{
	return is_zero((entry->common.ports ^ flow->ports) | difference(entry->client, flow->client) |
		       difference(entry->virtual_address, flow->virtual_address) |
		       ((READ_ONCE(entry->common.head) & ENTRY_KEY) ^ flow->key));
}

static __always_inline __u32 scan6(struct bucket6 *bucket, const struct flow *flow)
{
	__u32 mask = 0;

#pragma unroll
	for (int i = 0; i < WAYS; i++)
		mask |= is_flow6(&bucket->entries[i], flow) << i;
	return mask;
}

/* The ways of a bucket that are free, as a mask. */
static __always_inline __u32 free_ways4(struct bucket4 *bucket)
{
	__u32 mask = 0;

#pragma unroll
	for (int i = 0; i < WAYS; i++)
		mask |= is_zero(READ_ONCE(bucket->entries[i].common.head) & (ENTRY_USED | ENTRY_BUSY)) << i;
	return mask;
}

static __always_inline __u32 free_ways6(struct bucket6 *bucket)
{
	__u32 mask = 0;

#pragma unroll
	for (int i = 0; i < WAYS; i++)
		mask |= is_zero(READ_ONCE(bucket->entries[i].common.head) & (ENTRY_USED | ENTRY_BUSY)) << i;
	return mask;
}

static __always_inline struct entry4 *slot_of4(struct bucket4 *bucket, __u32 way)
{
	return at_offset(bucket->entries, way * sizeof(struct entry4));
}

static __always_inline struct entry6 *slot_of6(struct bucket6 *bucket, __u32 way)
{
	return at_offset(bucket->entries, way * sizeof(struct entry6));
}

#define NO_SLOT 0xffffffffu

/* A search for a flow through the choices behind the first, or for a slot through all of them. */
struct quest {
	__u64 hash;
	struct flow flow;
	/* The reference of what was found, or NO_SLOT. */
	__u32 found;
	__u32 reserved;
};

static long look_in4(__u32 step, struct quest *quest)
{
	__u32 index = choose_bucket(quest->hash, step + 1, buckets4);
	struct bucket4 *bucket = element(&table4, index);
	__u32 mask;

	if (!bucket)
		return 1;
	mask = scan4(bucket, quest->flow.client[0], quest->flow.virtual_address[0], quest->flow.ports, quest->flow.key);
	if (mask) {
		quest->found = index * WAYS + lowest_way(mask);
		return 1;
	}
	return !READ_ONCE(bucket->entries[0].common.spilled);
}

static long look_in6(__u32 step, struct quest *quest)
{
	__u32 index = choose_bucket(quest->hash, step + 1, buckets6);
	struct bucket6 *bucket = element(&table6, index);
	__u32 mask;

	if (!bucket)
		return 1;
	mask = scan6(bucket, &quest->flow);
	if (mask) {
		quest->found = (index * WAYS + lowest_way(mask)) | REFERENCE_IPV6;
		return 1;
	}
	return !READ_ONCE(bucket->entries[0].common.spilled);
}

/* The reference of a flow's entry in the choices behind the first, or NO_SLOT. */
static __always_inline __u32 search4(__u32 client, __u32 virtual_address, __u32 ports, __u32 key)
{
	struct quest quest = { .hash = hash_flow4(client, virtual_address, ports, key), .found = NO_SLOT };

	quest.flow.client[0] = client;
	quest.flow.virtual_address[0] = virtual_address;
	quest.flow.ports = ports;
	quest.flow.key = key;
	bpf_loop(CHOICES - 1, look_in4, &quest, 0);
	return quest.found;
}

static __always_inline __u32 search6(const struct flow *flow)
{
	struct quest quest = { .hash = hash_flow6(flow), .flow = *flow, .found = NO_SLOT };

	bpf_loop(CHOICES - 1, look_in6, &quest, 0);
	return quest.found;
}

standalone int find_spilled4(__u32 client, __u32 virtual_address, __u32 ports, __u32 key)
{
	return search4(client, virtual_address, ports, key);
}

standalone int find_spilled6(const struct flow *flow)
{
	return flow ? search6(flow) : NO_SLOT;
}

static __always_inline struct entry *entry4_at(__u32 reference)
{
	__u32 index = reference / WAYS;
	struct bucket4 *bucket = element(&table4, index);

	if (!bucket)
		return 0;
	opaque(reference);
	return &slot_of4(bucket, reference & (WAYS - 1))->common;
}

static __always_inline struct entry *entry6_at(__u32 reference)
{
	__u32 index = (reference & ~REFERENCE_IPV6) / WAYS;
	struct bucket6 *bucket = element(&table6, index);

	if (!bucket)
		return 0;
	opaque(reference);
	return &slot_of6(bucket, reference & (WAYS - 1))->common;
}

/* The entry at a reference, of either family. */
static __always_inline struct entry *entry_at(__u32 reference)
{
	return reference & REFERENCE_IPV6 ? entry6_at(reference) : entry4_at(reference);
}

/* `key`: protocol | ENTRY_USED, see struct flow. */
static __always_inline struct entry *find4(__u32 client, __u32 virtual_address, __u32 ports, __u32 key)
{
	__u64 hash = hash_flow4(client, virtual_address, ports, key);
	__u32 index = choose_bucket(hash, 0, buckets4);
	struct bucket4 *bucket = element(&table4, index);
	__u32 way = first_way4(hash);
	struct entry4 *line;
	__u32 mask, reference;

	if (!bucket)
		return 0;
	/* The two entries of one cache line; then all four. */
	line = slot_of4(bucket, way);
	mask = is_flow4(line, client, virtual_address, ports, key);
	if (likely(mask | is_flow4(line + 1, client, virtual_address, ports, key)))
		return &slot_of4(bucket, way + (mask ^ 1))->common;
	mask = scan4(bucket, client, virtual_address, ports, key);
	if (mask != 0)
		return &slot_of4(bucket, lowest_way(mask))->common;
	if (likely(!READ_ONCE(bucket->entries[0].common.spilled)))
		return 0;
	reference = find_spilled4(client, virtual_address, ports, key);
	return reference == NO_SLOT ? 0 : entry4_at(reference);
}

static __always_inline struct entry *find6(const struct flow *flow)
{
	__u64 hash = hash_flow6(flow);
	__u32 index = choose_bucket(hash, 0, buckets6);
	struct bucket6 *bucket = element(&table6, index);
	struct entry6 *first;
	__u32 mask, reference;

	if (!bucket)
		return 0;
	first = slot_of6(bucket, first_way6(hash));
	if (likely(is_flow6(first, flow)))
		return &first->common;
	mask = scan6(bucket, flow);
	if (mask != 0)
		return &slot_of6(bucket, lowest_way(mask))->common;
	if (likely(!READ_ONCE(bucket->entries[0].common.spilled)))
		return 0;
	reference = find_spilled6(flow);
	return reference == NO_SLOT ? 0 : entry6_at(reference);
}

/* The reference of a flow's entry, or NO_SLOT: for the paths that need not be short. */
standalone int locate4(const struct flow *flow)
{
	struct bucket4 *bucket;
	__u32 index, mask;

	if (!flow)
		return NO_SLOT;
	index = choose_bucket(hash_flow4(flow->client[0], flow->virtual_address[0], flow->ports, flow->key), 0, buckets4);
	bucket = element(&table4, index);
	if (!bucket)
		return NO_SLOT;
	mask = scan4(bucket, flow->client[0], flow->virtual_address[0], flow->ports, flow->key);
	if (mask)
		return index * WAYS + lowest_way(mask);
	if (!READ_ONCE(bucket->entries[0].common.spilled))
		return NO_SLOT;
	return search4(flow->client[0], flow->virtual_address[0], flow->ports, flow->key);
}

standalone int locate6(const struct flow *flow)
{
	struct bucket6 *bucket;
	__u32 index, mask;

	if (!flow)
		return NO_SLOT;
	index = choose_bucket(hash_flow6(flow), 0, buckets6);
	bucket = element(&table6, index);
	if (!bucket)
		return NO_SLOT;
	mask = scan6(bucket, flow);
	if (mask)
		return (index * WAYS + lowest_way(mask)) | REFERENCE_IPV6;
	return READ_ONCE(bucket->entries[0].common.spilled) ? search6(flow) : NO_SLOT;
}

static __always_inline struct entry *find_flow(const struct flow *flow, int ipv6)
{
	__u32 reference = ipv6 ? locate6(flow) : locate4(flow);

	if (reference == NO_SLOT)
		return 0;
	return ipv6 ? entry6_at(reference) : entry4_at(reference);
}

static __always_inline struct entry4 *outer4(struct entry *entry)
{
	return (void *)entry - __builtin_offsetof(struct entry4, common);
}

static __always_inline struct entry6 *outer6(struct entry *entry)
{
	return (void *)entry - __builtin_offsetof(struct entry6, common);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* All maps. Sizes that depend on the host or the configuration are set by the loader before it loads the object. */
#ifndef BATON_MAPS_H
#define BATON_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"

/* Set before loading: the verifier removes the branches that they rule out. */
const volatile __u32 buckets4 = 1;
const volatile __u32 buckets6 = 1;
const volatile __u32 half_open_max = 1;
const volatile __u32 established_max = 1;
/* A power of two, minus one. */
const volatile __u32 ring_mask = 0;
const volatile __u32 destinations_max = 1;
const volatile __u32 services_max = 1;
const volatile __u32 processors = 1;
/* Unguessable, so that nobody can choose flows that meet in a bucket. */
const volatile __u64 hash_seed = 0;
/* How far the coarse clock may lag behind, in nanoseconds: a lease ends that much earlier here. */
const volatile __u64 clock_lag = 0;
/* How far `last_seen` of an entry may lag behind, in milliseconds. */
const volatile __u32 seen_grain = 0;
/* For tests: the time is read from `settings`. */
const volatile __u8 test_clock = 0;

struct settings settings SEC(".data.settings");
struct totals totals SEC(".data.totals");

#define ARRAY(name_, value_, count_)                                                                                   \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__uint(map_flags, BPF_F_MMAPABLE);                                                                     \
		__uint(max_entries, count_);                                                                           \
		__type(key, __u32);                                                                                    \
		__type(value, value_);                                                                                 \
	} name_ SEC(".maps")

#define HASH(name_, key_, value_, count_)                                                                              \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_HASH);                                                                       \
		__uint(max_entries, count_);                                                                           \
		__type(key, key_);                                                                                     \
		__type(value, value_);                                                                                 \
	} name_ SEC(".maps")

/* Mappable ones begin at a page, so that buckets and lines are aligned. */
ARRAY(table4, struct bucket4, 1);
ARRAY(table6, struct bucket6, 1);
ARRAY(half_open_ring, struct half_open_slot, 1);
ARRAY(destinations, struct destination, 1);
ARRAY(loads, struct load, 1);
ARRAY(services, struct service, 1);
ARRAY(slots, struct slot, 1);
ARRAY(traffic, struct traffic, 1);
ARRAY(tallies, struct tally, 1);
ARRAY(ports, struct port, PORTS);
/*
 * Leases, then a word that the portable engine uses, then since when each lease has been held without a break, then signs of
 * life (see publisher.h) and another word of the portable engine.
 */
ARRAY(leases, struct lease, 2 * LEASE_SLOTS + SIGNS + 2);
ARRAY(mailbox, struct mailbox, MAILBOXES);

HASH(addresses4, __u32, struct address, 4096);
struct address6 {
	__u32 words[4];
};
HASH(addresses6, struct address6, struct address, 4096);
/* Virtual services by endpoint, and the first destination with an endpoint. */
HASH(services4, struct endpoint4, __u32, 4096);
HASH(services6, struct endpoint6, __u32, 4096);
HASH(real_servers4, struct endpoint4, __u32, 16384);
HASH(real_servers6, struct endpoint6, __u32, 16384);

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct prefix4);
	__type(value, struct route);
} routes4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct prefix6);
	__type(value, struct route);
} routes6 SEC(".maps");

HASH(neighbours, struct neighbour_key, struct neighbour, 16384);

/* MAC addresses of on-link clients as their frames show them, until the kernel has resolved them. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct neighbour_key);
	__type(value, struct neighbour);
} heard_neighbours SEC(".maps");

/* The interfaces to redirect to, by index modulo PORTS. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, PORTS);
	__type(key, __u32);
	__type(value, __u32);
} egress SEC(".maps");

/* Connection events: struct record. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} events SEC(".maps");

/* struct missing_neighbour. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} missing_neighbours SEC(".maps");

#endif

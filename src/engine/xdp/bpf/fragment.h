/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends the fragments of a datagram after the first one, which alone names its ports. The bytes that have gone by are
 * remembered in units of 8, so that no fragment overwrites bytes of another (RFC 1858, RFC 5722).
 */
#ifndef BATON_FRAGMENT_H
#define BATON_FRAGMENT_H

#include "forward.h"
#include "scratch.h"

/* Datagrams whose fragments are followed at one time; one more pushes the oldest out. */
#define DATAGRAMS_MAX 4096
/* As ipfrag_time in Linux: how long the fragments of a datagram may take, in milliseconds. */
#define DATAGRAM_TIMEOUT 30000
/* A datagram has at most so many bytes, and fragments begin at multiples of 8. */
#define DATAGRAM_LENGTH_MAX 65535
#define UNITS_PER_WORD 64
#define BITMAP_WORDS (65536 / 8 / UNITS_PER_WORD)

enum datagram_flag {
	/* A real server's datagram, to its client. */
	DATAGRAM_OUTBOUND = 1 << 0,
	/* Fragments overlapped: nothing of it is forwarded. */
	DATAGRAM_SPOILT = 1 << 1,
};

struct datagram_name {
	__u32 source[4];
	__u32 target[4];
	__u32 identification;
	/* Identifies a datagram in IPv4 only; 0 in IPv6 (RFC 8200 section 4.5). */
	__u16 protocol;
	__u16 ipv6;
};

struct datagram {
	__u32 destination;
	__u32 started_at;
	__u32 flags;
	/* Behind the last byte, once the last fragment has come; else 0. */
	__u32 total;
	/* Units that have gone by. */
	__u32 count;
	__u32 reserved;
	__u64 seen[BITMAP_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, DATAGRAMS_MAX);
	__type(key, struct datagram_name);
	__type(value, struct datagram);
} datagrams SEC(".maps");

/* A datagram of which nothing has gone by, as the initial value: it is too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct datagram);
} blank_datagrams SEC(".maps");

/* Units of a datagram's bitmap, and their former value. */
struct marking {
	struct datagram *datagram;
	__u32 from;
	__u32 to;
	/* Whether any of them was marked, and whether any was not. */
	__u32 any;
	__u32 missing;
};

static __always_inline void name_datagram(struct datagram_name *name, const struct packet *packet)
{
	copy_address(name->source, packet->flow.client);
	copy_address(name->target, packet->flow.virtual_address);
	name->identification = packet->identification;
	name->protocol = packet->ipv6 ? 0 : packet->protocol;
	name->ipv6 = packet->ipv6;
}

/* The drop reason for a fragment whose length and offset cannot be true, or -1. */
static __always_inline int fault_of_fragment(const struct packet *packet)
{
	__s32 length = end_of(packet) - packet->fragment_start;
	/* The headers count too: the whole would otherwise be longer than any packet may be ("ping of death"). */
	__s32 headers = packet->ipv6 ? 0 : packet->fragment_start - IP_OFFSET;

	if (length <= 0 || (packet->more_fragments && (length & 7)))
		return DROP_FRAGMENT_MALFORMED;
	return headers + packet->fragment_offset + length > DATAGRAM_LENGTH_MAX ? DROP_FRAGMENT_MALFORMED : -1;
}

/* The datagram that a fragment belongs to, or 0. */
static __always_inline struct datagram *find_datagram(const struct packet *packet)
{
	struct datagram_name name;
	struct datagram *datagram;

	name_datagram(&name, packet);
	datagram = bpf_map_lookup_elem(&datagrams, &name);
	if (!datagram || age_of(datagram->started_at, packet->now) < DATAGRAM_TIMEOUT)
		return datagram;
	bpf_map_delete_elem(&datagrams, &name);
	return 0;
}

/* Marks the units of one word. Two processors that mark the same unit: one of them sees that it was marked. */
static long mark_word(__u32 step, struct marking *marking)
{
	__u32 word = marking->from / UNITS_PER_WORD + step;
	__u32 first = word * UNITS_PER_WORD;
	__u64 before, bits = ~0ULL;

	if (first >= marking->to)
		return 1;
	if (marking->from > first)
		bits <<= (marking->from - first) & 63;
	if (marking->to < first + UNITS_PER_WORD)
		bits &= ~(~0ULL << ((marking->to - first) & 63));
	opaque(word);
	word &= BITMAP_WORDS - 1;
	before = __sync_fetch_and_or(&marking->datagram->seen[word], bits);
	marking->any |= (before & bits) != 0;
	marking->missing |= (~before & bits) != 0;
	return 0;
}

/* Whether a unit at `from` or behind it is marked. */
static long look_at_word(__u32 step, struct marking *marking)
{
	__u32 word = marking->from / UNITS_PER_WORD + step;
	__u64 bits = step ? ~0ULL : ~0ULL << (marking->from & 63);

	if (word >= BITMAP_WORDS)
		return 1;
	opaque(word);
	word &= BITMAP_WORDS - 1;
	if (!(READ_ONCE(marking->datagram->seen[word]) & bits))
		return 0;
	marking->any = 1;
	return 1;
}

/*
 * Takes a fragment that has no fault. Returns a drop reason, or -1. A fragment whose bytes have all gone by is a
 * duplicate; one that overlaps in part spoils the datagram, of which nothing is forwarded from then on (RFC 5722
 * section 3).
 */
static __noinline int accept_fragment(struct packet *packet, struct datagram *datagram)
{
	__u32 end = packet->fragment_offset + end_of(packet) - packet->fragment_start;
	__u32 total = READ_ONCE(datagram->total);
	struct marking marking = {
		.datagram = datagram,
		.from = packet->fragment_offset / 8,
		.to = (end + 7) / 8,
	};
	int contradicts = total && (packet->more_fragments ? end >= total : end != total);

	if (READ_ONCE(datagram->flags) & DATAGRAM_SPOILT)
		return DROP_FRAGMENT_OVERLAP;
	bpf_loop(BITMAP_WORDS, mark_word, &marking, 0);
	if (contradicts || marking.any) {
		if (contradicts || marking.missing)
			__sync_fetch_and_or(&datagram->flags, DATAGRAM_SPOILT);
		return DROP_FRAGMENT_OVERLAP;
	}
	if (!packet->more_fragments) {
		marking.from = marking.to;
		bpf_loop(BITMAP_WORDS, look_at_word, &marking, 0);
		if (marking.any) {
			__sync_fetch_and_or(&datagram->flags, DATAGRAM_SPOILT);
			return DROP_FRAGMENT_OVERLAP;
		}
		WRITE_ONCE(datagram->total, end);
	}
	__sync_fetch_and_add(&datagram->count, marking.to - packet->fragment_offset / 8);
	return -1;
}

/* Remembers where the first fragment goes: to `packet->destination`, or to the client of its reply (`outbound`). */
static __always_inline void begin_datagram(struct packet *packet, int outbound)
{
	struct datagram *datagram;
	struct datagram_name name;
	__u32 key = 0;

	datagram = bpf_map_lookup_elem(&blank_datagrams, &key);
	if (!datagram)
		return;
	datagram->destination = packet->destination;
	datagram->started_at = packet->now;
	datagram->flags = outbound ? DATAGRAM_OUTBOUND : 0;
	name_datagram(&name, packet);
	bpf_map_update_elem(&datagrams, &name, datagram, BPF_ANY);
	datagram = bpf_map_lookup_elem(&datagrams, &name);
	if (datagram)
		accept_fragment(packet, datagram);
}

/* The whole datagram has gone by: its identification may be used again. */
static __always_inline void finish_datagram(struct packet *packet, struct datagram *datagram)
{
	__u32 total = READ_ONCE(datagram->total);
	struct datagram_name name;

	if (!total || READ_ONCE(datagram->count) != (total + 7) / 8)
		return;
	name_datagram(&name, packet);
	bpf_map_delete_elem(&datagrams, &name);
}

/* A later fragment goes where the first one went. Returns the decision. */
static __noinline int follow_fragment(struct packet *packet, struct datagram *datagram)
{
	int fault = accept_fragment(packet, datagram);
	int outbound = datagram->flags & DATAGRAM_OUTBOUND;
	__u32 number = datagram->destination;
	struct destination *destination;

	if (fault >= 0)
		return drop(fault);
	finish_datagram(packet, datagram);
	destination = destination_of(number);
	if (!destination || !(destination->flags & DESTINATION_LIVE))
		return LEAVE_ALONE;
	if (!outbound)
		return forward_in(packet, number, destination);
	copy_address(packet->virtual_address, destination->virtual_address);
	return forward_out(packet, number, destination, packet->ipv6);
}

/*
 * Whether a fragment is a valid first one. Otherwise the decision about it stands in `decision`.
 */
static __always_inline int check_fragment(struct packet *packet, int *decision)
{
	int fault = fault_of_fragment(packet);
	struct datagram *datagram;

	if (fault >= 0) {
		*decision = drop(fault);
		return 0;
	}
	datagram = find_datagram(packet);
	if (packet->fragment == FRAGMENT_LATER) {
		if (!datagram || (datagram->flags & DATAGRAM_OUTBOUND))
			*decision = drop(DROP_FRAGMENT_UNKNOWN);
		else
			*decision = follow_fragment(packet, datagram);
		return 0;
	}
	if (!datagram)
		return 1;
	/* A second first fragment: its ports may not be those of the other. */
	accept_fragment(packet, datagram);
	*decision = drop(DROP_FRAGMENT_OVERLAP);
	return 0;
}

#endif

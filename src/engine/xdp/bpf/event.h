/* SPDX-License-Identifier: Apache-2.0 */
/* Connection events for the peers, written as records into the ring that the sync thread reads. */
#ifndef BATON_EVENT_H
#define BATON_EVENT_H

#include "slot.h"
#include "lease.h"
#include "publisher.h"

/*
 * Writes an entry as a record (src/model/connection-batch.ts) into the caller's words. False: the entry is gone, or
 * another one has taken its slot meanwhile, so that the words are a mixture.
 */
static __always_inline int write_record(__u32 *words, struct entry *entry, int ipv6, __u32 event, __u32 now)
{
	/* 64 bits: see `element`. */
	__u64 head = READ_ONCE(entry->head);
	struct destination *destination = destination_of(entry->destination);

	opaque(head);
	if (!destination)
		return 0;
	words[RECORD_HEAD] = record_bits(EVENT, event) | record_bits(PROTOCOL, protocol_of(head)) |
			     record_bits(STATE, state_of(head)) | (ipv6 ? record_bits(IPV6, 1) : 0) |
			     (head & ENTRY_LOCAL ? record_bits(LOCAL, 1) : 0) |
			     record_bits(FORWARDING_METHOD, (__u32)destination->method) |
			     (is_template(head) ? record_bits(TEMPLATE, 1) : 0) |
			     /* A half-open entry has not had the chance to carry anything. */
			     ((head & (ENTRY_SECOND_CLASS | ENTRY_HALF_OPEN)) == ENTRY_SECOND_CLASS ? record_bits(SECOND_CLASS, 1) : 0);
	words[RECORD_PORTS] = bpf_ntohl(entry->ports);
	words[RECORD_REAL_PORT] = bpf_ntohs(destination->port);
	words[RECORD_IDLE] = age_of(READ_ONCE(entry->last_seen), now);
	words[RECORD_TIMEOUT] = timeout_of(entry, head);
	if (ipv6) {
		struct entry6 *outer = outer6(entry);

#pragma unroll
		for (int i = 0; i < 4; i++) {
			words[RECORD_CLIENT + i] = bpf_ntohl(outer->client[i]);
			words[RECORD_VIRTUAL + i] = bpf_ntohl(outer->virtual_address[i]);
			words[RECORD_REAL + i] = bpf_ntohl(destination->address[i]);
		}
	} else {
		struct entry4 *outer = outer4(entry);

#pragma unroll
		for (int i = 1; i < 4; i++) {
			words[RECORD_CLIENT + i] = 0;
			words[RECORD_VIRTUAL + i] = 0;
			words[RECORD_REAL + i] = 0;
		}
		words[RECORD_CLIENT] = bpf_ntohl(outer->client);
		words[RECORD_VIRTUAL] = bpf_ntohl(outer->virtual_address);
		words[RECORD_REAL] = bpf_ntohl(destination->address[0]);
	}
	return (READ_ONCE(entry->head) & (GENERATION_MASK | ENTRY_USED)) == ((head & GENERATION_MASK) | ENTRY_USED);
}

/* Hands what has been written into `events` to its reader. */
static __always_inline void submit_event(void *record)
{
	/* A reader that is awake looks by itself; waking one costs more than the packet. */
	if (READ_ONCE(settings.reader_asleep)) {
		WRITE_ONCE(settings.reader_asleep, 0);
		bpf_ringbuf_submit(record, BPF_RB_FORCE_WAKEUP);
	} else {
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	}
	time_event();
}

/* Writes an event about an entry. A full ring loses it: that is counted, and the reader exports the table again. */
static __always_inline void emit(struct entry *entry, int ipv6, __u32 event, __u32 now)
{
	struct record *record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);

	if (!record) {
		count_events(TALLY_EVENT_OVERRUNS, 1);
		return;
	}
	if (!write_record(record->words, entry, ipv6, event, now)) {
		bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
		return;
	}
	submit_event(record);
}

/* Whether an entry is local and under a valid lease: peers then accept this director's records of it. */
static __always_inline int is_held(struct entry *entry, __u64 now_ns)
{
	struct destination *destination;

	if (!(READ_ONCE(entry->head) & ENTRY_LOCAL))
		return 0;
	destination = destination_of(entry->destination);
	return destination && lease_is_valid(destination->lease_slot, now_ns);
}

/* Clears and sets flags of a head. When another processor wins, it tries again, a few times. */
static __always_inline void change_head(struct entry *entry, __u32 clear, __u32 set)
{
	for (int i = 0; i < 4; i++) {
		__u32 head = READ_ONCE(entry->head);

		if (!(head & ENTRY_USED) || ((head & ~clear) | set) == head)
			return;
		if (__sync_val_compare_and_swap(&entry->head, head, (head & ~clear) | set) == head)
			return;
	}
}

static __always_inline int publish_of(struct entry *entry, __u32 event, __u32 now, int ipv6)
{
	/* The slot has been taken again by a half-open entry, whose stamp is a position. */
	if (READ_ONCE(entry->head) & ENTRY_HALF_OPEN)
		return 0;
	change_head(entry, 0, ENTRY_PUBLISHED);
	WRITE_ONCE(entry->stamp, now);
	emit(entry, ipv6, event, now);
	return 0;
}

/* Reports an entry of the established table to the peers. */
FOR_ENTRIES(publish, AND __u32 event AND __u32 now, event, now)

static __always_inline int publish_begun_of(struct entry *entry, __u32 now, int ipv6)
{
	if (READ_ONCE(entry->head) & ENTRY_HALF_OPEN)
		emit(entry, ipv6, EVENT_UPSERT, now);
	return 0;
}

/*
 * The SYN of a new connection has come. Its entry does not count as published: the peers are not told when it expires
 * half-open, since their copies expire with it.
 */
FOR_ENTRIES(publish_begun, AND __u32 now, now)

static __always_inline int close_entry_of(struct entry *entry, __u32 head, __u32 now, __u64 now_ns, int ipv6)
{
	if (!(head & ENTRY_USED))
		return 0;
	if ((head & ENTRY_PUBLISHED) && is_held(entry, now_ns))
		emit(entry, ipv6, EVENT_REMOVE, now);
	return remove_entry(entry, head, ipv6);
}

/*
 * Removes an entry that the caller has judged by this head, unless the head has changed since. When the entry was
 * published by this director, its removal is reported to the peers first.
 */
FOR_ENTRIES(close_entry, AND __u32 head AND __u32 now AND __u64 now_ns, head, now, now_ns)

#endif

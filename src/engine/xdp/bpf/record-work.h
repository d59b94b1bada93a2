/* SPDX-License-Identifier: Apache-2.0 */
/* Applying the records of a peer to the table: a mailbox of them at a time, as the other work of table-work.h. */
#ifndef BATON_RECORD_WORK_H
#define BATON_RECORD_WORK_H

#include "table-work.h"

/* Longer than any timeout that can be configured: a longer one from a peer is ignored. */
#define TIMEOUT_MAX (31u * 86400000u)

/* A search for the real server of a service that a record names. */
struct match {
	__u32 address[4];
	__u16 port;
	__u16 reserved;
	__u32 first;
	__u32 found;
};

static long match_destination(__u32 step, struct match *match)
{
	__u32 number = slot_at(match->first + step);
	struct destination *destination = destination_of(number);

	if (!destination || destination->port != match->port || !same_address(destination->address, match->address))
		return 0;
	match->found = number;
	return 1;
}

/* This director's real server with the record's endpoint; its own forwarding method holds, as in IPVS. */
standalone int find_recorded(const struct flow *flow, const struct record *record, int ipv6)
{
	struct match match = { .found = NO_DESTINATION };
	struct service *service;
	__u64 list;
	int number;

	if (!flow || !record)
		return NO_DESTINATION;
	number = find_service(flow->virtual_address, target_port(flow->ports), protocol_of(flow->key), ipv6);
	if (number < 0)
		return NO_DESTINATION;
	service = service_of(number);
	if (!service)
		return NO_DESTINATION;
	for (int i = 0; i < 4; i++)
		match.address[i] = bpf_htonl(record->words[RECORD_REAL + i]);
	match.port = bpf_htons(record->words[RECORD_REAL_PORT]);
	list = READ_ONCE(service->destinations);
	match.first = (__u32)list;
	bpf_loop(list >> 32, match_destination, &match, 0);
	return match.found;
}

enum import_verdict {
	IMPORT_APPLIED,
	IMPORT_REFUSED_LOCAL,
	IMPORT_REFUSED_UNKNOWN,
	IMPORT_REFUSED_METHOD,
	IMPORT_REFUSED_FULL,
};

/* `head`: as for `learn`. For an entry of the first class one of the second gives way. */
static __always_inline int has_room(const struct flow *flow, __u32 head)
{
	if (head & ENTRY_HALF_OPEN)
		return !half_open_full();
	if (!is_template(flow->key) && protocol_of(flow->key) == PROTOCOL_UDP)
		return !established_udp_full();
	if (is_template(flow->key) || (head & ENTRY_SECOND_CLASS))
		return !established_full();
	return make_established_room();
}

/*
 * Whether this director's word of an entry counts, and not a peer's record: the entry is held, and has carried a packet since
 * the lease was taken over. One that is older may be of a connection that is long over: the peer's last records of another
 * in its place, from just before a handover, come after the lease.
 */
static __always_inline int is_current(struct entry *entry, __u64 now_ns)
{
	struct destination *destination;
	__u32 since_slot, since;
	struct lease *lease;

	if (!is_held(entry, now_ns))
		return 0;
	destination = destination_of(entry->destination);
	if (!destination || destination->lease_slot == LEASE_ENDLESS)
		return 1;
	since_slot = LEASE_SLOTS + 1 + destination->lease_slot;
	lease = element(&leases, since_slot);
	since = lease ? READ_ONCE(lease->valid_until) / 1000000 : 0;
	return (__s32)(READ_ONCE(entry->last_seen) - since) >= 0;
}

/* The peer's timeout holds until a packet passes here: with it the copy lives exactly as long as the original. */
static __always_inline void read_times(struct entry *entry, const struct record *record, __u32 now)
{
	__s32 idle = record->words[RECORD_IDLE];
	__u32 timeout = record->words[RECORD_TIMEOUT];

	WRITE_ONCE(entry->last_seen, now - (idle > 0 ? idle : 0));
	if (timeout > 0 && timeout <= TIMEOUT_MAX)
		WRITE_ONCE(entry->timeout, timeout);
}

static __always_inline int learn_of(const struct flow *flow, __u32 number, const struct record *record, __u32 head,
				    struct work *work, int ipv6)
{
	struct entry *rival, *entry;
	__u32 timeout, reference, seen;

	if (!record || !work)
		return IMPORT_REFUSED_UNKNOWN;
	if (!has_room(flow, head))
		return IMPORT_REFUSED_FULL;
	rival = is_template(flow->key) ? 0 : find_rival(flow, number, ipv6);
	if (rival) {
		/* First: what is held from here on has another head. */
		seen = READ_ONCE(rival->head);
		if (is_current(rival, work->now_ns))
			return IMPORT_REFUSED_LOCAL;
		remove_entry(rival, seen, ipv6);
	}
	timeout = protocol_of(flow->key) == PROTOCOL_UDP ? READ_ONCE(settings.udp_timeout) : tcp_timeout(state_of(head));
	reference = CALL(insert_entry, ipv6, flow, number, head, work->now, timeout);
	if (reference == NO_SLOT)
		return IMPORT_REFUSED_FULL;
	if (head & ENTRY_HALF_OPEN)
		ring_tidy();
	entry = ipv6 ? entry6_at(reference) : entry4_at(reference);
	if (entry)
		read_times(entry, record, work->now);
	return IMPORT_APPLIED;
}

/* Adds an entry that a record tells of. `head`: state, class, and whether it is half-open. Returns a verdict. */
FOR_FAMILIES(learn, const struct flow, flow, AND __u32 number AND const struct record *record AND __u32 head AND struct work *work,
	     number, record, head, work)

static __always_inline int import_record_of(const struct record *record, struct work *work, int ipv6)
{
	__u32 head = record->words[RECORD_HEAD];
	__u32 state = record_field(head, STATE);
	int template = record_field(head, TEMPLATE);
	struct entry *entry;
	struct flow flow;
	__u32 before = 0, told, after;
	/* 64 bits: see `element`. */
	__u64 number;

	for (int i = 0; i < 4; i++) {
		flow.client[i] = bpf_htonl(record->words[RECORD_CLIENT + i]);
		flow.virtual_address[i] = bpf_htonl(record->words[RECORD_VIRTUAL + i]);
	}
	flow.ports = bpf_htonl(record->words[RECORD_PORTS]);
	flow.key = record_field(head, PROTOCOL) | ENTRY_USED | (template ? ENTRY_TEMPLATE : 0);
	entry = find_flow(&flow, ipv6);
	/* First: what is held, or gone, from here on has another head. */
	if (entry)
		before = READ_ONCE(entry->head);
	if (entry && is_current(entry, work->now_ns))
		return IMPORT_REFUSED_LOCAL;
	if (record_field(head, EVENT) == EVENT_REMOVE) {
		if (entry)
			remove_entry(entry, before, ipv6);
		return IMPORT_APPLIED;
	}
	number = find_recorded(&flow, record, ipv6);
	opaque(number);
	if (number == NO_DESTINATION)
		return IMPORT_REFUSED_UNKNOWN;
	told = state << ENTRY_STATE_SHIFT;
	/* Peers hear of UDP flows and templates only when they are no longer half-open. */
	if (!template && protocol_of(flow.key) == PROTOCOL_TCP) {
		if (is_half_open_state(state))
			told |= ENTRY_SECOND_CLASS | ENTRY_HALF_OPEN;
		else if (record_field(head, SECOND_CLASS))
			told |= ENTRY_SECOND_CLASS;
	}
	if (!entry || !(before & ENTRY_USED))
		return CALL(learn, ipv6, &flow, number, record, told, work);
	/* An established entry for which a peer reports a half-open state is another connection with the same flow. */
	if (entry->destination != number || (told & ~before & ENTRY_HALF_OPEN)) {
		remove_entry(entry, before, ipv6);
		return CALL(learn, ipv6, &flow, number, record, told, work);
	}
	if ((before & ~told & ENTRY_HALF_OPEN) && !has_room(&flow, told))
		return IMPORT_REFUSED_FULL;
	after = (before & ~(ENTRY_CLASS_AND_STATE | ENTRY_LOCAL | ENTRY_PUBLISHED | ENTRY_SEQUENCED)) | told;
	after &= told | ~ENTRY_HALF_OPEN;
	if (__sync_val_compare_and_swap(&entry->head, before, after) != before)
		return IMPORT_REFUSED_LOCAL;
	WRITE_ONCE(entry->timeout, timeout_of(entry, before));
	if ((before ^ after) & (ENTRY_HALF_OPEN | ENTRY_SECOND_CLASS)) {
		count_table(before, -1);
		count_table(after, 1);
	}
	if (!template)
		count_transition(number, state_of(before), state);
	read_times(entry, record, work->now);
	return IMPORT_APPLIED;
}

standalone int import_record4(const struct record *record, struct work *work)
{
	return record && work ? import_record_of(record, work, 0) : IMPORT_REFUSED_UNKNOWN;
}

standalone int import_record6(const struct record *record, struct work *work)
{
	return record && work ? import_record_of(record, work, 1) : IMPORT_REFUSED_UNKNOWN;
}

/* Whether a head that came from outside holds only values that exist (src/model/connection-batch.ts). */
static __always_inline int is_valid_head(__u32 head)
{
	__u32 event = record_field(head, EVENT), protocol = record_field(head, PROTOCOL);

	return event >= EVENT_UPSERT && event <= EVENT_REMOVE && (protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP) &&
	       record_field(head, STATE) <= TCP_SYN_ACK && method_is_known(record_field(head, FORWARDING_METHOD)) &&
	       (head >> RECORD_HEAD_BITS) == 0;
}

static long import_slot(__u32 step, struct work *work)
{
	struct mailbox *box = mailbox_of(work->mailbox);
	struct record *record;
	int verdict;

	if (!box || step >= MAILBOX_RECORDS)
		return 1;
	record = &box->records[step];
	if (!is_valid_head(record->words[RECORD_HEAD]))
		verdict = IMPORT_REFUSED_UNKNOWN;
	else if (!method_is_supported(record_field(record->words[RECORD_HEAD], FORWARDING_METHOD)))
		verdict = IMPORT_REFUSED_METHOD;
	else if (record_field(record->words[RECORD_HEAD], IPV6))
		verdict = import_record6(record, work);
	else
		verdict = import_record4(record, work);
	/* One after the other, because without CAP_PERFMON the verifier refuses a field that depends on the path. */
	box->applied += verdict == IMPORT_APPLIED;
	box->refused_local += verdict == IMPORT_REFUSED_LOCAL;
	box->refused_full += verdict == IMPORT_REFUSED_FULL;
	box->refused_unknown += verdict == IMPORT_REFUSED_UNKNOWN;
	box->refused_method += verdict == IMPORT_REFUSED_METHOD;
	return 0;
}

SEC("xdp.frags")
int import_records(struct xdp_md *ctx)
{
	struct work work = {};
	struct mailbox *box;

	if (!begin_work(ctx, &work))
		return XDP_PASS;
	box = mailbox_of(work.mailbox);
	if (!box)
		return XDP_PASS;
	box->applied = box->refused_local = box->refused_unknown = box->refused_method = box->refused_full = 0;
	bpf_loop(work.count_max, import_slot, &work, 0);
	return XDP_PASS;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work on the table that no packet does: expiring and exporting here, applying records in record-work.h. The loader
 * runs these programs by BPF_PROG_TEST_RUN, which keeps the data path off their processor meanwhile, a bounded number
 * of entries at a time. The first word of the packet that they are given is the number of the mailbox that they use.
 * They stand in the section of the data path because the loader may take the `.frags` off its name, and a name is only
 * one section's.
 */
#ifndef BATON_TABLE_WORK_H
#define BATON_TABLE_WORK_H

#include "forward.h"

/* A local entry is refreshed at its peers when a third of its timeout has gone by since they last heard of it. */
#define REFRESHES_PER_TIMEOUT 3

struct work {
	/* The slot of the table at which the work began. */
	__u32 first;
	/* The slot behind the last one that was looked at. */
	__u32 end;
	__u32 mailbox;
	__u32 count;
	__u32 count_max;
	__u32 round;
	__u64 now_ns;
	__u32 now;
	__u32 reserved;
};

static __always_inline struct mailbox *mailbox_of(__u32 number)
{
	return element(&mailbox, number);
}

static __always_inline int begin_work(struct xdp_md *ctx, struct work *work)
{
	__u32 *number = (void *)(long)ctx->data;
	struct mailbox *box;

	if ((void *)(number + 1) > (void *)(long)ctx->data_end)
		return 0;
	work->mailbox = *number;
	box = mailbox_of(work->mailbox);
	if (!box)
		return 0;
	work->count_max = box->count > MAILBOX_RECORDS ? MAILBOX_RECORDS : box->count;
	work->round = box->round;
	work->now_ns = test_clock ? READ_ONCE(settings.test_now) : bpf_ktime_get_coarse_ns();
	work->now = work->now_ns / 1000000;
	return 1;
}

/* Whether an entry is half-open, but its record would not show that. */
static __always_inline int is_tentative(__u32 head)
{
	return (head & ENTRY_HALF_OPEN) && (is_template(head) || protocol_of(head) != PROTOCOL_TCP);
}

static __always_inline int export_entry(struct entry *entry, struct work *work, int ipv6)
{
	__u32 head = READ_ONCE(entry->head);
	struct mailbox *box;
	__u32 at;

	if (!(head & ENTRY_USED) || is_tentative(head) || has_expired(entry, work->now))
		return 0;
	if (work->count >= work->count_max)
		return 1;
	at = work->count;
	box = mailbox_of(work->mailbox);
	if (!box || at >= MAILBOX_RECORDS)
		return 1;
	if (write_record(box->records[at].words, entry, ipv6, EVENT_UPSERT, work->now))
		work->count = at + 1;
	return 0;
}

static __always_inline int inspect(struct entry *entry, __u32 reference, struct work *work, int ipv6)
{
	__u32 head = READ_ONCE(entry->head);
	struct destination *destination;
	struct service *service;
	__u32 since_published;

	if (!(head & ENTRY_USED))
		return 0;
	destination = destination_of(entry->destination);
	if (!destination)
		return 0;
	if (!(destination->flags & DESTINATION_LIVE) || has_expired(entry, work->now)) {
		CALL_ENTRY(close_entry, ipv6, entry, head, work->now, work->now_ns);
		return 0;
	}
	if (head & ENTRY_HALF_OPEN) {
		keep_in_ring(entry, reference);
		return 0;
	}
	service = service_of(destination->service);
	if (service && (service->flags & SERVICE_PERSISTENT) && !(head & ENTRY_TEMPLATE) &&
	    work->round % (service->template_rounds ? service->template_rounds : 1) == 0 && is_held(entry, work->now_ns)) {
		struct flow flow;

		flow_of(&flow, entry, ipv6);
		CALL(keep_template, ipv6, &flow, entry->destination, destination->service, work->now);
	}
	if (!(head & ENTRY_PUBLISHED))
		return 0;
	since_published = age_of(READ_ONCE(entry->stamp), work->now);
	if ((__u64)since_published * REFRESHES_PER_TIMEOUT < timeout_of(entry, head))
		return 0;
	/* No refresh is sent when no packet has come since the last one. */
	if ((__s32)(READ_ONCE(entry->last_seen) - READ_ONCE(entry->stamp)) <= 0 || !is_held(entry, work->now_ns))
		return 0;
	CALL_ENTRY(publish, ipv6, entry, EVENT_REFRESH, work->now);
	return 0;
}

static long export_slot4(__u32 step, struct work *work)
{
	struct entry *entry = entry4_at(work->first + step);

	if (!entry || export_entry(entry, work, 0))
		return 1;
	work->end = work->first + step + 1;
	return 0;
}

static long export_slot6(__u32 step, struct work *work)
{
	struct entry *entry = entry6_at(work->first + step);

	if (!entry || export_entry(entry, work, 1))
		return 1;
	work->end = work->first + step + 1;
	return 0;
}

static long inspect_slot4(__u32 step, struct work *work)
{
	struct entry *entry = entry4_at(work->first + step);

	if (!entry)
		return 1;
	work->end = work->first + step + 1;
	return inspect(entry, work->first + step, work, 0);
}

static long inspect_slot6(__u32 step, struct work *work)
{
	struct entry *entry = entry6_at(work->first + step);

	if (!entry)
		return 1;
	work->end = work->first + step + 1;
	return inspect(entry, (work->first + step) | REFERENCE_IPV6, work, 1);
}

/*
 * Runs over the slots from the mailbox's cursor on, first those of IPv4, then those of IPv6, at most `budget` of them in
 * one call and of one family. Leaves in `cursor` where to go on.
 */
static __always_inline void go_over(struct work *work, int export)
{
	struct mailbox *box = mailbox_of(work->mailbox);
	__u32 slots4 = buckets4 * WAYS, slots6 = buckets6 * WAYS;
	__u32 cursor, budget, left;

	if (!box)
		return;
	cursor = box->cursor;
	budget = box->budget;
	if (cursor < slots4) {
		left = slots4 - cursor;
		work->first = work->end = cursor;
		if (export)
			bpf_loop(budget < left ? budget : left, export_slot4, work, 0);
		else
			bpf_loop(budget < left ? budget : left, inspect_slot4, work, 0);
		box->cursor = work->end;
	} else if (cursor - slots4 < slots6) {
		left = slots6 - (cursor - slots4);
		work->first = work->end = cursor - slots4;
		if (export)
			bpf_loop(budget < left ? budget : left, export_slot6, work, 0);
		else
			bpf_loop(budget < left ? budget : left, inspect_slot6, work, 0);
		box->cursor = slots4 + work->end;
	}
	box = mailbox_of(work->mailbox);
	if (box && box->cursor >= slots4 + slots6)
		box->cursor = MAILBOX_END;
}

SEC("xdp.frags")
int sweep(struct xdp_md *ctx)
{
	struct work work = {};

	if (begin_work(ctx, &work))
		go_over(&work, 0);
	return XDP_PASS;
}

SEC("xdp.frags")
int export_records(struct xdp_md *ctx)
{
	struct work work = {};
	struct mailbox *box;

	if (!begin_work(ctx, &work))
		return XDP_PASS;
	go_over(&work, 1);
	box = mailbox_of(work.mailbox);
	if (box)
		box->count = work.count;
	return XDP_PASS;
}

#endif

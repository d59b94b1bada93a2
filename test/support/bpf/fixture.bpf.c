// SPDX-License-Identifier: Apache-2.0
// What the tests of the loader, the layouts and the ring buffer load into the kernel.
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define EVENT_WORDS 17

/* 1 while the reader of `events` sleeps. */
int reader_asleep;

const volatile __u8 limit = 3;
const volatile __u32 verdict_base = 1;
const volatile __u64 wide = 0x0102030405060708;
const volatile __s16 below_zero = -2;

enum drop_reason {
	DROP_NONE,
	DROP_TTL_EXCEEDED,
	DROP_NO_ROUTE = 9,
};

struct endpoint {
	__u32 address[4];
	__u16 port;
	__u8 protocol;
	__u8 pad;
};

struct service {
	struct endpoint virtual_endpoint;
	union {
		__u32 first_slot;
		__u64 seed;
	};
	__u64 packets;
	enum drop_reason last_drop;
	__u16 weight_max;
	__u8 pad[2];
};

struct event {
	__u32 words[EVENT_WORDS];
} __attribute__((btf_decl_tag("layout")));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct endpoint);
	__type(value, __u32);
	__uint(max_entries, 8);
} services_by_endpoint SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct service);
	__uint(max_entries, 4);
	__uint(map_flags, BPF_F_MMAPABLE);
} services SEC(".maps");

/* An odd size: values lie 8 bytes apart. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 3000);
	__uint(map_flags, BPF_F_MMAPABLE);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 2);
} per_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

/* Counts the packet in the service named by its first byte, and gives a verdict that says so. */
SEC("xdp.frags")
int count_packet(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data;
	__u8 *end = (__u8 *)(long)ctx->data_end;
	struct service *service;
	__u32 index, slot = 0;
	__u32 *seen;

	if (data + sizeof(struct endpoint) > end)
		return 0;
	index = data[0];
	if (index > limit)
		return 0;
	service = bpf_map_lookup_elem(&services, &index);
	if (!service)
		return 0;
	__sync_fetch_and_add(&service->packets, 1);
	service->seed = wide + below_zero;
	service->last_drop = DROP_NO_ROUTE;
	seen = bpf_map_lookup_elem(&slots, &slot);
	if (seen)
		*seen = ctx->ingress_ifindex;
	seen = bpf_map_lookup_elem(&per_cpu, &slot);
	if (seen)
		*seen += 1;
	bpf_map_lookup_elem(&services_by_endpoint, data);
	data[1] = 0xab;
	return verdict_base + index;
}

/*
 * One event whose words count up from a hundred times the packet's first byte; thrown away when the second is not 0.
 * The verdict: how many were sent.
 */
SEC("xdp")
int send_event(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data;
	__u8 *end = (__u8 *)(long)ctx->data_end;
	struct event *event;

	if (data + 14 > end)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return 0;
	for (int word = 0; word < EVENT_WORDS; word++)
		event->words[word] = data[0] * 100 + word;
	if (data[1]) {
		bpf_ringbuf_discard(event, 0);
		return 0;
	}
	bpf_ringbuf_submit(event, reader_asleep ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
	return 1;
}

char _license[] SEC("license") = "Apache-2.0";

/* SPDX-License-Identifier: Apache-2.0 */
/* A received packet: its headers, and the decision about it. */
#ifndef BATON_PACKET_H
#define BATON_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>

#include "bits.h"
#include "maps.h"

#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMPV6 58

enum tcp_flag {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
};

enum tcp_state {
	TCP_NONE = 0,
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECEIVED = 3,
	TCP_FIN_WAIT = 4,
	TCP_TIME_WAIT = 5,
	TCP_CLOSE = 6,
	TCP_CLOSE_WAIT = 7,
	TCP_LAST_ACK = 8,
	TCP_LISTEN = 9,
	TCP_SYN_ACK = 10,
};

enum tcp_direction {
	/* Client to real server, where the replies pass this director too. */
	DIRECTION_INPUT = 0,
	DIRECTION_OUTPUT = 1,
	/* Client to real server, where the replies go past. */
	DIRECTION_INPUT_ONLY = 2,
	/* Not a direction: the client's data shows that the connection has not ended. */
	DIRECTION_REVIVED = 3,
};

/* Whether a packet is whole, the piece of a datagram that holds its transport header, or another piece. */
enum fragment_kind {
	FRAGMENT_WHOLE = 0,
	FRAGMENT_FIRST = 1,
	FRAGMENT_LATER = 2,
};

/* The decision about a packet. */
enum decision {
	/* Not for the engine: the kernel's. */
	LEAVE_ALONE,
	/* Counted, and gone. */
	DISCARD,
	/* To `destination`. */
	FORWARD_IN,
	/* A real server's packet, to the client: from `virtual_address`, `virtual_port`. */
	FORWARD_OUT,
	/* Back to the sender. */
	ANSWER_RESET,
	ANSWER_PORT_UNREACHABLE,
	ANSWER_TIME_EXCEEDED,
	ANSWER_TOO_BIG,
	/* The frame has become an answer. */
	ANSWERED,
};

/* The key by which a connection is found. */
struct flow {
	__u32 client[4];
	__u32 virtual_address[4];
	/* Client port, then virtual port, as they stand side by side in a transport header. */
	__u32 ports;
	/* Protocol, perhaps ENTRY_TEMPLATE, and ENTRY_USED: what stands under ENTRY_KEY of an entry's head. */
	__u32 key;
};

/*
 * Filled by a parser, completed by the decision. `flow` is what the headers say: the source stands where a client's
 * address does, the destination where the virtual address does.
 */
struct packet {
	struct flow flow;
	__u32 now;
	__u64 now_ns;
	/* The tick at which `now` and `now_ns` were read. */
	__u64 tick;
	__u32 interface_index;
	/* Length of IP header and payload, in bytes. */
	__u32 length;
	/* Offset of the transport header in the frame. */
	__u16 transport;
	__u8 ipv6;
	__u8 protocol;
	__u8 tcp_flags;
	/* TTL or hop limit. */
	__u8 ttl;
	/* enum fragment_kind */
	__u8 fragment;
	__u8 dont_fragment;
	/* For a fragment: where it begins in the frame and in the datagram, in bytes, and the datagram's identification. */
	__u16 fragment_start;
	__u16 fragment_offset;
	__u32 identification;
	__u8 more_fragments;
	__u8 outbound;
	/* A SYN that the publisher sends: see held.h. */
	__u8 held;
	/* Of an intact TCP header: its sequence number, the one that it acknowledges in network order, and how much data follows. */
	union {
		__u32 numbers[2];
		struct {
			__u32 sequence;
			__u32 acknowledgement;
		};
	};
	__u32 data;
	/* Source address of the Ethernet header. */
	__u8 source_mac[6] __attribute__((aligned(4)));
	/* The decision. */
	__u16 destination;
	__u16 mtu;
	__u16 lease_slot;
	/* The address that a reply gets as its source, or that an answer is sent from. */
	__u32 virtual_address[4];
	__u16 virtual_port;
	/* Bytes behind the packet that fill a short Ethernet frame up. */
	__u16 padding;
	struct hop hop;
};

/* Ports as one word: the first two bytes of a transport header, and the next two. */
static __always_inline __u16 source_port(__u32 ports)
{
	return ports & 0xffff;
}

static __always_inline __u16 target_port(__u32 ports)
{
	return ports >> 16;
}

static __always_inline __u32 join_ports(__u16 source, __u16 target)
{
	return source | ((__u32)target << 16);
}

static __always_inline void copy_address(__u32 *to, const __u32 *from)
{
	to[0] = from[0];
	to[1] = from[1];
	to[2] = from[2];
	to[3] = from[3];
}

static __always_inline int same_address(const __u32 *a, const __u32 *b)
{
	return ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3])) == 0;
}

/* The packet that a processor works on: too large for a stack that several functions share. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct packet);
} packets SEC(".maps");

static __always_inline struct packet *own_packet(void)
{
	__u32 key = 0;

	return element(&packets, key);
}

/* Sets what still is that of the processor's packet before this one: `now`, `now_ns` and `held`. */
static __always_inline void begin_packet(struct packet *packet)
{
	__u64 tick = test_clock ? READ_ONCE(settings.test_now) : bpf_jiffies64();

	packet->held = 0;
	/* The coarse clock moves on with the tick, which costs one load to ask for. */
	if (likely(packet->tick == tick))
		return;
	packet->tick = tick;
	packet->now_ns = test_clock ? tick : bpf_ktime_get_coarse_ns();
	packet->now = packet->now_ns / 1000000;
}

/* The clocks of two processors may be this far apart, in milliseconds, and much less. */
#define CLOCK_SPREAD_MAX 60000u

/* How long ago something was, in milliseconds; 0 when another processor's clock puts it ahead of now. */
static __always_inline __u32 age_of(__u32 then, __u32 now)
{
	__u32 age = now - then;

	return unlikely(age > -CLOCK_SPREAD_MAX) ? 0 : age;
}

/*
 * Takes one token of a budget that all processors share: milliseconds of the last filling in the high half, tokens left in
 * the low. 0: there is none left.
 */
static __always_inline int take_token(__u64 *shared, __u32 now, __u32 per_ms, __u32 burst)
{
	for (int i = 0; i < 4; i++) {
		__u64 budget = READ_ONCE(*shared);
		__u32 tokens = (__u32)budget;
		__u32 elapsed = age_of(budget >> 32, now);
		__u64 next;

		tokens = elapsed >= burst ? burst : tokens + elapsed * per_ms;
		if (tokens > burst)
			tokens = burst;
		next = ((__u64)now << 32) | (tokens ? tokens - 1 : 0);
		if (__sync_val_compare_and_swap(shared, budget, next) == budget)
			return tokens != 0;
	}
	return 0;
}

static __always_inline struct port *port_of(__u32 interface_index)
{
	__u32 key = interface_index & (PORTS - 1);
	struct port *port = element(&ports, key);

	return port && port->interface_index == interface_index ? port : 0;
}

#endif

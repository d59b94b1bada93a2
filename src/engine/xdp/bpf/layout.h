/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys and values of all maps, which the program and its loader share. TypeScript reads these layouts from the
 * object's BTF (npm run generate), so a field is described here and nowhere else.
 *
 * Addresses and ports are in network byte order unless a field says otherwise; an IPv4 address is the first of four
 * words, the others are zero. Times are CLOCK_MONOTONIC: nanoseconds in 64 bits, or milliseconds modulo 2^32.
 *
 * Longer than the bound: one description after another, which is looked up and not read through.
 */
#ifndef BATON_LAYOUT_H
#define BATON_LAYOUT_H

#include <linux/types.h>

#include "drop-reason.h"
#include "forwarding-method.h"
#include "record.h"

#define CACHE_LINE 64

/* As in src/model/selector.ts. */
enum selector_shape {
	SELECTOR_SEQUENCE = 0,
	SELECTOR_HASH = 1,
	SELECTOR_LEAST = 2,
};

/* The other counters of a processor, each the field of `EngineCounters` with the same name. */
enum tally_event {
	TALLY_HALF_OPEN_EVICTIONS,
	TALLY_ARP_REPLIES,
	TALLY_NEIGHBOUR_REPLIES,
	TALLY_ECHO_REPLIES,
	TALLY_RESETS_SENT,
	TALLY_UNREACHABLES_SENT,
	TALLY_ERRORS_SUPPRESSED,
	TALLY_EVENT_OVERRUNS,
	TALLY_SECOND_CLASS_EVICTIONS,
	TALLY_EVENTS,
};

/* One of each processor, in `tallies`. */
struct tally {
	__u64 drops[DROP_REASONS];
	__u64 events[TALLY_EVENTS];
};

/* Traffic of a real server on one processor, in `traffic` at processor * destinations_max + destination. */
struct traffic {
	__u64 connections;
	__u64 packets_in;
	__u64 bytes_in;
	__u64 packets_out;
	__u64 bytes_out;
	__u64 reserved[3];
};

/*
 * The head of an entry holds all that must change at once, by compare-and-swap: bits 0..7 protocol, 8..11 TCP state,
 * then flags, then a generation that each new life of a slot increments.
 */
enum entry_head {
	ENTRY_PROTOCOL = 0xff,
	ENTRY_STATE_SHIFT = 8,
	ENTRY_STATE = 0xf00,
	/* A TCP connection that has carried no data: see second-class.h. */
	ENTRY_SECOND_CLASS = 1 << 12,
	/* Both together are an index into `settings.tcp_timeouts`. */
	ENTRY_CLASS_AND_STATE = ENTRY_STATE | ENTRY_SECOND_CLASS,
	/* This director forwards it. */
	ENTRY_LOCAL = 1 << 13,
	/* In the half-open table. */
	ENTRY_HALF_OPEN = 1 << 14,
	/* Peers know of it. */
	ENTRY_PUBLISHED = 1 << 15,
	/* A connection template: the client address is a prefix, the client port 0. */
	ENTRY_TEMPLATE = 1 << 16,
	ENTRY_USED = 1 << 17,
	/* Being written or being removed: no other processor may use the entry until that is done. */
	ENTRY_BUSY = 1 << 18,
	/* `next_sequence` is known. */
	ENTRY_SEQUENCED = 1 << 19,
	ENTRY_GENERATION_SHIFT = 20,
	/* The bits that take part in a look-up. */
	ENTRY_KEY = ENTRY_PROTOCOL | ENTRY_TEMPLATE | ENTRY_USED | ENTRY_BUSY,
};

/* The common end of the entries of both families. */
struct entry {
	/* Client port, then virtual port. */
	__u32 ports;
	__u32 head;
	__u32 last_seen;
	/*
	 * A local TCP connection has the timeout of its state: its word holds the sequence number that its client is expected
	 * to send next. An entry of any other kind has its timeout here, in milliseconds.
	 */
	union {
		__u32 timeout;
		__u32 next_sequence;
	};
	/* Established: when peers last heard of it. Half-open: its position in the ring. */
	__u32 stamp;
	__u16 destination;
	/* In a bucket's first entry: an entry that belongs here may stand in the next choice. Never cleared. */
	__u8 spilled;
	/* Of a TCP connection of the second class: see src/connection/second-class.ts. */
	__u8 mark;
};

struct entry4 {
	__u32 client;
	__u32 virtual_address;
	struct entry common;
};

struct entry6 {
	__u32 client[4];
	__u32 virtual_address[4];
	struct entry common;
	__u32 reserved[2];
};

#define WAYS 4

/* 128 bytes: the two cache lines that processors fetch together. */
struct bucket4 {
	struct entry4 entries[WAYS];
};

struct bucket6 {
	struct entry6 entries[WAYS];
};

/* A reference to an entry: this bit for IPv6, below it bucket * WAYS + way. */
#define REFERENCE_IPV6 0x80000000u

struct half_open_slot {
	__u32 reference;
	/* The position that this is; the slot is used for many. */
	__u32 position;
};

enum hop_state {
	HOP_UNREACHABLE = 0,
	HOP_RESOLVING = 1,
	HOP_RESOLVED = 2,
};

/* Where frames go next. */
struct hop {
	__u32 interface_index;
	__u16 mtu;
	__u8 state;
	__u8 reserved;
	/* The neighbour's MAC address, then the interface's own: as an Ethernet header begins. */
	__u8 macs[12];
};

enum destination_flag {
	/* Its virtual service is configured: otherwise its entries only wait for the sweep. */
	DESTINATION_LIVE = 1 << 0,
	/* It stands in the configuration of its service. */
	DESTINATION_CONFIGURED = 1 << 1,
	/* A connection template may lead to it. */
	DESTINATION_AVAILABLE = 1 << 2,
	/* Its weight is above 0. */
	DESTINATION_WEIGHTY = 1 << 3,
	DESTINATION_IPV6 = 1 << 4,
};

#define LEASE_ENDLESS 0xffff
#define NO_DESTINATION 0xffff

/* A real server of one virtual service. What a packet of a known connection needs stands in the first line. */
struct destination {
	__u32 address[4];
	__u16 port;
	/* `enum forwarding_method` */
	__u8 method;
	__u8 flags;
	/* Slot in `leases`, or LEASE_ENDLESS. */
	__u16 lease_slot;
	__u16 service;
	struct hop hop;
	/*
	 * The gain of ~checksum when virtual address (and port) become this one's: the sum over their 16-bit words of
	 * ~virtual + real, each word as it stands in the packet read by a little-endian machine, as ~checksum is read;
	 * folded to 16 bits, and never 0. Masquerade alone.
	 */
	__u16 address_sum;
	__u16 endpoint_sum;
	__u32 reserved0[4];
	/* The second line. */
	__u32 virtual_address[4];
	__u16 virtual_port;
	/* The next destination with the same address, port and protocol, or NO_DESTINATION. Masquerade alone. */
	__u16 next_with_endpoint;
	__u8 protocol;
	__u8 reserved1[3];
	/* Connections; 0: no limit. */
	__u32 upper_threshold;
	__u32 lower_threshold;
	/* New connections a second; 0: no limit. */
	__u32 rate_max;
	__u32 reserved2[7];
};

/* Connections of a destination at present. */
struct load {
	__s32 active;
	__s32 inactive;
	/* Connection templates: they hold the destination, and count as no connection. */
	__s32 templates;
	/* 1: takes no new connection until it has fallen below its lower threshold. */
	__u32 overloaded;
	/* The second in which new connections are counted against `rate_max`: when it began, and how many there were. */
	__u32 rate_since;
	__u32 rate_count;
	__u32 reserved[10];
};

enum service_flag {
	SERVICE_HASH_PORT = 1 << 0,
	SERVICE_FALLBACK = 1 << 1,
	SERVICE_ONE_PACKET = 1 << 2,
	SERVICE_PERSISTENT = 1 << 3,
	SERVICE_LIVE = 1 << 4,
};

/* What a real server's connections weigh, as in src/model/selector.ts: counts times factors, each at most 256. */
struct overhead {
	__u16 active;
	__u16 inactive;
	__u16 constant;
	__u16 reserved;
};

struct service {
	/* First of its slots, and behind the 32nd bit how many: changed in one store. `sequence` and `hash`, `least`. */
	__u64 selector;
	/* The same for the list of its destinations, in the order of the configuration. */
	__u64 destinations;
	__u8 shape;
	__u8 flags;
	__u16 lease_slot;
	/* Host order, of the hash. */
	__u32 seed;
	__u32 persistence_timeout;
	__u8 prefix_length;
	__u8 reserved0[3];
	/* Rounds of the sweep between two times that a connection refreshes its template. */
	__u32 template_rounds;
	/* Shape `least`. */
	struct overhead overhead;
	__u32 reserved1[5];
	/* A line of its own: every new connection writes it. */
	__u32 cursor;
	__u32 reserved2;
	/* Written by the loader: the counters of real servers that are gone, as in the first words of `traffic`. */
	__u64 retired[5];
	__u32 reserved3[4];
};

/* An element of a selector, or of a list of destinations. */
struct slot {
	/* NO_DESTINATION: empty. */
	__u32 destination;
	/* Shape `least`: the cost's divisor. */
	__u32 divisor;
};

enum address_flag {
	/* ARP, ND and echo requests for it are answered here; otherwise the kernel does. */
	ADDRESS_ANSWER = 1 << 0,
	/* Packets to it are looked at: it is answered for, or carries a service. Otherwise only ARP and ND are gated. */
	ADDRESS_SERVED = 1 << 1,
};

struct address {
	/* The interface on which it is answered for. */
	__u32 interface_index;
	__u16 lease_slot;
	__u8 flags;
	__u8 reserved;
};

struct endpoint4 {
	__u32 address;
	__u16 port;
	__u8 protocol;
	__u8 reserved;
};

struct endpoint6 {
	__u32 address[4];
	__u16 port;
	__u8 protocol;
	__u8 reserved;
};

/* An interface of the engine, in `ports` at its index modulo PORTS. */
struct port {
	__u32 interface_index;
	__u16 mtu;
	__u8 mac[6];
	__u32 reserved;
};

#define PORTS 1024

struct prefix4 {
	__u32 length;
	__u32 address;
};

struct prefix6 {
	__u32 length;
	__u32 address[4];
};

enum route_kind {
	ROUTE_UNREACHABLE = 0,
	ROUTE_ON_LINK = 1,
	ROUTE_GATEWAY = 2,
};

/* A route to clients. On link: `hop.macs` holds only the interface's own, the neighbour's stands in `neighbours`. */
struct route {
	struct hop hop;
	__u8 kind;
	__u8 reserved[3];
};

struct neighbour_key {
	__u32 interface_index;
	__u32 address[4];
};

struct neighbour {
	__u8 mac[6];
	__u8 reserved[2];
};

/* An on-link client whose MAC address is not known: the loader has the kernel ask for it. */
struct missing_neighbour {
	__u32 interface_index;
	__u32 address[4];
	__u32 family;
};

#define FILTER_BITS 1024

/* In the order of `deadServerPolicies` in src/model/dead-servers.ts. */
enum dead_server_policy {
	DEAD_SERVERS_NONE,
	DEAD_SERVERS_UDP,
	DEAD_SERVERS_ALL,
};

/* Settings that the loader writes and the program reads. */
struct settings {
	/* By state and class, in milliseconds (src/connection/second-class.ts). */
	__u32 tcp_timeouts[32];
	__u32 udp_timeout;
	/* How long after a takeover an unknown mid-stream segment is dropped silently, in milliseconds. */
	__u32 grace_period;
	/* With `test_clock`: the time. */
	__u64 test_now;
	/* Until then, in nanoseconds, a segment of no connection is dropped silently: its record may be on its way. */
	__u64 records_expected_until;
	/* Written 1 by a reader of `events` that goes to sleep; the next event wakes it and writes 0. */
	__u32 reader_asleep;
	/* enum dead_server_policy */
	__u32 dead_servers;
	/* 1: a service with a hash selector makes an entry for a segment of an unknown connection. */
	__u32 sloppy_tcp;
	__u32 reserved;
	/* A Bloom filter of the served addresses: bit `filter_bit` of each is set. Never lacks one that is in the map. */
	__u32 served[FILTER_BITS / 32];
	/* The same for the addresses of masqueraded real servers. */
	__u32 replying[FILTER_BITS / 32];
	/* By direction * 512 + flags * 16 + state (src/connection/tcp-transitions.ts). */
	__u8 next_states[2048];
};

/* Counters that all processors change, each field group on a line of its own. */
struct totals {
	/* Entries of either table, templates included. */
	__u32 half_open;
	__u32 established;
	__u32 half_open_templates;
	__u32 established_templates;
	/* UDP entries of the established table. */
	__u32 established_udp;
	/* Entries by family: an empty table need not be swept. */
	__u32 entries4;
	__u32 entries6;
	/* Entries of the second class in the established table. */
	__u32 second_class;
	/* How many entries the established table has room for: the loader is told when the first one is there. */
	__u32 established_max;
	__u32 reserved0[7];
	/* Positions of the ring of half-open entries: the oldest one, and the next to be written. */
	__u32 ring_head;
	/* The slots at which the search for an entry that gives way goes on: see room.h. */
	__u32 hand4;
	__u32 hand6;
	__u32 reserved1[13];
	__u32 ring_tail;
	__u32 reserved2[15];
	/* Of ICMP errors: see `take_token`. */
	__u64 error_budget;
	__u64 reserved3[7];
};

/* u64 of CLOCK_MONOTONIC nanoseconds: see src/platform/linux/process/lease-memory.ts. */
#define LEASE_SLOTS 256
/* Words behind the leases, until when a part of the director counts as alive (src/model/lease.ts). */
#define SIGNS 8

struct lease {
	__u64 valid_until;
};

/* A connection entry as it crosses threads and directors. */
struct record {
	__u32 words[RECORD_WORDS];
};

/* Longer frames are not held: a SYN without data is at most 134 bytes long, with Ethernet header and all TCP options. */
#define HELD_FRAME_BYTES 256

/* A SYN that waits in `events` behind the event of its connection, ready to be sent. */
struct held_frame {
	__u32 interface_index;
	__u32 lease_slot;
	/* In milliseconds of CLOCK_MONOTONIC, modulo 2^32. */
	__u32 since;
	__u32 length;
	__u8 bytes[HELD_FRAME_BYTES];
} __attribute__((btf_decl_tag("layout")));

#define MAILBOX_RECORDS 1024

/*
 * Requests to the programs that work on the table, and their answers: one at a time. Each thread that runs them has a
 * mailbox of its own, and says which in the first four bytes of the packet that it runs them on.
 */
#define MAILBOXES 2

struct mailbox {
	/* In: where to begin, a slot number over both tables. Out: where to go on; MAILBOX_END: that was all. */
	__u32 cursor;
	/* In: how many entries to look at at most. */
	__u32 budget;
	/* In and out: how many records there are. */
	__u32 count;
	/* In: rounds of the sweep that are complete. */
	__u32 round;
	/* Out, of an import. */
	__u32 applied;
	__u32 refused_local;
	__u32 refused_unknown;
	__u32 refused_method;
	__u32 refused_full;
	struct record records[MAILBOX_RECORDS];
};

#define MAILBOX_END 0xffffffffu

_Static_assert(sizeof(struct entry4) == 32, "two entries of IPv4 share a cache line");
_Static_assert(sizeof(struct entry6) == 64, "an entry of IPv6 is a cache line");
_Static_assert(sizeof(struct bucket4) == 128, "a bucket is a pair of cache lines");
_Static_assert(sizeof(struct destination) == 128, "a destination is two cache lines");
_Static_assert(__builtin_offsetof(struct destination, virtual_address) == CACHE_LINE, "the first line is the hot one");
_Static_assert(sizeof(struct load) == CACHE_LINE, "a load is a cache line");
_Static_assert(sizeof(struct service) == 2 * CACHE_LINE, "a service is two cache lines");
_Static_assert(__builtin_offsetof(struct service, cursor) == CACHE_LINE, "the cursor has a line of its own");
_Static_assert(sizeof(struct traffic) == CACHE_LINE, "processors do not share a line of counters");
_Static_assert(sizeof(struct tally) % 8 == 0, "arrays are read as 64-bit words");
_Static_assert(sizeof(struct totals) == 4 * CACHE_LINE + 0, "each group has a line of its own");
_Static_assert(sizeof(struct record) == 4 * RECORD_WORDS, "a record has no gaps");

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last step of a frame. The SYN of a new connection is held: it goes to the publisher, which tells the peers of the
 * connection first and sends the frame then. So nothing of the connection exists outside this director before a peer has been
 * told (promise P9).
 */
#ifndef BATON_HELD_H
#define BATON_HELD_H

#include "event.h"
#include "scratch.h"

/* Puts the frame into `events`, behind the event of its connection. False: it is too long, or the ring is full. */
standalone int hold(struct xdp_md *ctx, struct packet *packet)
{
	struct held_frame *frame;
	__u32 length;

	if (!packet)
		return 0;
	length = end_of(packet);
	if (length < IP_OFFSET || length > HELD_FRAME_BYTES)
		return 0;
	frame = bpf_ringbuf_reserve(&events, sizeof(*frame), 0);
	if (!frame)
		return 0;
	frame->interface_index = packet->hop.interface_index;
	frame->lease_slot = packet->lease_slot;
	frame->since = packet->now;
	frame->length = length;
	if (!load_bytes(ctx, 0, frame->bytes, length)) {
		bpf_ringbuf_discard(frame, BPF_RB_NO_WAKEUP);
		return 0;
	}
	submit_event(frame);
	return 1;
}

/* Sends the frame, whose Ethernet addresses have been written, without its padding. */
static __always_inline int transmit(struct xdp_md *ctx, struct packet *packet)
{
	if (unlikely(packet->padding != 0) && bpf_xdp_adjust_tail(ctx, -(int)packet->padding))
		return drop(DROP_TRANSMIT_FAILED), XDP_DROP;
	/* One that cannot be held goes on: its connection is published when it is established, as those beyond the budget are. */
	if (unlikely(packet->held) && hold(ctx, packet))
		return XDP_DROP;
	if (packet->hop.interface_index == packet->interface_index)
		return XDP_TX;
	return bpf_redirect_map(&egress, packet->hop.interface_index & (PORTS - 1), XDP_DROP);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BATON_ANSWER_H
#define BATON_ANSWER_H

#include "packet.h"

static __noinline int answer(struct xdp_md *ctx, struct packet *packet, int decision)
{
	return XDP_DROP;
}

#endif

// SPDX-License-Identifier: Apache-2.0
// A program that the verifier refuses: it reads a byte without a look at the packet's end.
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int reads_too_far(struct xdp_md *ctx)
{
	__u8 *data = (__u8 *)(long)ctx->data;

	return data[34] == 6 ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Apache-2.0";

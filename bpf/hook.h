/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What differs between the two hooks on the uplink: XDP, where frames come in,
 * and tc egress (EGRESS), where those of this machine go out. Everything else is
 * compiled for either from the same text. */
#ifndef FAIRLEAD_HOOK_H
#define FAIRLEAD_HOOK_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#ifndef EGRESS
#define EGRESS 0
#endif

#if EGRESS
typedef struct __sk_buff hook_ctx;

/* With segmentation offload a packet is longer than what is mapped of it, and
 * than the link's MTU. */
static __always_inline __u32 frame_bytes(const hook_ctx *ctx)
{
	return ctx->len;
}

/* Both return 0 on success, and forget what was known of the frame's bounds. */
static __always_inline long resize(hook_ctx *ctx, int bytes)
{
	return bpf_skb_change_tail(ctx, bytes, 0);
}
#else
typedef struct xdp_md hook_ctx;

static __always_inline __u32 frame_bytes(const hook_ctx *ctx)
{
	return (void *)(long)ctx->data_end - (void *)(long)ctx->data;
}

static __always_inline long resize(hook_ctx *ctx, int bytes)
{
	long have = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

	asm volatile("" : "+r"(have)); /* or it is taken apart, which the verifier forbids */
	return bpf_xdp_adjust_tail(ctx, bytes - (int)have);
}
#endif

#endif

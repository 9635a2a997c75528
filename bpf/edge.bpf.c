/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The edge: a Network Load Balancer at the first hop a frame meets. What it does
 * with every kind of packet is the verdict table in README.md. */
#include "fast.h"
#include "ip.h"
#include "local.h"
#include "reap.h"
#include "restore.h"

SEC("xdp")
int edge(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct setting *cfg = settings_get();
	struct ethhdr *eth = data;
	int action;

	if (!cfg || !cfg->hz)
		return verdict(XDP_PASS, PASS_SETTINGS);
	if ((void *)(eth + 1) > end)
		return verdict(XDP_PASS, PASS_TRUNCATED);
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_IP):
		action = take_short_way(ctx, cfg, 1);
		return action == LONG_WAY ? ip(ctx, cfg) : action;
	case bpf_htons(ETH_P_IPV6):
		action = short_way_v6(ctx);
		return action == LONG_WAY ? ip(ctx, cfg) : action;
	case bpf_htons(ETH_P_ARP):
		return answer_arp(ctx, cfg);
	default:
		return verdict(XDP_PASS, PASS_NOT_IP);
	}
}

/* Tells user space the clock that flow records are stamped with: writes it into
 * the packet of a test run. Never attached. */
SEC("xdp")
int jiffies(struct xdp_md *ctx)
{
	__u64 *out = (void *)(long)ctx->data;

	if ((void *)(out + 1) > (void *)(long)ctx->data_end)
		return 0;
	*out = bpf_jiffies64();
	return 1;
}

/* Keeps the enums in the type information that user space is generated from. */
const enum reason *keep_reason __attribute__((unused));
const enum event *keep_event __attribute__((unused));
const enum flow_state *keep_flow_state __attribute__((unused));

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The edge: a Network Load Balancer at the first hop a frame meets. What it does
 * with every kind of packet is the verdict table in README.md. */
#include "neighbor.h"
#include "client.h"
#include "fast.h"
#include "icmp.h"
#include "local.h"
#include "reap.h"
#include "restore.h"
#include "target.h"

/* A packet that we cannot handle: dropped when it was meant for a load balancer,
 * the kernel's otherwise. */
static __always_inline int unwanted(const struct packet *p, __u32 reason)
{
	if (vip_of(&p->dst))
		return verdict(XDP_DROP, reason);
	return verdict(XDP_PASS, PASS_NO_FLOW);
}

/* Sources that no client can have: this network, loopback, multicast and above;
 * ::/64 (unspecified, loopback, IPv4 in disguise) and multicast. */
static __always_inline int is_martian(const struct packet *p)
{
	if (p->family == 4) {
		__u32 first = bpf_ntohl(addr_to_v4(&p->src)) >> 24;

		return first == 0 || first == 127 || first >= 224;
	}
	return p->src.d[0] == 0 || p->dst.d[0] == 0 || (__u8)p->src.d[0] == 0xff;
}

static __always_inline __u32 reason_of(enum parsed parsed)
{
	switch (parsed) {
	case PARSED_FRAGMENT:
		return DROP_FRAGMENT;
	case PARSED_PROTOCOL:
		return DROP_PROTOCOL;
	default:
		return DROP_MALFORMED;
	}
}

/* A fragment goes where the first one of its datagram went. One that comes before
 * it is dropped: who sent it will send the datagram again. */
static __noinline int later_fragment(struct xdp_md *ctx, struct walk *k)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct setting *cfg = settings_get();
	struct datagram *d = &k->datagram;
	struct packet *p = &k->packet;

	fragment_key(&k->fragment, &p->src, &p->dst, p->id, 0);
	if (!cfg || !datagram_find(&k->fragment, d, clock_now(cfg)))
		return unwanted(p, DROP_FRAGMENT);
	if (!edit_l3(data, end, p, &d->edit) || !edit_macs(data, end, cfg, d->edit.mac))
		return verdict(XDP_DROP, DROP_ERROR);
	count_processed(p, d->balancer);
	return transmit(ctx, cfg, d->reason);
}

/* The long way, for everything that is IP. */
static __noinline int ip(struct xdp_md *ctx, const struct setting *cfg)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct walk *k = walk_get();
	enum parsed parsed;
	struct listener *l;
	struct packet *p;

	if (!k)
		return verdict(XDP_PASS, PASS_SETTINGS);
	if ((void *)(eth + 1) > end)
		return verdict(XDP_PASS, PASS_TRUNCATED);
	p = &k->packet;
	parsed = parse(p, data, end, eth->h_proto);
	if (parsed == PARSED_TRUNCATED)
		return verdict(XDP_PASS, PASS_TRUNCATED);
	if (parsed == PARSED_ICMP && p->family == 6 && p->icmp_type == ND_SOLICITATION)
		return answer_solicitation(ctx, cfg, p);
	if (mac_load(eth->h_dest) != cfg->mac)
		return verdict(XDP_PASS, PASS_OTHER_MAC);
	p->mac = mac_load(eth->h_source);
	if (is_martian(p))
		return unwanted(p, DROP_MARTIAN);
	if (parsed == PARSED_ICMP)
		return icmp(ctx, k);
	if (parsed == PARSED_LATER)
		return later_fragment(ctx, k);
	if (parsed != PARSED_L4)
		return unwanted(p, reason_of(parsed));
	l = listener_of(p, &k->nat.key);
	if (l)
		return from_client(ctx, cfg, k, l);
	return from_target(ctx, cfg, k);
}

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

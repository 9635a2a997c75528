/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What becomes of an IP packet: the long way, of either hook. */
#ifndef FAIRLEAD_IP_H
#define FAIRLEAD_IP_H

#include "neighbor.h"
#include "client.h"
#include "icmp.h"
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
static __noinline int later_fragment(hook_ctx *ctx, struct walk *k)
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
	return forward(ctx, cfg, d->edit.mac, d->reason);
}

/* The long way, for everything that is IP. */
static __noinline int ip(hook_ctx *ctx, const struct setting *cfg)
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
	parsed = parse(p, data, end, frame_bytes(ctx), eth->h_proto);
	if (parsed == PARSED_TRUNCATED)
		return verdict(XDP_PASS, PASS_TRUNCATED);
	if (parsed == PARSED_ICMP && p->family == 6 && p->icmp_type == ND_SOLICITATION)
		return answer_solicitation(ctx, cfg, p);
	if (mac_load(EGRESS ? eth->h_source : eth->h_dest) != cfg->mac)
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

#endif

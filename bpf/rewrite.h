/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Editing a frame in place: addresses, ports, MACs, checksums by difference.
 * TTL and hop limit stay: on this segment the edge is no router, as NLB is none. */
#ifndef FAIRLEAD_REWRITE_H
#define FAIRLEAD_REWRITE_H

#include "counters.h"
#include "csum.h"
#include "parse.h"

struct edit {
	struct addr src, dst;
	__be16 sport, dport;
	__u64 mac; /* the next hop's */
};

static __always_inline int edit_l3(void *data, void *end, const struct packet *p,
				   const struct edit *e)
{
	if (p->family == 4) {
		struct iphdr *ip = data + ETH_HLEN;
		__u64 diff = csum_addr_diff(&p->src, &e->src) + csum_addr_diff(&p->dst, &e->dst);

		if ((void *)(ip + 1) > end)
			return 0;
		ip->saddr = addr_to_v4(&e->src);
		ip->daddr = addr_to_v4(&e->dst);
		ip->check = csum_apply(ip->check, diff);
		return 1;
	}
	struct ipv6hdr *ip = data + ETH_HLEN;

	if ((void *)(ip + 1) > end)
		return 0;
	addr_store_v6(&ip->saddr, &e->src);
	addr_store_v6(&ip->daddr, &e->dst);
	return 1;
}

/* UDP: a checksum of zero means none (RFC 768) and stays; a result of zero is
 * sent as all ones. Over IPv6 zero is not allowed (RFC 8200 8.1) and is left as
 * it came, for the receiver to refuse. */
static __always_inline void edit_udp_csum(__u16 *csum, __u64 diff)
{
	if (!*csum)
		return;
	*csum = csum_apply(*csum, diff);
	if (!*csum)
		*csum = 0xffff;
}

#if EGRESS
/* Checksums of packets from this machine may be the device's to finish: the field
 * then holds the sum of the pseudo header alone, as only the helper can tell. What
 * was known of the frame's bounds is void afterwards. */
static __always_inline int edit_l4(hook_ctx *ctx, const struct packet *p, const struct edit *e)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 offset = p->l4 & 0x7f;
	__u64 addrs = csum_addr_diff(&p->src, &e->src) + csum_addr_diff(&p->dst, &e->dst);
	__u64 ports = csum_diff16(p->sport, e->sport) + csum_diff16(p->dport, e->dport);
	__u64 flags = p->proto == IPPROTO_TCP ? 0 : BPF_F_MARK_MANGLED_0;
	__be16 *l4 = data + offset;

	if ((void *)(l4 + 2) > end)
		return 0;
	l4[0] = e->sport;
	l4[1] = e->dport;
	offset += p->proto == IPPROTO_TCP ? TCP_CHECK : UDP_CHECK;
	return !bpf_l4_csum_replace(ctx, offset, 0, csum_fold32(addrs), flags | BPF_F_PSEUDO_HDR) &&
	       !bpf_l4_csum_replace(ctx, offset, 0, csum_fold32(ports), flags);
}
#else
static __always_inline int edit_l4(hook_ctx *ctx, const struct packet *p, const struct edit *e)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 offset = p->l4 & 0x7f;
	__u64 diff = csum_addr_diff(&p->src, &e->src) + csum_addr_diff(&p->dst, &e->dst) +
		     csum_diff16(p->sport, e->sport) + csum_diff16(p->dport, e->dport);

	if (p->proto == IPPROTO_TCP) {
		struct tcphdr *tcp = data + offset;

		if ((void *)(tcp + 1) > end)
			return 0;
		tcp->source = e->sport;
		tcp->dest = e->dport;
		tcp->check = csum_apply(tcp->check, diff);
		return 1;
	}
	struct udphdr *udp = data + offset;

	if ((void *)(udp + 1) > end)
		return 0;
	udp->source = e->sport;
	udp->dest = e->dport;
	edit_udp_csum(&udp->check, diff);
	return 1;
}
#endif

static __always_inline int edit_macs(void *data, void *end, const struct setting *cfg, __u64 mac)
{
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return 0;
	mac_store(eth->h_dest, mac);
	mac_store(eth->h_source, cfg->mac);
	return 1;
}

static __always_inline int edit_frame(hook_ctx *ctx, const struct setting *cfg,
				      const struct packet *p, const struct edit *e)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	return edit_l3(data, end, p, e) && edit_macs(data, end, cfg, e->mac) &&
	       edit_l4(ctx, p, e);
}

#endif

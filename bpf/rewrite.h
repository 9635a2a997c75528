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

static __always_inline int edit_l4(void *data, void *end, const struct packet *p,
				   const struct edit *e)
{
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

static __always_inline int edit_macs(void *data, void *end, const struct setting *cfg, __u64 mac)
{
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return 0;
	mac_store(eth->h_dest, mac);
	mac_store(eth->h_source, cfg->mac);
	return 1;
}

static __always_inline int edit_frame(struct xdp_md *ctx, const struct setting *cfg,
				      const struct packet *p, const struct edit *e)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	return edit_l3(data, end, p, e) && edit_l4(data, end, p, e) &&
	       edit_macs(data, end, cfg, e->mac);
}

#endif

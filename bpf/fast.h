/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The short way: plain packets of established flows, which are nearly all there
 * are. Nothing here takes a lock, calls a function or writes more memory than the
 * frame, the flow's record and counters: what a packet costs is then the one cold
 * cache line of its record.
 *
 * Whatever is not plain, not found at once or not certain goes the long way
 * (client.h, target.h), which would do the same with what passes here. */
#ifndef FAIRLEAD_FAST_H
#define FAIRLEAD_FAST_H

#include "walk.h"

#define LONG_WAY -1
#define FAST_PROBES 4

/* A packet, as far as the short way looks at it: in registers. */
struct plain {
	struct addr src, dst;
	__be16 sport, dport;
	__u32 length; /* bytes of the IP packet */
	__u8 proto;
	__u32 l3; /* bytes of the IP header: a constant to the compiler */
};

static __always_inline int plain_l4(struct plain *p, void *data, void *end)
{
	__u32 room = p->length - p->l3;
	struct tcphdr *tcp = data + ETH_HLEN + p->l3;
	struct udphdr *udp = (void *)tcp;

	if (p->proto == IPPROTO_TCP) {
		__u32 header;

		if ((void *)(tcp + 1) > end)
			return 0;
		header = tcp->doff * 4;
		if (header < sizeof(*tcp) || header > room)
			return 0;
		if ((((__u8 *)tcp)[13] & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST)) != TCP_ACK)
			return 0;
		p->sport = tcp->source;
		p->dport = tcp->dest;
		return 1;
	}
	if (p->proto != IPPROTO_UDP || (void *)(udp + 1) > end)
		return 0;
	if (bpf_ntohs(udp->len) < sizeof(*udp) || bpf_ntohs(udp->len) > room)
		return 0;
	p->sport = udp->source;
	p->dport = udp->dest;
	return 1;
}

static __always_inline int plain_v4(struct plain *p, void *data, void *end)
{
	struct iphdr *ip = data + ETH_HLEN;
	__u8 first;

	if ((void *)(ip + 1) > end)
		return 0;
	if (*(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(IP_OFFSET_MORE))
		return 0;
	p->l3 = sizeof(*ip);
	p->length = bpf_ntohs(ip->tot_len);
	if (p->length < sizeof(*ip) || p->length > end - data - ETH_HLEN)
		return 0;
	addr_v4(&p->src, ip->saddr);
	addr_v4(&p->dst, ip->daddr);
	p->proto = ip->protocol;
	first = *(__u8 *)&ip->saddr;
	if (first == 0 || first == 127 || first >= 224)
		return 0;
	return plain_l4(p, data, end);
}

static __always_inline int plain_v6(struct plain *p, void *data, void *end)
{
	struct ipv6hdr *ip = data + ETH_HLEN;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return 0;
	p->l3 = sizeof(*ip);
	p->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	if (p->length > end - data - ETH_HLEN)
		return 0;
	addr_v6(&p->src, &ip->saddr);
	addr_v6(&p->dst, &ip->daddr);
	p->proto = ip->nexthdr;
	if (p->src.d[0] == 0 || p->dst.d[0] == 0 || (__u8)p->src.d[0] == 0xff)
		return 0;
	return plain_l4(p, data, end);
}

/* Where and to whom a packet goes on: one of its ends changes. */
struct way {
	struct addr addr;
	__be16 port;
	__u64 mac;
	__u32 balancer;
};

/* Edits the end at one side of the packet: its address at l3 + offset, its port
 * at l4. Fields are where they were when the packet was looked at. */
static __always_inline int send_on(struct xdp_md *ctx, const struct setting *cfg,
				   const struct plain *p, const struct way *w, int reply)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct addr *from = reply ? &p->src : &p->dst;
	__u64 diff = csum_diff16(reply ? p->sport : p->dport, w->port);
	struct balancer_counts *c = bpf_map_lookup_elem(&balancer_counters, &w->balancer);
	struct tcphdr *tcp = data + ETH_HLEN + p->l3;
	struct udphdr *udp = (void *)tcp;

	if (p->l3 == sizeof(struct iphdr)) {
		struct iphdr *ip = data + ETH_HLEN;
		__u64 addrs = (__u64)(__u32)~addr_to_v4(from) + addr_to_v4(&w->addr);

		if ((void *)(udp + 1) > end)
			return LONG_WAY;
		*(reply ? &ip->saddr : &ip->daddr) = addr_to_v4(&w->addr);
		ip->check = csum_apply(ip->check, addrs);
		diff += addrs;
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if ((void *)(udp + 1) > end)
			return LONG_WAY;
		addr_store_v6(reply ? &ip->saddr : &ip->daddr, &w->addr);
		diff += csum_addr_diff(from, &w->addr);
	}
	*(reply ? &udp->source : &udp->dest) = w->port;
	if (p->proto == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end)
			return LONG_WAY;
		tcp->check = csum_apply(tcp->check, diff);
	} else {
		edit_udp_csum(&udp->check, diff);
	}
	mac_store(data, w->mac);
	mac_store(data + ETH_ALEN, cfg->mac);
	if (c) {
		c->processed_packets++;
		if (p->proto == IPPROTO_TCP)
			c->processed_bytes_tcp += p->length;
		else
			c->processed_bytes_udp += p->length;
	}
	return forward(ctx, cfg, w->mac, reply ? SENT_TO_CLIENT : SENT_TO_TARGET);
}

/* The established flow of the client at addr and port: with a listener what it
 * sent, without one what is sent to it by source. out is what the record says. */
static __always_inline struct flow *established(const struct setting *cfg, const struct plain *p,
						__u64 now, const struct listener *l,
						struct found *out)
{
	const struct addr *client = l ? &p->src : &p->dst;
	__be16 port = l ? p->sport : p->dport;
	__u64 hash = hash_end(cfg, KEY_FLOW, client, port, p->proto);
	__u32 index = hash & cfg->flow_mask;
	struct bucket *b = bpf_map_lookup_elem(&flows, &index);

	if (!b)
		return 0;
	for (__u32 i = 0; i < FAST_PROBES; i++) {
		struct flow *f = slot(b, hash, i, FLOW_SPAN);
		__u16 version = READ_ONCE(f->version);
		__u64 seen;

		memory_order();
		if (f->client.d[1] != client->d[1] || f->client.d[0] != client->d[0] ||
		    f->port != port || f->proto != p->proto || f->state != FLOW_ESTABLISHED)
			continue;
		if (l ? f->listener != l->id : f->nat)
			continue;
		out->listener = f->listener;
		out->target = f->target;
		out->nat = f->nat;
		out->link = f->link;
		seen = READ_ONCE(f->seen);
		memory_order();
		if (version & 1 || READ_ONCE(f->version) != version)
			return 0;
		if (now > seen && now - seen > (out->link >> 48) * cfg->hz)
			return 0;
		return f;
	}
	return 0;
}

static __always_inline int to_target_fast(struct xdp_md *ctx, const struct setting *cfg,
					  const struct plain *p, const struct listener *l,
					  __u64 mac)
{
	__u64 now = clock_now(cfg);
	struct found found = {};
	struct flow *f = established(cfg, p, now, l, &found);
	struct target *t;
	struct way w;

	if (!f || found.nat)
		return LONG_WAY;
	t = target_by_id(found.target);
	if (!t || (t->flags & TARGET_TERMINATE))
		return LONG_WAY;
	w.addr = t->addr;
	w.port = t->port;
	w.mac = t->mac;
	w.balancer = l->balancer;
	f->seen = now;
	f->bytes += p->length;
	learn_link(f, mac);
	return send_on(ctx, cfg, p, &w, 0);
}

static __always_inline int to_client_fast(struct xdp_md *ctx, const struct setting *cfg,
					  const struct plain *p)
{
	__u64 now = clock_now(cfg);
	struct found found = {};
	struct flow *f = established(cfg, p, now, 0, &found);
	struct listener *l;
	struct target *t;
	struct way w;

	if (!f)
		return LONG_WAY;
	t = target_by_id(found.target);
	if (!t || t->port != p->sport || !addr_equal(&t->addr, &p->src))
		return LONG_WAY;
	l = listener_by_id(found.listener);
	if (!l)
		return LONG_WAY;
	w.addr = l->vip;
	w.port = l->port;
	w.mac = found.link & MAC_MASK;
	w.balancer = l->balancer;
	f->seen = now;
	f->bytes += p->length;
	return send_on(ctx, cfg, p, &w, 1);
}

/* Takes a frame the short way, or says LONG_WAY and has not touched it. Without a
 * hint the packet may be a reply: no flow has a listener's own address and port
 * for its client, because replies to those never reach it. */
static __always_inline int take_short_way(struct xdp_md *ctx, const struct setting *cfg, int v4)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct listener *l;
	struct plain p;

	if (TRACE || !(v4 ? plain_v4(&p, data, end) : plain_v6(&p, data, end)))
		return LONG_WAY;
	/* Two bytes more than a MAC, in one load: the headers are there. */
	if ((*(__u64 *)data & MAC_MASK) != cfg->mac)
		return LONG_WAY;
	l = hinted(&p.dst, p.dport, p.proto);
	if (l)
		return to_target_fast(ctx, cfg, &p, l, *(__u64 *)(data + ETH_ALEN) & MAC_MASK);
	return to_client_fast(ctx, cfg, &p);
}

/* Apart, because both in one would not leave the long way enough of the stack. */
static __noinline int short_way_v6(struct xdp_md *ctx)
{
	struct setting *cfg = settings_get();

	return cfg ? take_short_way(ctx, cfg, 0) : LONG_WAY;
}

#endif

/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* ICMP and ICMPv6. Errors about a flow (destination unreachable, with it
 * fragmentation needed; packet too big) are translated in both directions, the
 * packet that they quote included, so that path MTU discovery works. Echo
 * requests to a load balancer address are dropped as NLB does, or answered. */
#ifndef FAIRLEAD_ICMP_H
#define FAIRLEAD_ICMP_H

#include "client.h"
#include "target.h"

#define ICMP_HEADER 8
#define ICMP_QUOTED_L4 8 /* of the transport header at least (RFC 792) */

/* What an error quotes. */
enum quoted {
	QUOTED_OTHER, /* nothing of ours */
	QUOTED_L4,
	QUOTED_LATER, /* UDP fragment without the header */
};

static __always_inline int is_icmp_error(const struct packet *p)
{
	if (p->family == 4)
		return p->icmp_type == 3;
	return p->icmp_type == 1 || p->icmp_type == 2;
}

static __always_inline int is_echo(const struct packet *p)
{
	return p->icmp_type == (p->family == 4 ? 8 : 128);
}

/* Reads the quoted packet as the packet that would come back to it: source and
 * destination swapped, which is how flows are looked up. */
static __always_inline enum quoted parse_quoted(struct packet *q, const struct packet *p,
						void *data, void *end)
{
	__u32 at = (p->l4 & 0x7f) + ICMP_HEADER;
	__be16 *ports;

	q->family = p->family;
	q->flags = q->fragment = 0;
	if (p->family == 4) {
		struct iphdr *ip = data + at;

		if ((void *)(ip + 1) + ICMP_QUOTED_L4 > end ||
		    p->length < at - ETH_HLEN + sizeof(*ip) + ICMP_QUOTED_L4)
			return QUOTED_OTHER;
		if (ip->version != 4 || ip->ihl != 5)
			return QUOTED_OTHER;
		q->fragment = (ip->frag_off & bpf_htons(IP_OFFSET)) != 0;
		q->id = bpf_ntohs(ip->id);
		addr_v4(&q->src, ip->daddr);
		addr_v4(&q->dst, ip->saddr);
		q->proto = ip->protocol;
		q->l4 = at + sizeof(*ip);
		ports = (void *)(ip + 1);
	} else {
		struct ipv6hdr *ip = data + at;

		if ((void *)(ip + 1) + ICMP_QUOTED_L4 > end ||
		    p->length < at - ETH_HLEN + sizeof(*ip) + ICMP_QUOTED_L4)
			return QUOTED_OTHER;
		if (ip->version != 6)
			return QUOTED_OTHER;
		addr_v6(&q->src, &ip->daddr);
		addr_v6(&q->dst, &ip->saddr);
		q->proto = ip->nexthdr;
		q->l4 = at + sizeof(*ip);
		ports = (void *)(ip + 1);
		if (q->proto == IPPROTO_FRAGMENT) {
			struct fragment_header *f = (void *)(ip + 1);

			q->fragment = (f->offset & bpf_htons(IP6_OFFSET)) != 0;
			q->id = bpf_ntohl(f->id);
			q->proto = f->nexthdr;
			q->l4 += sizeof(*f);
			ports = (void *)(f + 1);
			if (q->proto != IPPROTO_UDP)
				return QUOTED_OTHER;
			if (!q->fragment && ((void *)(f + 1) + ICMP_QUOTED_L4 > end ||
					     p->length < q->l4 - ETH_HLEN + ICMP_QUOTED_L4))
				return QUOTED_OTHER;
		}
	}
	q->mac = p->mac;
	if (!addr_equal(&q->dst, &p->dst))
		return QUOTED_OTHER;
	if (q->fragment)
		return q->proto == IPPROTO_UDP ? QUOTED_LATER : QUOTED_OTHER;
	if ((void *)(ports + 2) > end)
		return QUOTED_OTHER;
	q->dport = ports[0];
	q->sport = ports[1];
	return q->proto == IPPROTO_TCP || q->proto == IPPROTO_UDP ? QUOTED_L4 : QUOTED_OTHER;
}

/* Finds a flow without touching it. */
static __always_inline int peek_anywhere(const struct setting *cfg, struct walk *k)
{
	struct place at;

	if (!place_of(cfg, k->wanted.hash, &at))
		return 0;
	return peek(cfg, at.flows, &k->wanted, &k->advance.flow, FLOW_SPAN) ||
	       peek(cfg, at.half_open, &k->wanted, &k->advance.flow, HALF_SPAN);
}

/* Rewrites the quoted transport checksum if the quote reaches that far; returns
 * what that adds to the sum of the ICMP message. */
static __always_inline __u64 edit_quoted_check(void *data, void *end, const struct packet *p,
					       const struct packet *q, __u64 diff)
{
	__u32 offset = (q->l4 & 0xff) + (q->proto == IPPROTO_TCP ? TCP_CHECK : UDP_CHECK);
	__u16 *check = data + offset;
	__u16 old;

	if ((void *)(check + 1) > end || offset + 2 > p->length + ETH_HLEN)
		return 0;
	old = *check;
	if (q->proto == IPPROTO_UDP)
		edit_udp_csum(check, diff);
	else
		*check = csum_apply(old, diff);
	return csum_diff16(old, *check);
}

/* Rewrites the quoted packet to the edit's tuple; returns the sum's difference,
 * or ~0 when the frame is too short after all. */
static __always_inline __u64 edit_quoted(void *data, void *end, const struct packet *p,
					 const struct packet *q, const struct edit *e)
{
	__u64 addrs = csum_addr_diff(&q->dst, &e->src) + csum_addr_diff(&q->src, &e->dst);
	__u64 ports = csum_diff16(q->dport, e->sport) + csum_diff16(q->sport, e->dport);
	__u32 at = (p->l4 & 0x7f) + ICMP_HEADER;
	__be16 *l4 = data + (q->l4 & 0xff);
	__u64 diff = addrs;

	if (q->family == 4) {
		struct iphdr *ip = data + at;

		if ((void *)(ip + 1) + ICMP_QUOTED_L4 > end)
			return ~0ULL;
		diff += csum_diff16(ip->check, csum_apply(ip->check, addrs));
		ip->check = csum_apply(ip->check, addrs);
		ip->saddr = addr_to_v4(&e->src);
		ip->daddr = addr_to_v4(&e->dst);
	} else {
		struct ipv6hdr *ip = data + at;

		if ((void *)(ip + 1) + ICMP_QUOTED_L4 > end)
			return ~0ULL;
		addr_store_v6(&ip->saddr, &e->src);
		addr_store_v6(&ip->daddr, &e->dst);
	}
	if (q->fragment)
		return diff;
	if ((void *)(l4 + 2) > end)
		return ~0ULL;
	diff += ports + edit_quoted_check(data, end, p, q, addrs + ports);
	l4[0] = e->sport;
	l4[1] = e->dport;
	return diff;
}

/* Sends the error on: outer holds its new addresses and next hop, the walk's
 * edit the tuple of the quoted packet. */
static __noinline int send_error(hook_ctx *ctx, struct walk *k)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct setting *cfg = settings_get();
	struct packet *p = &k->packet;
	__u16 *check = data + (p->l4 & 0x7f) + 2;
	__u64 diff;

	if (!cfg || addr_is_v4(&k->edit.dst) != (p->family == 4))
		return verdict(XDP_DROP, DROP_ERROR);
	diff = edit_quoted(data, end, p, &k->quoted, &k->edit);
	if (diff == ~0ULL || (void *)(check + 1) > end)
		return verdict(XDP_DROP, DROP_ERROR);
	if (p->family == 6)
		diff += csum_addr_diff(&p->src, &k->outer.src) +
			csum_addr_diff(&p->dst, &k->outer.dst);
	*check = csum_apply(*check, diff);
	if (!edit_l3(data, end, p, &k->outer) || !edit_macs(data, end, cfg, k->outer.mac))
		return verdict(XDP_DROP, DROP_ERROR);
	return forward(ctx, cfg, k->outer.mac, SENT_ICMP);
}

/* Something on the client's side complains about a reply. */
static __always_inline int error_to_target(hook_ctx *ctx, const struct setting *cfg,
					   struct walk *k, const struct listener *l)
{
	const struct found *f = &k->advance.flow;
	struct target *t;

	wanted_from_client(&k->wanted, cfg, &k->quoted, l);
	if (!peek_anywhere(cfg, k)) {
		if (l->flags & LISTENER_LOCAL)
			return verdict(XDP_PASS, PASS_LOCAL);
		return verdict(XDP_DROP, DROP_ICMP_FLOW);
	}
	t = target_by_id(f->target);
	if (!t || (t->flags & TARGET_TERMINATE))
		return verdict(XDP_DROP, DROP_ICMP_FLOW);
	k->edit.src = t->addr;
	k->edit.sport = t->port;
	k->edit.dst = k->quoted.src;
	k->edit.dport = k->quoted.sport;
	k->outer.src = k->packet.src;
	if (f->nat) {
		k->edit.dst = l->vip;
		k->edit.dport = f->nat;
		k->outer.src = l->vip;
	}
	k->outer.dst = t->addr;
	k->outer.mac = t->mac;
	return send_error(ctx, k);
}

/* Something on the target's side complains about what the client sent. */
static __always_inline int error_to_client(hook_ctx *ctx, const struct setting *cfg,
					   struct walk *k, struct vip *vip)
{
	struct listener *l;

	wanted_from_target(&k->wanted, cfg, &k->quoted);
	if (vip && !wanted_from_nat(k, cfg, &k->quoted)) {
		if (is_local_reply(&k->quoted, vip))
			return verdict(XDP_PASS, PASS_LOCAL);
		return verdict(XDP_DROP, DROP_ICMP_FLOW);
	}
	if (!peek_anywhere(cfg, k) || !is_from(&k->quoted, &k->advance.flow)) {
		if (vip)
			return verdict(XDP_DROP, DROP_ICMP_FLOW);
		return verdict(XDP_PASS, PASS_NO_FLOW);
	}
	l = listener_by_id(k->advance.flow.listener);
	if (!l)
		return verdict(XDP_DROP, DROP_NO_LISTENER_REPLY);
	k->edit.src = k->wanted.client;
	k->edit.sport = k->wanted.port;
	k->edit.dst = l->vip;
	k->edit.dport = l->port;
	k->outer.src = k->packet.src;
	if (addr_equal(&k->packet.src, &k->quoted.src))
		k->outer.src = l->vip;
	k->outer.dst = k->wanted.client;
	k->outer.mac = k->advance.flow.link & MAC_MASK;
	return send_error(ctx, k);
}

/* A later fragment has no ports: what its first one was tells the way. */
static __noinline int error_about_fragment(hook_ctx *ctx, struct walk *k)
{
	struct setting *cfg = settings_get();
	struct packet *q = &k->quoted;
	struct edit *was = &k->datagram.edit;
	const struct addr *far = &q->src;
	int hidden;

	fragment_key(&k->fragment, &q->dst, &q->src, q->id, 1);
	if (!cfg || !datagram_find(&k->fragment, &k->datagram, clock_now(cfg))) {
		if (vip_of(&k->packet.dst))
			return verdict(XDP_DROP, DROP_ICMP_FLOW);
		return verdict(XDP_PASS, PASS_NO_FLOW);
	}
	/* Clients see no target, targets behind source NAT nobody but the VIP. */
	hidden = addr_equal(&k->packet.src, far);
	if (k->datagram.reason == SENT_TO_CLIENT)
		hidden = !addr_equal(&was->dst, far);
	k->outer.src = hidden ? was->dst : k->packet.src;
	k->outer.dst = was->src;
	k->outer.mac = was->mac;
	k->edit.src = was->src;
	k->edit.dst = was->dst;
	return send_error(ctx, k);
}

static __noinline int icmp_error(hook_ctx *ctx, struct walk *k)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct setting *cfg = settings_get();
	struct vip *vip = vip_of(&k->packet.dst);
	struct listener *l;

	if (!cfg)
		return XDP_PASS;
	switch (parse_quoted(&k->quoted, &k->packet, data, end)) {
	case QUOTED_LATER:
		return error_about_fragment(ctx, k);
	case QUOTED_L4:
		break;
	default:
		if (vip)
			return verdict(XDP_DROP, DROP_ICMP_FLOW);
		return verdict(XDP_PASS, PASS_NO_FLOW);
	}
	l = vip ? listener_of(&k->quoted, &k->nat.key) : 0;
	if (l)
		return error_to_target(ctx, cfg, k, l);
	return error_to_client(ctx, cfg, k, vip);
}

/* Swapping the addresses leaves every sum as it is; only the type changes. */
static __noinline int answer_echo(hook_ctx *ctx, struct walk *k)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct setting *cfg = settings_get();
	struct packet *p = &k->packet;
	__u8 *message = data + (p->l4 & 0x7f);
	__be16 type;

	if (!cfg || !(cfg->flags & SETTING_ECHO))
		return verdict(XDP_DROP, DROP_ECHO);
	if (!may_answer(cfg, clock_now(cfg)))
		return verdict(XDP_DROP, DROP_RATE);
	k->outer.src = p->dst;
	k->outer.dst = p->src;
	if ((void *)(message + ICMP_HEADER) > end || !edit_l3(data, end, p, &k->outer) ||
	    !edit_macs(data, end, cfg, p->mac))
		return verdict(XDP_DROP, DROP_ERROR);
	type = *(__be16 *)message;
	message[0] = p->family == 4 ? 0 : 129;
	*(__u16 *)(message + 2) =
		csum_apply(*(__u16 *)(message + 2), csum_diff16(type, *(__be16 *)message));
	return transmit(ctx, cfg, SENT_ECHO);
}

static __always_inline int icmp(hook_ctx *ctx, struct walk *k)
{
	struct packet *p = &k->packet;
	struct vip *vip;

	if (is_icmp_error(p))
		return icmp_error(ctx, k);
	vip = vip_of(&p->dst);
	if (!vip)
		return verdict(XDP_PASS, PASS_NO_FLOW);
	if (is_echo(p)) {
		if (!admits(vip->echo_clients, &p->src))
			return bar_inbound(p, vip->balancer);
		return answer_echo(ctx, k);
	}
	return verdict(XDP_DROP, DROP_ICMP_TYPE);
}

#endif

/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Packets that are for no listener: replies of targets, or not ours. */
#ifndef FAIRLEAD_TARGET_H
#define FAIRLEAD_TARGET_H

#include "walk.h"

/* Sends a reply to its flow's client. */
static __always_inline int to_client(hook_ctx *ctx, const struct setting *cfg, struct walk *k)
{
	const struct found *f = &k->advance.flow;
	struct listener *l = listener_by_id(f->listener);
	struct packet *p = &k->packet;
	struct edit *e = &k->edit;

	if (!l)
		return verdict(XDP_DROP, DROP_NO_LISTENER_REPLY);
	e->src = l->vip;
	e->sport = l->port;
	e->dst = k->wanted.client;
	e->dport = k->wanted.port;
	e->mac = f->link & MAC_MASK;
	if (!edit_frame(ctx, cfg, p, e))
		return verdict(XDP_DROP, DROP_ERROR);
	count_processed(p, l->balancer);
	if (p->proto == IPPROTO_TCP && (p->flags & TCP_RST))
		COUNT(l->balancer, tcp_target_reset_count, 1);
	follow_fragments(k, l->balancer, SENT_TO_CLIENT);
	return forward(ctx, cfg, e->mac, SENT_TO_CLIENT);
}

/* The tag found the flow; the target itself has the last word. */
static __always_inline int is_from(const struct packet *p, const struct found *f)
{
	struct target *t = target_by_id(f->target);

	return t && t->port == p->sport && addr_equal(&t->addr, &p->src);
}

/* Whether a packet to a load balancer address may be a reply to a connection of
 * the kernel's own: one that a listener in user space made to a target. */
static __always_inline int is_local_reply(const struct packet *p, const struct vip *vip)
{
	return (vip->flags & VIP_LOCAL) && p->proto == IPPROTO_TCP &&
	       bpf_ntohs(p->dport) >= FIRST_LOCAL_PORT;
}

/* Not a reply of any flow. For a load balancer address that is the end of it,
 * unless the kernel waits for it. */
static __always_inline int unknown_reply(const struct packet *p, struct vip *vip)
{
	if (vip && is_local_reply(p, vip) && !is_opening(p))
		return verdict(XDP_PASS, PASS_LOCAL);
	if (vip)
		return verdict(XDP_DROP, DROP_NO_LISTENER);
	return verdict(XDP_PASS, PASS_NO_FLOW);
}

static __always_inline void wanted_from_target(struct wanted *w, const struct setting *cfg,
					       const struct packet *p)
{
	w->client = p->dst;
	w->port = p->dport;
	w->nat = 0;
	w->listener = 0;
	w->proto = p->proto;
	w->mac = 0;
	w->tag = target_tag(cfg, &p->src, p->sport);
	w->now = clock_now(cfg);
	w->hash = hash_end(cfg, KEY_FLOW, &p->dst, p->dport, p->proto);
}

/* A reply to one of our source ports: leads back to the client's own record. */
static __always_inline int wanted_from_nat(struct walk *k, const struct setting *cfg,
					   const struct packet *p)
{
	struct wanted *w = &k->wanted;

	k->nat.vip = p->dst;
	k->nat.nat = p->dport;
	k->nat.tag = w->tag;
	k->nat.proto = p->proto;
	if (!nat_lookup(&k->nat, w->now))
		return 0;
	w->client = k->nat.client;
	w->port = k->nat.port;
	w->nat = k->nat.nat;
	w->hash = hash_end(cfg, KEY_FLOW, &w->client, w->port, w->proto);
	return 1;
}

static __noinline int target_slow(hook_ctx *ctx, struct walk *k)
{
	struct setting *cfg = settings_get();
	struct vip *vip = vip_of(&k->packet.dst);
	struct advance *a = &k->advance;
	struct listener *l;

	if (!cfg)
		return XDP_PASS;
	if (vip && !wanted_from_nat(k, cfg, &k->packet))
		return unknown_reply(&k->packet, vip);
	advance_target(&k->packet, &k->wanted, a);
	if (a->step == STEP_UNKNOWN || !is_from(&k->packet, &a->flow))
		return unknown_reply(&k->packet, vip);
	if (a->step == STEP_DELIVER)
		return to_client(ctx, cfg, k);
	l = listener_by_id(a->flow.listener);
	if (!l)
		return verdict(XDP_DROP, DROP_NO_LISTENER_REPLY);
	return refuse(ctx, &k->packet, l->balancer, RESET_IDLE, DROP_ERROR);
}

static __always_inline int from_target(hook_ctx *ctx, const struct setting *cfg,
				       struct walk *k)
{
	struct flow *flow;

	wanted_from_target(&k->wanted, cfg, &k->packet);
	flow = peek_established(cfg, k);
	if (!flow || !is_from(&k->packet, &k->advance.flow))
		return target_slow(ctx, k);
	refresh(flow, &k->packet, k->wanted.now);
	return to_client(ctx, cfg, k);
}

#endif

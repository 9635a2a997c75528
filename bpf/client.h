/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Packets for a listener. */
#ifndef FAIRLEAD_CLIENT_H
#define FAIRLEAD_CLIENT_H

#include "walk.h"

static __always_inline void count_rejected(const struct packet *p, const struct listener *l)
{
	if (p->proto == IPPROTO_TCP)
		COUNT(l->balancer, rejected_flow_count_tcp, 1);
	else
		COUNT(l->balancer, rejected_flow_count_udp, 1);
}

static __always_inline void describe_nat(struct nat *n, const struct packet *p,
					 const struct listener *l)
{
	n->vip = l->vip;
	n->client = p->src;
	n->port = p->sport;
	n->listener = l->id;
	n->idle_seconds = l->idle_seconds;
	n->proto = p->proto;
}

/* The flow's source port lives as long as the flow. */
static __always_inline void touch_nat(const struct setting *cfg, struct walk *k,
				      const struct listener *l, const struct target *t)
{
	describe_nat(&k->nat, &k->packet, l);
	k->nat.target = t->id;
	k->nat.tag = target_tag(cfg, &t->addr, t->port);
	k->nat.nat = k->advance.flow.nat;
	k->nat.state = FLOW_ESTABLISHED;
	nat_touch(&k->nat, k->wanted.now);
}

/* Sends a packet to its flow's target. */
static __always_inline int to_target(hook_ctx *ctx, const struct setting *cfg,
				     struct walk *k, const struct listener *l)
{
	const struct found *f = &k->advance.flow;
	struct target *t = target_by_id(f->target);
	struct packet *p = &k->packet;
	struct edit *e = &k->edit;

	if (!t || (t->flags & TARGET_TERMINATE)) {
		forget(&k->wanted);
		return refuse(ctx, p, l->balancer, RESET_TERMINATED, DROP_TERMINATED);
	}
	e->src = p->src;
	e->sport = p->sport;
	if (f->nat) {
		e->src = l->vip;
		e->sport = f->nat;
		if (f->state == FLOW_ESTABLISHED)
			touch_nat(cfg, k, l, t);
	}
	e->dst = t->addr;
	e->dport = t->port;
	e->mac = t->mac;
	if (addr_is_v4(&e->dst) != (p->family == 4) || !edit_frame(ctx, cfg, p, e))
		return verdict(XDP_DROP, DROP_ERROR);
	count_processed(p, l->balancer);
	if (p->proto == IPPROTO_TCP && (p->flags & TCP_RST))
		COUNT(l->balancer, tcp_client_reset_count, 1);
	follow_fragments(k, l->balancer, SENT_TO_TARGET);
	return forward(ctx, cfg, e->mac, SENT_TO_TARGET);
}

static __always_inline void describe_flow(struct flow *made, const struct packet *p,
					  const struct listener *l, const struct wanted *w)
{
	made->state = FLOW_OPENING;
	made->flags = 0;
	made->proto = p->proto;
	made->seen = w->now;
	made->client = p->src;
	made->port = p->sport;
	made->nat = 0;
	made->listener = l->id;
	made->link = w->mac | (__u64)l->idle_seconds << 48;
	made->bytes = 0;
}

static __always_inline int reserve(struct walk *k, const struct listener *l)
{
	describe_nat(&k->nat, &k->packet, l);
	k->nat.target = k->made.target;
	k->nat.tag = k->made.tag;
	k->nat.state = FLOW_OPENING;
	if (!nat_reserve(&k->nat, k->wanted.hash, k->wanted.now))
		return 0;
	k->made.nat = k->nat.nat;
	return 1;
}

/* A flow that is to be opened at once, and what open_flow says when it had better
 * be looked for first: nothing has been done then. */
#define AT_ONCE 0
#define LOOKED 1
#define LOOK_FIRST REASONS

/* Chooses a target for a new flow and writes the flow down. 0 when done; else
 * the reason for a reset, or for a silent drop when rules forbid the flow, and
 * the packet goes no further. */
static __always_inline int open_flow(const struct setting *cfg, struct walk *k,
				     const struct listener *l, int looked)
{
	struct flow *made = &k->made;
	struct chosen *c = &k->chosen;
	struct target *t;
	int result, hairpin;
	__u32 forbidden;

	choose(&k->packet, l, c);
	t = c->target ? target_by_id(c->target) : 0;
	if (!t && (c->flags & GROUP_UNRESOLVED))
		return DROP_UNRESOLVED;
	if (!t || addr_is_v4(&t->addr) != (k->packet.family == 4))
		return RESET_NO_TARGET;
	forbidden = judge_target(&k->packet, t);
	if (forbidden)
		return forbidden;
	describe_flow(made, &k->packet, l, &k->wanted);
	made->target = t->id;
	made->tag = target_tag(cfg, &t->addr, t->port);
	hairpin = is_hairpin(&k->packet, t) || (EGRESS && t->mac == cfg->mac);
	if (!looked && (hairpin || (c->flags & GROUP_SOURCE_NAT)))
		return LOOK_FIRST;
	if (hairpin)
		event(EVENT_HAIRPIN);
	if ((hairpin || (c->flags & GROUP_SOURCE_NAT)) && !reserve(k, l))
		return RESET_NO_PORT;
	result = insert(&k->wanted, made, &k->advance.flow);
	if (!looked && result == INSERTED_BY_ANOTHER)
		return LOOK_FIRST;
	if (result == INSERT_CONFLICT) {
		event(EVENT_TUPLE_CONFLICT);
		if (!reserve(k, l))
			return RESET_NO_PORT;
		result = insert(&k->wanted, made, &k->advance.flow);
	}
	if (result == INSERT_FULL)
		return RESET_TABLE_FULL;
	if (result == INSERTED)
		copy_out(&k->advance.flow, made);
	if (c->flags & GROUP_FAIL_OPEN)
		COUNT(l->balancer, unhealthy_routing_flow_count, 1);
	if (k->packet.proto != IPPROTO_TCP)
		COUNT(l->balancer, new_flow_count_udp, 1);
	return 0;
}

static __always_inline __u32 drop_instead(__u32 reset_reason)
{
	if (reset_reason == RESET_NO_TARGET)
		return DROP_NO_TARGET;
	return reset_reason == RESET_NO_PORT ? DROP_NO_PORT : DROP_TABLE_FULL;
}

/* AT_ONCE whatever is in the way of the flow makes it LOOK_FIRST. */
static __noinline int client_opens(hook_ctx *ctx, struct walk *k, const struct listener *l,
				   int looked)
{
	struct setting *cfg = settings_get();
	int why;

	if (!cfg)
		return XDP_PASS;
	why = open_flow(cfg, k, l, looked);
	if (!why)
		return to_target(ctx, cfg, k, l);
	if (!looked)
		return LOOK_FIRST;
	if (why == DROP_OUTBOUND_RULES)
		return bar_outbound(&k->packet, l->balancer);
	if (why == DROP_TARGET_RULES || why == DROP_UNRESOLVED)
		return verdict(XDP_DROP, why);
	count_rejected(&k->packet, l);
	if (why == RESET_NO_PORT)
		COUNT(l->balancer, port_allocation_error_count, 1);
	return refuse(ctx, &k->packet, l->balancer, why, drop_instead(why));
}

#define OPENS -1

/* Everything but a plain packet of an established flow. OPENS says that the packet
 * may begin a flow: the caller calls client_opens, for which the stack has no room
 * below this. */
static __noinline int client_slow(hook_ctx *ctx, struct walk *k, const struct listener *l)
{
	struct setting *cfg = settings_get();
	struct packet *p = &k->packet;
	struct advance *a = &k->advance;

	if (!cfg)
		return XDP_PASS;
	if (begins_flow(cfg, p, &k->wanted)) {
		a->step = STEP_OPEN;
	} else {
		advance_client(p, &k->wanted, a);
		count_eviction(a->evicted);
		if (a->promoted && p->proto == IPPROTO_TCP)
			COUNT(l->balancer, new_flow_count_tcp, 1);
	}
	switch (a->step) {
	case STEP_DELIVER:
		return to_target(ctx, cfg, k, l);
	case STEP_OPEN:
		if (l->flags & LISTENER_DELETED)
			return verdict(XDP_DROP, DROP_NO_LISTENER);
		if (!admits(l->clients, &p->src))
			return bar_inbound(p, l->balancer);
		if (l->flags & LISTENER_LOCAL)
			return verdict(XDP_PASS, PASS_LOCAL);
		return OPENS;
	case STEP_IDLE:
		return refuse(ctx, p, l->balancer, RESET_IDLE, DROP_ERROR);
	case STEP_REFUSED:
		return refuse(ctx, p, l->balancer, RESET_HALF_OPEN, DROP_ERROR);
	case STEP_FULL:
		count_rejected(p, l);
		return refuse(ctx, p, l->balancer, RESET_TABLE_FULL, DROP_TABLE_FULL);
	default: /* not even a reset for those who may not open a flow */
		if (l->flags & LISTENER_DELETED)
			return verdict(XDP_DROP, DROP_NO_LISTENER);
		if (l->flags & LISTENER_LOCAL)
			return verdict(XDP_PASS, PASS_LOCAL);
		if (!admits(l->clients, &p->src))
			return bar_inbound(p, l->balancer);
		if (cfg->flags & SETTING_RESTORING)
			return verdict(XDP_DROP, DROP_RESTORING);
		return refuse(ctx, p, l->balancer, RESET_UNKNOWN, DROP_ERROR);
	}
}

static __always_inline void wanted_from_client(struct wanted *w, const struct setting *cfg,
					       const struct packet *p, const struct listener *l)
{
	w->client = p->src;
	w->port = p->sport;
	w->nat = 0;
	w->tag = 0;
	w->proto = p->proto;
	w->listener = l->id;
	w->mac = p->mac;
	w->now = clock_now(cfg);
	w->hash = hash_end(cfg, KEY_FLOW, &p->src, p->sport, p->proto);
}

/* Whether a packet almost certainly begins a flow that nothing is in the way of:
 * insert looks for one anyway, under the lock, so looking before would be the
 * second time. Not for UDP, whose flows may stay half-open for as long as they live,
 * and not for a trace, which is to tell the whole way. */
static __always_inline int likely_opens(const struct walk *k, const struct listener *l)
{
	const struct packet *p = &k->packet;

	return !TRACE && p->proto == IPPROTO_TCP && is_opening(p) &&
	       !(l->flags & (LISTENER_LOCAL | LISTENER_DELETED)) && admits(l->clients, &p->src);
}

static __always_inline int from_client(hook_ctx *ctx, const struct setting *cfg,
				       struct walk *k, const struct listener *l)
{
	struct flow *flow;
	int action;

	if (flags_impossible(&k->packet))
		return verdict(XDP_DROP, DROP_FLAGS);
	wanted_from_client(&k->wanted, cfg, &k->packet, l);
	if (likely_opens(k, l)) {
		action = client_opens(ctx, k, l, AT_ONCE);
		if (action != LOOK_FIRST)
			return action;
	}
	flow = peek_established(cfg, k);
	if (!flow) {
		action = client_slow(ctx, k, l);
		return action == OPENS ? client_opens(ctx, k, l, LOOKED) : action;
	}
	refresh(flow, &k->packet, k->wanted.now);
	learn_link(flow, k->wanted.mac);
	return to_target(ctx, cfg, k, l);
}

#endif

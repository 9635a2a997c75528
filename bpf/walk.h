/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What is known of a packet on its way through the program: too much for a stack
 * of 512 bytes, so one per CPU. XDP is never interrupted by XDP. */
#ifndef FAIRLEAD_WALK_H
#define FAIRLEAD_WALK_H

#include "admit.h"
#include "flow.h"
#include "fragment.h"
#include "nat.h"
#include "reset.h"
#include "rewrite.h"
#include "tcp.h"

struct walk {
	struct packet packet;
	struct wanted wanted;
	struct advance advance;
	struct chosen chosen; /* for a new flow */
	struct flow made;     /* it */
	struct nat nat;
	struct edit edit;
	struct datagram_key fragment; /* of which datagram the packet is one */
	struct datagram datagram;
	struct packet quoted; /* by an ICMP error, source and destination swapped */
	struct edit outer;    /* of an ICMP message */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct walk);
} walks SEC(".maps");

static __always_inline struct walk *walk_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&walks, &zero);
}

/* The fast path: a plain packet of an established flow needs no lock. */
static __always_inline struct flow *peek_established(const struct setting *cfg, struct walk *k)
{
	__u32 index = k->wanted.hash & cfg->flow_mask;
	struct bucket *b = bpf_map_lookup_elem(&flows, &index);
	struct flow *f;

	if (TRACE || !b || !is_plain(&k->packet))
		return 0;
	f = peek(cfg, b, &k->wanted, &k->advance.flow, FLOW_SPAN);
	return f && k->advance.flow.state == FLOW_ESTABLISHED ? f : 0;
}

/* A packet that cannot be forwarded: TCP gets a reset, UDP nothing. */
static __noinline int refuse(hook_ctx *ctx, const struct packet *p, __u32 balancer,
			     __u32 reset_reason, __u32 drop_reason)
{
	if (p->proto == IPPROTO_TCP)
		return reset(ctx, p, balancer, reset_reason);
	return verdict(XDP_DROP, drop_reason);
}

static __always_inline void fragment_key(struct datagram_key *k, const struct addr *src,
					 const struct addr *dst, __u32 id, __u32 quoted)
{
	k->src = *src;
	k->dst = *dst;
	k->id = id;
	k->quoted = quoted;
}

/* What becomes of the first fragment becomes of the others. */
static __always_inline void follow_fragments(struct walk *k, __u32 balancer, __u32 reason)
{
	const struct packet *p = &k->packet;

	if (!p->fragment)
		return;
	fragment_key(&k->fragment, &p->src, &p->dst, p->id, 0);
	k->datagram.edit = k->edit;
	k->datagram.balancer = balancer;
	k->datagram.reason = reason;
	datagram_keep(&k->fragment, &k->datagram, k->wanted.now);
	fragment_key(&k->fragment, &k->edit.src, &k->edit.dst, p->id, 1);
	k->datagram.edit.src = p->src;
	k->datagram.edit.dst = p->dst;
	k->datagram.edit.mac = p->mac;
	datagram_keep(&k->fragment, &k->datagram, k->wanted.now);
}

static __always_inline void count_processed(const struct packet *p, __u32 balancer)
{
	struct balancer_counts *c = bpf_map_lookup_elem(&balancer_counters, &balancer);

	if (!c)
		return;
	c->processed_packets++;
	if (p->proto == IPPROTO_TCP)
		c->processed_bytes_tcp += p->length;
	else
		c->processed_bytes_udp += p->length;
}

#endif

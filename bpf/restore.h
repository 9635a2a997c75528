/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Puts flows of another layout of the tables into these, while they are in use.
 * User space has brought the records into their present form and hands them over
 * in the packet of a test run; the program is never attached. */
#ifndef FAIRLEAD_RESTORE_H
#define FAIRLEAD_RESTORE_H

#include "walk.h"

#define RESTORE_BATCH 16

struct batch {
	__u64 half; /* the records are half_open's */
	struct flow flow[RESTORE_BATCH];
};

static __always_inline void put_restored(const struct setting *cfg, struct bucket *b,
					 struct flow *old, const struct flow *f,
					 const struct wanted *w, __u32 span)
{
	__u32 r = 0;

	if (!old)
		old = vacancy(cfg, b, w->hash, w->now, span, &r);
	else if (old->seen >= f->seen)
		return;
	if (old)
		overwrite(old, f);
}

/* Restores a record unless the tables know the flow from a later packet. */
JUDGED_ALONE int restore_one(struct walk *k, __u64 half)
{
	struct setting *cfg = settings_get();
	struct flow *f, *established, *opening;
	int is_nat_record;
	struct listener *l;
	struct place at;
	__u64 vip = 0;

	if (!cfg || !k)
		return 0;
	f = &k->made;
	is_nat_record = f->state == FLOW_NAT;
	k->wanted.client = f->client;
	k->wanted.port = f->port;
	k->wanted.proto = f->proto;
	k->wanted.listener = f->listener;
	k->wanted.now = clock_now(cfg);
	k->wanted.hash = hash_end(cfg, KEY_FLOW, &f->client, f->port, f->proto);
	if (is_nat_record) {
		l = listener_by_id(f->listener);
		if (!l)
			return 0;
		k->nat.vip = l->vip;
		k->nat.nat = f->nat;
		k->nat.tag = f->tag;
		k->nat.proto = f->proto;
		vip = vip_hash(cfg, &l->vip);
		k->wanted.hash = nat_hash(cfg, &k->nat);
	}
	if (!f->listener || !place_of(cfg, k->wanted.hash, &at))
		return 0;
	bpf_spin_lock(&at.lock->lock);
	if (is_nat_record) {
		established = find_nat(at.flows, k->wanted.hash, &k->nat, vip, FLOW_SPAN);
		opening = find_nat(at.half_open, k->wanted.hash, &k->nat, vip, HALF_SPAN);
	} else {
		established = find(at.flows, &k->wanted, FLOW_SPAN);
		opening = find(at.half_open, &k->wanted, HALF_SPAN);
	}
	take_home(&at, k->wanted.hash);
	if (!half)
		put_restored(cfg, at.flows, established, f, &k->wanted, FLOW_SPAN);
	else if (!established)
		put_restored(cfg, at.half_open, opening, f, &k->wanted, HALF_SPAN);
	bpf_spin_unlock(&at.lock->lock);
	return 1;
}

SEC("xdp")
int restore(struct xdp_md *ctx)
{
	struct batch *b = (void *)(long)ctx->data;
	struct walk *k = walk_get();
	int restored = 0;

	if (!k || (void *)(b + 1) > (void *)(long)ctx->data_end)
		return 0;
	for (__u32 i = 0; i < RESTORE_BATCH; i++) {
		if (b->flow[i].state == FLOW_FREE)
			continue;
		k->made = b->flow[i];
		restored += restore_one(k, b->half);
	}
	return restored;
}

#endif

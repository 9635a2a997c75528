/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Configuration lookups: which listener, and for a new flow which target. */
#ifndef FAIRLEAD_LOOKUP_H
#define FAIRLEAD_LOOKUP_H

#include "counters.h"
#include "hash.h"
#include "parse.h"

/* Only listeners leave hints, so nobody outside can wear them out. */
static __always_inline __u32 hint_index(const struct addr *vip, __be16 port, __u8 proto)
{
	__u64 h = (vip->d[0] ^ vip->d[1] ^ ((__u64)proto << 16 | port)) * 0x9e3779b97f4a7c15ULL;

	return h >> 52 & (HINTS - 1);
}

/* What a packet's listener was last time. That it still is, the listener says itself. */
static __always_inline struct listener *hinted(const struct addr *vip, __be16 port, __u8 proto)
{
	__u32 index = hint_index(vip, port, proto);
	__u32 *id = bpf_map_lookup_elem(&listener_hints, &index);
	struct listener *l;

	if (!id || !*id)
		return 0;
	l = listener_by_id(*id);
	if (!l || l->port != port || l->proto != proto || !addr_equal(&l->vip, vip))
		return 0;
	return l;
}

/* key is room for one: the stack is short. */
static __always_inline struct listener *listener_of(const struct packet *p,
						    struct listener_key *key)
{
	struct listener *l = hinted(&p->dst, p->dport, p->proto);
	__u32 index, *hint, *id;

	if (l)
		return l;
	key->vip = p->dst;
	key->port = p->dport;
	key->proto = p->proto;
	key->zero = key->zero2 = 0;
	id = bpf_map_lookup_elem(&listener_ids, key);
	if (!id)
		return 0;
	index = hint_index(&p->dst, p->dport, p->proto);
	hint = bpf_map_lookup_elem(&listener_hints, &index);
	if (hint && *hint != *id)
		*hint = *id;
	return listener_by_id(*id);
}

struct chosen {
	__u32 target;
	__u32 flags; /* the group's */
	__u32 group; /* index; with a slot only */
	__u32 slot;  /* of the group's table, from 1 */
};

/* The hash that spreads new flows: NLB's inputs, the TCP sequence number among
 * them. It decides the group by its upper half and the slot by its lower half. */
static __always_inline __u64 pick_hash(const struct setting *cfg, const struct packet *p)
{
	const __u64 *key = &cfg->key[KEY_PICK];
	__u32 ports = (__u32)p->dport << 16 | p->sport;
	__u64 sum = key[11] + sum_addr(key, &p->src) + sum_addr(key + 4, &p->dst) +
		    key[8] * ports + key[9] * p->proto;

	if (p->proto == IPPROTO_TCP)
		sum += key[10] * p->seq;
	return finish(sum);
}

static __always_inline struct group *choose_group(const struct listener *l, __u32 hash,
						  __u32 *index)
{
	for (__u32 i = 0; i < MAX_CHOICES; i++) {
		if (i >= l->choices)
			return 0;
		if (hash <= l->choice[i].bound) {
			*index = l->choice[i].group;
			return bpf_map_lookup_elem(&groups, index);
		}
	}
	return 0;
}

/* Picks the target of a new flow; out->target is 0 when there is none. */
JUDGED_ALONE int choose(const struct packet *p, const struct listener *l, struct chosen *out)
{
	struct setting *cfg = settings_get();
	__u32 index, slot, slots, *count, *id;
	struct group *g;
	__u64 hash, sticky;
	void *table;

	if (!cfg || !p || !l || !out)
		return 0;
	out->target = out->flags = out->slot = 0;
	hash = pick_hash(cfg, p);
	sticky = hash_end(cfg, KEY_SOURCE, &p->src, 0, 0);
	g = choose_group(l, (l->flags & LISTENER_STICKY ? sticky : hash) >> 32, &index);
	if (!g)
		return 0;
	out->flags = g->flags;
	out->group = index;
	table = bpf_map_lookup_elem(&tables, &index);
	if (!table)
		return 0;
	if (g->flags & GROUP_STICKY)
		hash = sticky;
	slots = g->slots;
	slot = slots ? 1 + (__u32)hash % slots : 0;
	id = slots ? bpf_map_lookup_elem(table, &slot) : 0;
	if (!id) {
		slot = 0;
		count = bpf_map_lookup_elem(table, &slot);
		if (!count || !*count)
			return 0;
		slot = 1 + (__u32)hash % *count;
		id = bpf_map_lookup_elem(table, &slot);
	}
	if (id)
		out->target = *id;
	out->slot = slot;
	return 0;
}

/* Whether client and target are addresses of one instance: such a target would
 * answer its neighbour directly and the reply would never come back here. The
 * longest of all prefixes decides whose the client's address is. */
static __always_inline int is_hairpin(const struct packet *p, const struct target *t)
{
	struct prefix_key key = {.length = 128, .addr = p->src};
	__u32 *instance;

	if (!t->instance)
		return 0;
	instance = bpf_map_lookup_elem(&prefixes, &key);
	return instance && *instance == t->instance;
}

static __always_inline __u32 target_tag(const struct setting *cfg, const struct addr *a,
					__be16 port)
{
	return hash_end(cfg, KEY_TAG, a, port, 0);
}

#endif

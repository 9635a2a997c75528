/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Fragments of UDP datagrams, both directions. Only the first has ports: what is
 * decided for it is kept for a few seconds under what all of them have, both
 * addresses, protocol and identification (RFC 791, RFC 8200 4.5).
 *
 * A table of one place for each hash, given to whoever came last: bounded, and
 * nothing has to be evicted. A datagram whose place is taken from it before its
 * last fragment came is lost, as it would be to a fragment lost on the way. */
#ifndef FAIRLEAD_FRAGMENT_H
#define FAIRLEAD_FRAGMENT_H

#include "hash.h"
#include "parse.h"
#include "rewrite.h"

#define MAX_DATAGRAMS 8192
#define DATAGRAM_SECONDS 5

/* What becomes of a datagram's fragments. */
struct datagram {
	struct edit edit;
	__u32 balancer;
	__u32 reason;
};

struct datagram_slot {
	struct bpf_spin_lock lock;
	__u32 id;
	__u64 seen; /* jiffies of the first fragment; 0: free */
	struct addr src, dst;
	struct datagram datagram;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_DATAGRAMS);
	__type(key, __u32);
	__type(value, struct datagram_slot);
} datagrams SEC(".maps");

static __always_inline struct datagram_slot *datagram_slot(const struct setting *cfg,
							   const struct packet *p)
{
	const __u64 *key = &cfg->key[KEY_PICK];
	__u64 hash = finish(key[11] + sum_addr(key, &p->src) + sum_addr(key + 4, &p->dst) +
			    key[8] * p->id);
	__u32 index = hash & (MAX_DATAGRAMS - 1);

	return bpf_map_lookup_elem(&datagrams, &index);
}

JUDGED_ALONE int datagram_keep(const struct packet *p, const struct datagram *d, __u64 now)
{
	struct setting *cfg = settings_get();
	struct datagram_slot *slot;

	if (!cfg || !p || !d)
		return 0;
	slot = datagram_slot(cfg, p);
	if (!slot)
		return 0;
	bpf_spin_lock(&slot->lock);
	slot->id = p->id;
	slot->seen = now;
	slot->src = p->src;
	slot->dst = p->dst;
	slot->datagram = *d;
	bpf_spin_unlock(&slot->lock);
	return 1;
}

JUDGED_ALONE int datagram_find(const struct packet *p, struct datagram *d, __u64 now)
{
	struct setting *cfg = settings_get();
	struct datagram_slot *slot;
	int found;

	if (!cfg || !p || !d)
		return 0;
	slot = datagram_slot(cfg, p);
	if (!slot)
		return 0;
	bpf_spin_lock(&slot->lock);
	/* seen may be of another CPU's later clock. */
	found = slot->seen && slot->id == p->id && addr_equal(&slot->src, &p->src) &&
		addr_equal(&slot->dst, &p->dst) && now <= slot->seen + DATAGRAM_SECONDS * cfg->hz;
	if (found)
		*d = slot->datagram;
	bpf_spin_unlock(&slot->lock);
	return found;
}

#endif

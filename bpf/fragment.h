/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Fragments of UDP datagrams, both directions. Only the first has ports: what is
 * decided for it is kept for a few seconds under what all of them have, both
 * addresses, protocol and identification (RFC 791, RFC 8200 4.5).
 *
 * A table of one place for each hash, given to whoever came last: bounded, and
 * nothing has to be evicted. A datagram whose place is taken from it before its
 * last fragment came is lost, as it would be to a fragment lost on the way.
 *
 * ICMP errors quote the fragments that were sent on. The way back for those about
 * later ones is kept in a second place, under the addresses that they were sent on
 * with. */
#ifndef FAIRLEAD_FRAGMENT_H
#define FAIRLEAD_FRAGMENT_H

#include "hash.h"
#include "parse.h"
#include "rewrite.h"

#define MAX_DATAGRAMS 16384
#define DATAGRAM_SECONDS 5

struct datagram_key {
	struct addr src, dst;
	__u32 id;
	__u32 quoted; /* by an ICMP error; 0: on its way */
};

/* What becomes of a datagram's fragments. When they are quoted: what they were
 * before, who sent them, and which way they went. */
struct datagram {
	struct edit edit;
	__u32 balancer;
	__u32 reason;
};

struct datagram_slot {
	struct bpf_spin_lock lock;
	__u32 zero;
	__u64 seen; /* jiffies of the first fragment; 0: free */
	struct datagram_key key;
	struct datagram datagram;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_DATAGRAMS);
	__type(key, __u32);
	__type(value, struct datagram_slot);
} datagrams SEC(".maps");

static __always_inline struct datagram_slot *datagram_slot(const struct setting *cfg,
							   const struct datagram_key *k)
{
	const __u64 *key = &cfg->key[KEY_PICK];
	__u64 hash = finish(key[11] + sum_addr(key, &k->src) + sum_addr(key + 4, &k->dst) +
			    key[8] * k->id + key[9] * k->quoted);
	__u32 index = hash & (MAX_DATAGRAMS - 1);

	return bpf_map_lookup_elem(&datagrams, &index);
}

JUDGED_ALONE int datagram_keep(const struct datagram_key *k, const struct datagram *d, __u64 now)
{
	struct setting *cfg = settings_get();
	struct datagram_slot *slot;

	if (!cfg || !k || !d)
		return 0;
	slot = datagram_slot(cfg, k);
	if (!slot)
		return 0;
	bpf_spin_lock(&slot->lock);
	slot->seen = now;
	slot->key = *k;
	slot->datagram = *d;
	bpf_spin_unlock(&slot->lock);
	return 1;
}

JUDGED_ALONE int datagram_find(const struct datagram_key *k, struct datagram *d, __u64 now)
{
	struct setting *cfg = settings_get();
	struct datagram_slot *slot;
	int found;

	if (!cfg || !k || !d)
		return 0;
	slot = datagram_slot(cfg, k);
	if (!slot)
		return 0;
	bpf_spin_lock(&slot->lock);
	/* seen may be of another CPU's later clock. */
	found = slot->seen && slot->key.id == k->id && slot->key.quoted == k->quoted &&
		addr_equal(&slot->key.src, &k->src) && addr_equal(&slot->key.dst, &k->dst) &&
		now <= slot->seen + DATAGRAM_SECONDS * cfg->hz;
	if (found)
		*d = slot->datagram;
	bpf_spin_unlock(&slot->lock);
	return found;
}

#endif

/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What makes the build for fairlead trace read-only: the buckets that a packet
 * leads to are copied once, and all that happens to flows happens to the copies. */
#ifndef FAIRLEAD_TRACE_H
#define FAIRLEAD_TRACE_H

#define COPIES 16 /* the flow's own hash, and one for each port that source NAT tries */

struct copy {
	__u64 hash;
	__u64 taken;
	struct bucket flows, half_open;
};

/* Made anew for each trace. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, COPIES);
	__type(key, __u32);
	__type(value, struct copy);
} copies SEC(".maps");

static __always_inline void copy_bucket(struct bucket *to, const struct bucket *from)
{
	for (__u32 i = 0; i < sizeof(*to) / sizeof(__u64); i++)
		((__u64 *)to)[i] = ((const volatile __u64 *)from)[i];
}

static __always_inline void take_copy(const struct setting *cfg, struct copy *c, __u64 hash)
{
	__u32 flow = hash & cfg->flow_mask, half = hash & cfg->half_mask, stripe = hash & cfg->lock_mask;
	struct bucket *established = bpf_map_lookup_elem(&flows, &flow);
	struct bucket *opening = bpf_map_lookup_elem(&half_open, &half);
	struct lock *lock = bpf_map_lookup_elem(&locks, &stripe);

	if (!established || !opening || !lock)
		return;
	bpf_spin_lock(&lock->lock);
	copy_bucket(&c->flows, established);
	copy_bucket(&c->half_open, opening);
	bpf_spin_unlock(&lock->lock);
	c->hash = hash;
	c->taken = 1;
}

/* Which copy has the buckets of a hash; COPIES when there is none left. */
JUDGED_ALONE int copy_of(__u64 hash)
{
	struct setting *cfg = settings_get();

	if (!cfg)
		return COPIES;
	for (__u32 i = 0; i < COPIES; i++) {
		__u32 index = i;
		struct copy *c = bpf_map_lookup_elem(&copies, &index);

		if (!c)
			break;
		if (!c->taken)
			take_copy(cfg, c, hash);
		if (c->taken && c->hash == hash)
			return i;
	}
	return COPIES;
}

static __always_inline int place_of_copies(const struct setting *cfg, __u64 hash, struct place *at)
{
	__u32 index = copy_of(hash), stripe = hash & cfg->lock_mask;
	struct copy *c = bpf_map_lookup_elem(&copies, &index);

	at->lock = bpf_map_lookup_elem(&locks, &stripe);
	if (!c || !at->lock)
		return 0;
	at->flows = &c->flows;
	at->half_open = &c->half_open;
	return 1;
}

#endif

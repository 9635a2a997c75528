/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Frees the records of listeners that are gone. User space, which reads the tables
 * as memory, says in the packet of a test run where they lie; whether they still do
 * is decided here, under the lock that packets take. Never attached. */
#ifndef FAIRLEAD_REAP_H
#define FAIRLEAD_REAP_H

#include "flow.h"

#define REAP_BATCH 64

struct reaped {
	__u32 bucket;
	__u16 slot;
	__u16 half; /* of half_open */
	__u32 listener; /* 0: none */
};

struct reaping {
	struct reaped record[REAP_BATCH];
};

/* The index of a bucket names its lock as a hash does: masks are powers of two
 * less one, that of the locks the smallest. */
JUDGED_ALONE int reap_one(__u32 bucket, __u32 slot, __u32 half, __u32 listener)
{
	struct setting *cfg = settings_get();
	struct place at;
	struct bucket *b;
	struct flow *f;
	int freed = 0;

	if (!cfg || !listener || !place_of(cfg, bucket, &at))
		return 0;
	b = half ? at.half_open : at.flows;
	f = &b->flow[slot & (BUCKET_SLOTS - 1)];
	bpf_spin_lock(&at.lock->lock);
	if (f->state != FLOW_FREE && f->listener == listener) {
		if (half)
			release(b, f, HALF_SPAN);
		else
			release_established(&at, f);
		freed = 1;
	}
	bpf_spin_unlock(&at.lock->lock);
	return freed;
}

SEC("xdp")
int reap(struct xdp_md *ctx)
{
	struct reaping *r = (void *)(long)ctx->data;
	int freed = 0;

	if ((void *)(r + 1) > (void *)(long)ctx->data_end)
		return 0;
	for (__u32 i = 0; i < REAP_BATCH; i++)
		freed += reap_one(r->record[i].bucket, r->record[i].slot, r->record[i].half,
				  r->record[i].listener);
	return freed;
}

#endif

/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The flow tables: set-associative arrays of cache lines.
 *
 * A record lies in its bucket at the first slot that was free on the way from its
 * home, which the hash names. Each slot counts the records behind it on their
 * way, so that who looks for one stops at the first slot that nobody passed: a
 * miss, as a hit, touches one line.
 *
 * Writers hold the lock of the bucket's stripe. One stripe covers the bucket of
 * a hash in both tables, so a flow moves from half_open to flows in one step.
 * Readers of established flows take no lock: a record's version is odd while it
 * is written and different afterwards. A reader that loses looks again under
 * the lock, so a miss is never an accident of timing.
 *
 * A record that is found is refreshed (seen, bytes, link) without the lock. If
 * its slot is given away in that instant, the new flow starts with another's
 * time stamp or byte count: both harmless. */
#ifndef FAIRLEAD_FLOW_H
#define FAIRLEAD_FLOW_H

#include "counters.h"
#include "hash.h"
#include "parse.h"

#if defined(__TARGET_ARCH_x86)
/* Loads and stores are not reordered with their own kind: the compiler is the
 * only one to be held back. */
#define memory_order() asm volatile("" ::: "memory")
#else
/* A fetching atomic is the only full barrier that BPF has. */
static __always_inline void memory_order(void)
{
	__u32 fence = 0;

	__sync_fetch_and_or(&fence, 1);
	asm volatile("" : : "r"(&fence) : "memory");
}
#endif

#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))

/* What a packet needs to know of its flow, copied out of the record. */
struct found {
	__u32 listener;
	__u32 target;
	__be16 nat;
	__u8 state;
	__u8 flags;
	__u64 link;
};

/* What a record is looked up by. From the client: address, port and listener.
 * From the target: the same address and port, the protocol, the tag of the
 * target, and the source port that the target sees when it is not the client's. */
struct wanted {
	__u64 hash;
	__u64 now;
	struct addr client;
	__be16 port;
	__be16 nat;
	__u32 listener; /* 0: looked up from the target */
	__u32 tag;
	__u64 mac; /* from the client: where replies go */
	__u8 proto;
};

struct place {
	struct bucket *flows, *half_open;
	struct lock *lock;
	__u16 *homes; /* of the bucket in flows; not for a trace */
};

#if TRACE
#include "trace.h"
#endif

static __always_inline __u16 *homes_of(__u32 bucket)
{
	__u32 index = bucket / HOMES_BUCKETS;
	struct homes *h = bpf_map_lookup_elem(&homes, &index);

	return h ? &h->taken[bucket % HOMES_BUCKETS] : 0;
}

static __always_inline int place_of(const struct setting *cfg, __u64 hash, struct place *at)
{
	__u32 index = hash & cfg->flow_mask;

#if TRACE
	return place_of_copies(cfg, hash, at);
#endif
	at->flows = bpf_map_lookup_elem(&flows, &index);
	index = hash & cfg->half_mask;
	at->half_open = bpf_map_lookup_elem(&half_open, &index);
	index = hash & cfg->lock_mask;
	at->lock = bpf_map_lookup_elem(&locks, &index);
	at->homes = homes_of(hash & cfg->flow_mask);
	return at->flows && at->half_open && at->lock && at->homes;
}

/* The slot i steps on the way from home, which goes round in span slots. */
static __always_inline struct flow *on_way(struct bucket *b, __u32 home, __u32 i, __u32 span)
{
	__u32 at = (home & ~(span - 1)) | ((home + i) & (span - 1));

	return &b->flow[at & (BUCKET_SLOTS - 1)];
}

static __always_inline struct flow *slot(struct bucket *b, __u64 hash, __u32 i, __u32 span)
{
	return on_way(b, hash >> 56, i, span);
}

static __always_inline int matches(const struct flow *f, const struct wanted *w)
{
	if (f->client.d[1] != w->client.d[1] || f->client.d[0] != w->client.d[0])
		return 0;
	if (f->port != w->port || f->proto != w->proto)
		return 0;
	if (f->state == FLOW_FREE || f->state == FLOW_NAT)
		return 0;
	if (w->listener)
		return f->listener == w->listener;
	return f->tag == w->tag && f->nat == w->nat;
}

static __always_inline void copy_out(struct found *out, const struct flow *f)
{
	out->listener = f->listener;
	out->target = f->target;
	out->nat = f->nat;
	out->state = f->state;
	out->flags = f->flags;
	out->link = f->link;
}

static __always_inline __u64 limit_of(const struct setting *cfg, const struct flow *f)
{
	__u32 seconds = f->link >> 48;

	if (f->state == FLOW_CLOSING)
		seconds = cfg->closing_seconds;
	else if (f->state == FLOW_NAT)
		seconds = f->bytes; /* its flow's */
	else if (f->state != FLOW_ESTABLISHED && f->proto == IPPROTO_TCP)
		seconds = cfg->half_open_seconds;
	return (__u64)seconds * cfg->hz;
}

static __always_inline int expired(const struct setting *cfg, const struct flow *f, __u64 now)
{
	__u64 seen = READ_ONCE(f->seen);

	/* Another CPU may have read a later clock. */
	return now > seen && now - seen > limit_of(cfg, f);
}

/* Looks without the lock. Finds live records only; 0 means look again locked. */
static __always_inline struct flow *peek(const struct setting *cfg, struct bucket *b,
					 const struct wanted *w, struct found *out, __u32 span)
{
	for (__u32 i = 0; i < span; i++) {
		struct flow *f = slot(b, w->hash, i, span);
		__u16 version = READ_ONCE(f->version);
		int live;

		if (version & 1)
			continue;
		memory_order();
		if (!matches(f, w)) {
			if (!READ_ONCE(f->passed))
				return 0;
			continue;
		}
		copy_out(out, f);
		live = !expired(cfg, f, w->now);
		memory_order();
		if (READ_ONCE(f->version) != version || !live)
			return 0;
		return f;
	}
	return 0;
}

/* The rest of this file runs under the lock. */

static __always_inline void write_begin(struct flow *f)
{
	WRITE_ONCE(f->version, f->version + 1);
	memory_order();
}

static __always_inline void write_end(struct flow *f)
{
	memory_order();
	WRITE_ONCE(f->version, f->version + 1);
}

/* Takes a record's marks off its way. */
static __always_inline void unmark(struct bucket *b, const struct flow *f, __u32 span)
{
	for (__u32 i = 0; i < span; i++) {
		if (i >= f->distance)
			break;
		on_way(b, f->home, i, span)->passed--;
	}
}

/* Makes a slot, which vacancy has found, that of a record with this hash. */
static __always_inline void mark(struct bucket *b, struct flow *f, __u64 hash, __u32 distance,
				 __u32 span)
{
	if (f->state != FLOW_FREE)
		unmark(b, f, span);
	for (__u32 i = 0; i < span; i++) {
		if (i >= distance)
			break;
		slot(b, hash, i, span)->passed++;
	}
	f->home = (hash >> 56) & (BUCKET_SLOTS - 1);
	f->distance = distance;
}

static __always_inline void release(struct bucket *b, struct flow *f, __u32 span)
{
	unmark(b, f, span);
	write_begin(f);
	f->state = FLOW_FREE;
	f->distance = 0;
	write_end(f);
}

/* Which homes in flows are nobody's is known without a look at the bucket, so that
 * new flows, and a flood of them, do without its cold line. A bit may be set for no
 * one, but is never clear for a record that is there. */
static __always_inline int home_taken(const struct place *at, __u64 hash)
{
	return TRACE || (READ_ONCE(*at->homes) >> (hash >> 56 & (BUCKET_SLOTS - 1)) & 1);
}

static __always_inline void take_home(const struct place *at, __u64 hash)
{
	if (!TRACE)
		*at->homes |= 1 << (hash >> 56 & (BUCKET_SLOTS - 1));
}

/* Clears the bit when no record has its home there: none lies there, and none has
 * passed on its way from there. */
static __always_inline void leave_home(const struct place *at, __u32 home)
{
	struct flow *f = on_way(at->flows, home, 0, FLOW_SPAN);

	if (TRACE || !alone || f->passed)
		return;
	if (f->state == FLOW_FREE || f->home != (home & (BUCKET_SLOTS - 1)))
		*at->homes &= ~(1 << (home & (BUCKET_SLOTS - 1)));
}

static __always_inline void release_established(const struct place *at, struct flow *f)
{
	release(at->flows, f, FLOW_SPAN);
	leave_home(at, f->home);
}

static __always_inline void set_state(struct flow *f, __u8 state, __u8 flags)
{
	write_begin(f);
	f->state = state;
	f->flags = flags;
	write_end(f);
}

static __always_inline struct flow *find(struct bucket *b, const struct wanted *w, __u32 span)
{
	for (__u32 i = 0; i < span; i++) {
		struct flow *f = slot(b, w->hash, i, span);

		if (matches(f, w))
			return f;
		if (!f->passed)
			return 0;
	}
	return 0;
}

/* How ready a record is to make room: free or forgotten by everyone, closing,
 * half-open, past its idle timeout (its next packet is still owed a reset). 0 is a
 * live flow, which is never sacrificed. */
#define RANK_FREE 4
#define RANK_CLOSING 3
#define RANK_HALF_OPEN 2
#define RANK_IDLE 1

/* Nibbles by state, those of FLOW_PROVEN records in the upper half. */
#define RANKS_OF(nat) \
	(RANK_FREE << 4 * FLOW_FREE | RANK_HALF_OPEN << 4 * FLOW_OPENING | \
	 RANK_HALF_OPEN << 4 * FLOW_ANSWERED | RANK_CLOSING << 4 * FLOW_CLOSING | \
	 (nat) << 4 * FLOW_NAT)
#define RANKS_LIVE ((__u64)RANKS_OF(0) << 32 | RANKS_OF(RANK_HALF_OPEN))
#define RANKS_EXPIRED \
	(RANK_FREE << 4 * FLOW_FREE | RANK_FREE << 4 * FLOW_OPENING | \
	 RANK_FREE << 4 * FLOW_ANSWERED | RANK_IDLE << 4 * FLOW_ESTABLISHED | \
	 RANK_FREE << 4 * FLOW_CLOSING | RANK_FREE << 4 * FLOW_NAT)

/* Without a branch, each of which the verifier would follow in every slot. */
static __always_inline __u32 rank(const struct setting *cfg, const struct flow *f, __u64 now)
{
	__u64 left = limit_of(cfg, f) - (now - READ_ONCE(f->seen));
	__u64 late = left >> 63;
	__u32 shift = 4 * (f->state & 7);
	__u64 live = RANKS_LIVE >> (shift + 8 * (f->flags & FLOW_PROVEN));
	__u64 expired = (__u64)RANKS_EXPIRED >> shift;

	return (live ^ ((live ^ expired) & -late)) & 15;
}

/* Not under the lock. */
static __always_inline void count_eviction(__u32 r)
{
	if (r == RANK_CLOSING)
		event(EVENT_CLOSING_EVICTED);
	else if (r == RANK_HALF_OPEN)
		event(EVENT_HALF_OPEN_EVICTED);
	else if (r == RANK_IDLE)
		event(EVENT_IDLE_EVICTED);
}

/* The slot for a new record, marked as its own: the highest rank, the longest
 * unseen among equals, the first on the way among those. */
static __always_inline struct flow *vacancy(const struct setting *cfg, struct bucket *b,
					    __u64 hash, __u64 now, __u32 span, __u32 *best_rank)
{
	__u32 top = 0, best = 0, home = hash >> 56;
	__u64 oldest = 0;
	struct flow *f;

	for (__u32 i = 0; i < span; i++) {
		__u32 r;

		f = slot(b, hash, i, span);
		r = rank(cfg, f, now);
		if (r > top || (r == top && r && f->seen < oldest)) {
			top = r;
			oldest = f->seen;
			best = home + i;
		}
		if (r == RANK_FREE)
			break;
	}
	*best_rank = top;
	if (!top)
		return 0;
	best = (best - home) & (span - 1);
	f = slot(b, hash, best, span);
	mark(b, f, hash, best, span);
	return f;
}

static __always_inline void overwrite(struct flow *f, const struct flow *with)
{
	write_begin(f);
	f->state = with->state;
	f->flags = with->flags;
	f->proto = with->proto;
	f->seen = with->seen;
	f->client = with->client;
	f->port = with->port;
	f->nat = with->nat;
	f->listener = with->listener;
	f->target = with->target;
	f->tag = with->tag;
	f->link = with->link;
	f->bytes = with->bytes;
	write_end(f);
}

#endif

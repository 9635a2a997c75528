/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a packet does to its flow's record: the state machine, under the lock. */
#ifndef FAIRLEAD_TCP_H
#define FAIRLEAD_TCP_H

#include "flow.h"

/* What is to be done with a packet after its flow has been looked at. */
enum step {
	STEP_DELIVER,
	STEP_OPEN,    /* no flow, and the packet may begin one */
	STEP_UNKNOWN, /* no flow, and it may not */
	STEP_IDLE,    /* there was one, it has timed out */
	STEP_REFUSED, /* half-open, and the packet proves nothing */
	STEP_FULL,    /* proved, but every record of the bucket is a live flow */
};

struct advance {
	enum step step;
	__u32 evicted; /* rank of the record that made room, RANK_FREE or 0: none */
	__u32 promoted;
	struct found flow; /* with STEP_DELIVER and STEP_IDLE */
};

static __always_inline int is_opening(const struct packet *p)
{
	return p->proto != IPPROTO_TCP || (p->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static __always_inline int is_plain(const struct packet *p)
{
	return p->proto != IPPROTO_TCP || !(p->flags & (TCP_SYN | TCP_FIN | TCP_RST));
}

static __always_inline int flags_impossible(const struct packet *p)
{
	if (p->proto != IPPROTO_TCP)
		return 0;
	if (!(p->flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST)))
		return 1;
	return (p->flags & TCP_SYN) && (p->flags & (TCP_FIN | TCP_RST));
}

static __always_inline void track_close(struct flow *f, const struct packet *p, __u8 fin)
{
	__u8 flags = f->flags;

	if (p->proto != IPPROTO_TCP || is_plain(p))
		return;
	if (p->flags & TCP_FIN)
		flags |= fin;
	if ((p->flags & TCP_RST) || flags == (FLOW_CLIENT_FIN | FLOW_TARGET_FIN))
		set_state(f, FLOW_CLOSING, flags);
	else
		set_state(f, f->state, flags);
}

static __always_inline void refresh(struct flow *f, const struct packet *p, __u64 now)
{
	f->seen = now;
	f->bytes += p->length;
}

/* Client side: the MAC that replies go to is the one that was seen last. */
static __always_inline void learn_link(struct flow *f, __u64 mac)
{
	if ((f->link & MAC_MASK) != mac)
		f->link = (f->link & ~MAC_MASK) | mac;
}

/* The functions below say by gone that the record is to be released. */
static __always_inline enum step client_in_flows(const struct setting *cfg, struct flow *f,
						 const struct packet *p, __u64 now, int *gone)
{
	int opening = is_opening(p);
	int closing = f->state == FLOW_CLOSING;

	if (expired(cfg, f, now)) {
		*gone = 1;
		if (opening)
			return STEP_OPEN;
		return closing ? STEP_UNKNOWN : STEP_IDLE;
	}
	if (closing && opening && p->proto == IPPROTO_TCP) {
		*gone = 1;
		return STEP_OPEN;
	}
	track_close(f, p, FLOW_CLIENT_FIN);
	refresh(f, p, now);
	return STEP_DELIVER;
}

/* Whether the packet proves that its sender received the target's answer. */
static __always_inline int proves(const struct flow *f, const struct packet *p)
{
	if (f->state != FLOW_ANSWERED)
		return 0;
	if (p->proto != IPPROTO_TCP)
		return 1;
	return (p->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_ACK && p->ack == (__u32)f->bytes;
}

static __always_inline enum step client_in_half_open(const struct setting *cfg, struct flow *f,
						     const struct packet *p, __u64 now, int *gone)
{
	int opening = is_opening(p);

	if (expired(cfg, f, now) || (opening && f->state == FLOW_CLOSING)) {
		*gone = 1;
		return opening ? STEP_OPEN : STEP_UNKNOWN;
	}
	if (!opening && !(p->flags & TCP_RST))
		return STEP_REFUSED;
	f->seen = now;
	return STEP_DELIVER;
}

static __always_inline struct flow *promote(const struct setting *cfg, struct place *at,
					    struct flow *f, const struct packet *p,
					    const struct wanted *w, __u32 *evicted)
{
	struct flow *to = vacancy(cfg, at->flows, w->hash, w->now, FLOW_SPAN, evicted);

	if (to) {
		take_home(at, w->hash);
		overwrite(to, f);
		write_begin(to);
		to->state = FLOW_ESTABLISHED;
		to->flags = 0;
		to->seen = w->now;
		to->bytes = p->length;
		write_end(to);
		track_close(to, p, FLOW_CLIENT_FIN);
	}
	return to;
}

/* Whether a hash has no such record, so far as can be told without the lock. */
static __always_inline int absent(struct bucket *b, const struct wanted *w, __u32 span)
{
	struct flow *f = slot(b, w->hash, 0, span);
	__u16 version = READ_ONCE(f->version);

	memory_order();
	return !(version & 1) && !READ_ONCE(f->passed) && !matches(f, w) &&
	       READ_ONCE(f->version) == version;
}

/* Whether a packet begins a flow for all that one look at each table tells. It
 * spares new flows one of two passes under the lock; insert looks again. */
static __always_inline int begins_flow(const struct setting *cfg, const struct packet *p,
				       const struct wanted *w)
{
	struct place at;

	if (!is_opening(p) || !place_of(cfg, w->hash, &at))
		return 0;
	return (!home_taken(&at, w->hash) || absent(at.flows, w, FLOW_SPAN)) &&
	       absent(at.half_open, w, HALF_SPAN);
}

/* Looks up and advances the flow of a packet from the client. */
JUDGED_ALONE int advance_client(const struct packet *p, const struct wanted *w,
				struct advance *result)
{
	struct setting *cfg = settings_get();
	struct flow *f, *half;
	struct place at;
	int gone = 0;

	if (!cfg || !p || !w || !result)
		return 0;
	result->step = STEP_UNKNOWN;
	result->evicted = result->promoted = 0;
	if (!place_of(cfg, w->hash, &at))
		return 0;
	bpf_spin_lock(&at.lock->lock);
	f = find(at.flows, w, FLOW_SPAN);
	if (f) {
		result->step = client_in_flows(cfg, f, p, w->now, &gone);
		if (gone)
			release_established(&at, f);
	} else {
		half = f = find(at.half_open, w, HALF_SPAN);
		if (!f) {
			result->step = is_opening(p) ? STEP_OPEN : STEP_UNKNOWN;
		} else if (!expired(cfg, f, w->now) && proves(f, p)) {
			f = promote(cfg, &at, f, p, w, &result->evicted);
			result->step = f ? STEP_DELIVER : STEP_FULL;
			result->promoted = f != 0;
			gone = 1;
		} else {
			result->step = client_in_half_open(cfg, f, p, w->now, &gone);
		}
		if (half && gone)
			release(at.half_open, half, HALF_SPAN);
	}
	if (f && result->step == STEP_DELIVER) {
		learn_link(f, w->mac);
		copy_out(&result->flow, f);
	}
	bpf_spin_unlock(&at.lock->lock);
	return 0;
}

static __always_inline enum step target_in_half_open(const struct setting *cfg, struct flow *f,
						     const struct packet *p, __u64 now, int *gone)
{
	if (expired(cfg, f, now)) {
		*gone = 1;
		return STEP_UNKNOWN;
	}
	f->seen = now;
	if (p->proto != IPPROTO_TCP) {
		set_state(f, FLOW_ANSWERED, 0);
	} else if (p->flags & TCP_RST) {
		set_state(f, FLOW_CLOSING, 0);
	} else if ((p->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK)) {
		f->bytes = p->seq + 1;
		set_state(f, FLOW_ANSWERED, 0);
	}
	return STEP_DELIVER;
}

static __always_inline enum step target_in_flows(const struct setting *cfg, struct flow *f,
						 const struct packet *p, __u64 now, int *gone)
{
	int closing = f->state == FLOW_CLOSING;

	if (expired(cfg, f, now)) {
		*gone = 1;
		return closing || p->proto != IPPROTO_TCP ? STEP_UNKNOWN : STEP_IDLE;
	}
	track_close(f, p, FLOW_TARGET_FIN);
	refresh(f, p, now);
	return STEP_DELIVER;
}

/* The same for a packet from the target. */
JUDGED_ALONE int advance_target(const struct packet *p, const struct wanted *w,
				struct advance *result)
{
	struct setting *cfg = settings_get();
	struct place at;
	struct flow *f;
	int gone = 0;

	if (!cfg || !p || !w || !result)
		return 0;
	result->step = STEP_UNKNOWN;
	if (!place_of(cfg, w->hash, &at))
		return 0;
	bpf_spin_lock(&at.lock->lock);
	f = find(at.flows, w, FLOW_SPAN);
	if (f) {
		copy_out(&result->flow, f);
		result->step = target_in_flows(cfg, f, p, w->now, &gone);
		if (gone)
			release_established(&at, f);
	} else {
		f = find(at.half_open, w, HALF_SPAN);
		if (f) {
			copy_out(&result->flow, f);
			result->step = target_in_half_open(cfg, f, p, w->now, &gone);
			if (gone)
				release(at.half_open, f, HALF_SPAN);
		}
	}
	bpf_spin_unlock(&at.lock->lock);
	return 0;
}

/* What came of an attempt to write a new flow down. */
enum inserted {
	INSERTED,
	INSERTED_BY_ANOTHER, /* another CPU was first: out holds its choice */
	INSERT_CONFLICT,     /* the target has a flow of this very 5-tuple by another listener */
	INSERT_FULL,
};

static __always_inline int conflicts(const struct setting *cfg, struct bucket *b,
				     const struct flow *made, __u64 hash, __u64 now, __u32 span)
{
	for (__u32 i = 0; i < span; i++) {
		struct flow *f = slot(b, hash, i, span);

		if (f->state != FLOW_FREE && f->state != FLOW_NAT && f->tag == made->tag &&
		    f->nat == made->nat && f->port == made->port && f->proto == made->proto &&
		    addr_equal(&f->client, &made->client) && f->state != FLOW_CLOSING &&
		    !expired(cfg, f, now))
			return 1;
		if (!f->passed)
			return 0;
	}
	return 0;
}

/* Writes a new flow into the half-open table. */
JUDGED_ALONE int insert(const struct wanted *w, const struct flow *made, struct found *out)
{
	struct setting *cfg = settings_get();
	enum inserted result = INSERTED;
	struct place at;
	struct flow *f;
	int neighbors; /* of the flow, in flows */
	__u32 r = 0;

	if (!cfg || !w || !made || !out)
		return INSERT_FULL;
	if (!place_of(cfg, w->hash, &at))
		return INSERT_FULL;
	bpf_spin_lock(&at.lock->lock);
	neighbors = home_taken(&at, w->hash);
	f = neighbors ? find(at.flows, w, FLOW_SPAN) : 0;
	if (!f)
		f = find(at.half_open, w, HALF_SPAN);
	if (f) {
		result = INSERTED_BY_ANOTHER;
		copy_out(out, f);
	} else if (!made->nat &&
		   ((neighbors && conflicts(cfg, at.flows, made, w->hash, w->now, FLOW_SPAN)) ||
		    conflicts(cfg, at.half_open, made, w->hash, w->now, HALF_SPAN))) {
		result = INSERT_CONFLICT;
	} else {
		f = vacancy(cfg, at.half_open, w->hash, w->now, HALF_SPAN, &r);
		if (f)
			overwrite(f, made);
		else
			result = INSERT_FULL;
		if (neighbors)
			leave_home(&at, w->hash >> 56);
	}
	bpf_spin_unlock(&at.lock->lock);
	count_eviction(r);
	return result;
}

/* Forgets a flow whose target must not be used any more. */
JUDGED_ALONE int forget(const struct wanted *w)
{
	struct setting *cfg = settings_get();
	struct place at;
	struct flow *f;

	if (!cfg || !w)
		return 0;
	if (!place_of(cfg, w->hash, &at))
		return 0;
	bpf_spin_lock(&at.lock->lock);
	f = find(at.flows, w, FLOW_SPAN);
	if (f) {
		release_established(&at, f);
	} else {
		f = find(at.half_open, w, HALF_SPAN);
		if (f)
			release(at.half_open, f, HALF_SPAN);
	}
	bpf_spin_unlock(&at.lock->lock);
	return 0;
}

#endif

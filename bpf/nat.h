/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Source NAT from the load balancer's zonal address. The flow's own record
 * carries the port; a second record under (VIP, port) leads replies back to it.
 * A port serves one flow per target, so each target can have PORTS of them. */
#ifndef FAIRLEAD_NAT_H
#define FAIRLEAD_NAT_H

#include "flow.h"
#include "lookup.h"

#define NAT_FIRST_PORT 10240
#define NAT_PORTS 55000
#define NAT_TRIES 8

struct nat {
	struct addr vip;
	struct addr client;
	__be16 port; /* the client's */
	__be16 nat;
	__u32 tag;
	__u32 listener;
	__u32 target;
	__u32 idle_seconds;
	__u8 proto;
	__u8 state; /* of the flow */
	struct listener_key key; /* here, because the stack is short */
};

static __always_inline __u64 vip_hash(const struct setting *cfg, const struct addr *vip)
{
	return hash_end(cfg, KEY_TAG, vip, 0, 0xff);
}

static __always_inline __u64 nat_hash(const struct setting *cfg, const struct nat *n)
{
	return hash_end(cfg, KEY_FLOW, &n->vip, n->nat, n->proto);
}

static __always_inline int is_nat(const struct flow *f, const struct nat *n, __u64 vip)
{
	return f->state == FLOW_NAT && f->nat == n->nat && f->tag == n->tag &&
	       f->proto == n->proto && f->link == vip;
}

static __always_inline struct flow *find_nat(struct bucket *b, __u64 hash, const struct nat *n,
					     __u64 vip, __u32 span)
{
	for (__u32 i = 0; i < span; i++) {
		struct flow *f = slot(b, hash, i, span);

		if (is_nat(f, n, vip))
			return f;
		if (!f->passed)
			return 0;
	}
	return 0;
}

static __always_inline void write_nat(struct flow *f, const struct nat *n, __u64 vip, __u64 now)
{
	write_begin(f);
	f->state = FLOW_NAT;
	f->flags = n->state == FLOW_ESTABLISHED ? FLOW_PROVEN : 0;
	f->proto = n->proto;
	f->seen = now;
	f->client = n->client;
	f->port = n->port;
	f->nat = n->nat;
	f->listener = n->listener;
	f->target = n->target;
	f->tag = n->tag;
	f->link = vip;
	f->bytes = n->idle_seconds;
	write_end(f);
}

/* Translates a reply's destination back. Fills client and port; 0 if unknown. */
JUDGED_ALONE int nat_lookup(struct nat *n, __u64 now)
{
	struct setting *cfg = settings_get();
	struct place at;
	struct flow *f;
	int known = 0;
	__u64 hash, vip;

	if (!cfg || !n)
		return 0;
	hash = nat_hash(cfg, n);
	vip = vip_hash(cfg, &n->vip);
	if (!place_of(cfg, hash, &at))
		return 0;
	bpf_spin_lock(&at.lock->lock);
	f = find_nat(at.flows, hash, n, vip, FLOW_SPAN);
	if (!f)
		f = find_nat(at.half_open, hash, n, vip, HALF_SPAN);
	if (f && !expired(cfg, f, now)) {
		f->seen = now;
		n->client = f->client;
		n->port = f->port;
		known = 1;
	}
	bpf_spin_unlock(&at.lock->lock);
	return known;
}

/* Takes the port n->nat for the flow if nobody has it. */
JUDGED_ALONE int nat_claim(const struct nat *n, __u64 now)
{
	struct setting *cfg = settings_get();
	struct flow *f;
	struct place at;
	__u64 hash, vip;
	int mine = 0;
	__u32 r = 0;

	if (!cfg || !n)
		return 0;
	hash = nat_hash(cfg, n);
	vip = vip_hash(cfg, &n->vip);
	if (!place_of(cfg, hash, &at))
		return 0;
	bpf_spin_lock(&at.lock->lock);
	f = find_nat(at.flows, hash, n, vip, FLOW_SPAN);
	if (!f)
		f = find_nat(at.half_open, hash, n, vip, HALF_SPAN);
	if (f) {
		mine = expired(cfg, f, now) ||
		       (addr_equal(&f->client, &n->client) && f->port == n->port &&
			f->listener == n->listener);
	} else {
		f = vacancy(cfg, at.half_open, hash, now, HALF_SPAN, &r);
		mine = f != 0;
	}
	if (mine && f)
		write_nat(f, n, vip, now);
	bpf_spin_unlock(&at.lock->lock);
	count_eviction(r);
	return mine;
}

/* How many ports of an address source NAT may use for a protocol. */
static __always_inline __u32 nat_ports(const struct nat *n)
{
	struct vip *vip = vip_of(&n->vip);

	if (n->proto == IPPROTO_TCP && vip && (vip->flags & VIP_LOCAL))
		return FIRST_LOCAL_PORT - NAT_FIRST_PORT;
	return NAT_PORTS;
}

/* Finds a port for a new flow, starting from a place of the client's own; leaves
 * out ports that are listeners'. n->nat is 0 when NAT_TRIES ports were taken. */
JUDGED_ALONE int nat_reserve(struct nat *n, __u64 hash, __u64 now)
{
	__u32 start, ports;

	if (!n)
		return 0;
	ports = nat_ports(n);
	start = (__u32)(hash >> 24) % ports;
	for (__u32 i = 0; i < NAT_TRIES; i++) {
		/* Steps that grow keep flows of one client apart from the next one's. */
		__u32 port = NAT_FIRST_PORT + (start + i * i * 97) % ports;

		n->nat = bpf_htons(port);
		n->key.vip = n->vip;
		n->key.port = n->nat;
		n->key.proto = n->proto;
		n->key.zero = n->key.zero2 = 0;
		if (bpf_map_lookup_elem(&listener_ids, &n->key))
			continue;
		if (nat_claim(n, now))
			return 1;
	}
	n->nat = 0;
	return 0;
}

/* Keeps the port alive with its flow, and moves it out of the half-open table
 * (or makes it again, should it have gone) once the flow is established. */
JUDGED_ALONE int nat_touch(const struct nat *n, __u64 now)
{
	struct setting *cfg = settings_get();
	struct flow *f;
	struct place at;
	__u64 hash, vip;
	__u32 r = 0;

	if (!cfg || !n)
		return 0;
	hash = nat_hash(cfg, n);
	vip = vip_hash(cfg, &n->vip);
	if (!place_of(cfg, hash, &at))
		return 0;
	bpf_spin_lock(&at.lock->lock);
	f = find_nat(at.flows, hash, n, vip, FLOW_SPAN);
	if (f) {
		f->seen = now;
	} else {
		f = find_nat(at.half_open, hash, n, vip, HALF_SPAN);
		if (f)
			release(at.half_open, f, HALF_SPAN);
		f = vacancy(cfg, at.flows, hash, now, FLOW_SPAN, &r);
		if (f) {
			take_home(&at, hash);
			write_nat(f, n, vip, now);
		}
	}
	bpf_spin_unlock(&at.lock->lock);
	count_eviction(r);
	return 0;
}

#endif

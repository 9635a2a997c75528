/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Security groups. User space has compiled them: a listener names the clients
 * that may open flows, a target those that it takes, each as a set of prefixes.
 * They are asked once, when a flow begins; its packets never are. */
#ifndef FAIRLEAD_ADMIT_H
#define FAIRLEAD_ADMIT_H

#include "counters.h"
#include "parse.h"

/* Whether a client is in a set. */
JUDGED_ALONE int has_client(__u64 set, const struct addr *client)
{
	struct client_key key = {.length = 8 * (sizeof(key) - sizeof(key.length)), .set = set};

	if (set == CLIENTS_NOBODY || !client)
		return 0;
	key.addr = *client;
	return bpf_map_lookup_elem(&clients, &key) != 0;
}

static __always_inline int admits(__u64 set, const struct addr *client)
{
	return set == CLIENTS_EVERYONE || has_client(set, client);
}

/* The load balancer's inbound rules do not let the client in. */
static __always_inline int bar_inbound(const struct packet *p, __u32 balancer)
{
	if (p->proto == IPPROTO_TCP)
		COUNT(balancer, security_group_blocked_flow_count_inbound_tcp, 1);
	else if (p->proto == IPPROTO_UDP)
		COUNT(balancer, security_group_blocked_flow_count_inbound_udp, 1);
	else
		COUNT(balancer, security_group_blocked_flow_count_inbound_icmp, 1);
	return verdict(XDP_DROP, DROP_INBOUND_RULES);
}

/* Its outbound rules do not let it send to the chosen target. */
static __always_inline int bar_outbound(const struct packet *p, __u32 balancer)
{
	if (p->proto == IPPROTO_TCP)
		COUNT(balancer, security_group_blocked_flow_count_outbound_tcp, 1);
	else
		COUNT(balancer, security_group_blocked_flow_count_outbound_udp, 1);
	return verdict(XDP_DROP, DROP_OUTBOUND_RULES);
}

#define ALLOWED 0

/* What security groups say to a new flow of p to t: ALLOWED, or the reason to
 * drop it. */
static __always_inline __u32 judge_target(const struct packet *p, const struct target *t)
{
	int udp = p->proto == IPPROTO_UDP;

	if (t->flags & (udp ? TARGET_NO_UDP : TARGET_NO_TCP))
		return DROP_OUTBOUND_RULES;
	if (!admits(udp ? t->clients_udp : t->clients_tcp, &p->src))
		return DROP_TARGET_RULES;
	return ALLOWED;
}

#endif

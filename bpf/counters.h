/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Counters, one copy per CPU. Each packet moves exactly one reason; what
 * CloudWatch counts per load balancer moves beside it. */
#ifndef FAIRLEAD_COUNTERS_H
#define FAIRLEAD_COUNTERS_H

#include "hook.h"
#include "maps.h"

enum reason {
	/* passed to the kernel */
	PASS_SETTINGS,  /* not set up yet */
	PASS_NOT_IP,    /* another ether type, VLAN tags included */
	PASS_TRUNCATED, /* too short to say for whom */
	PASS_OTHER_MAC, /* flooded to us, meant for another machine */
	PASS_NO_FLOW,   /* not for a load balancer address and no flow's reply */
	PASS_LOCAL,     /* for a listener in user space, or a reply to what it sent */
	/* sent */
	SENT_NEIGHBOR,  /* ARP or neighbour solicitation for a VIP answered */
	SENT_TO_TARGET,
	SENT_TO_CLIENT,
	SENT_ICMP,      /* error message translated */
	SENT_ECHO,
	RESET_UNKNOWN,    /* TCP data of a flow we do not know */
	RESET_HALF_OPEN,  /* client did not prove the target's sequence number */
	RESET_IDLE,       /* first packet after the idle timeout */
	RESET_TERMINATED, /* target unhealthy, deregistered or gone */
	RESET_NO_TARGET,  /* nothing to forward to */
	RESET_TABLE_FULL, /* every record of the bucket is a live flow */
	RESET_NO_PORT,    /* no source port left */
	/* dropped */
	DROP_MALFORMED, /* lengths or header fields that contradict each other */
	DROP_MARTIAN,   /* source that cannot be a client */
	DROP_FRAGMENT,
	DROP_PROTOCOL,  /* neither TCP, UDP nor ICMP, or behind an extension header */
	DROP_NO_LISTENER,
	DROP_FLAGS,     /* combination of TCP flags that no stack sends */
	DROP_UNKNOWN_RESET, /* RST of a flow we do not know: never answered */
	DROP_RATE,      /* an answer was due, the rate limit said no */
	DROP_NO_TARGET, /* UDP: nothing to forward to */
	DROP_TERMINATED, /* UDP: the flow's target is terminated or gone */
	DROP_TABLE_FULL, /* UDP: every record of the bucket is a live flow */
	DROP_NO_PORT,    /* UDP: no source port left */
	DROP_ICMP_TYPE, /* to a VIP, neither an error we translate nor an echo we answer */
	DROP_ICMP_FLOW, /* error about a flow we do not know */
	DROP_ECHO,      /* echo request, and answering is off */
	DROP_NO_LISTENER_REPLY, /* reply of a flow whose listener is gone */
	DROP_ERROR,     /* the frame could not be edited */
	DROP_INBOUND_RULES,  /* the load balancer's security groups do not let the client in */
	DROP_OUTBOUND_RULES, /* nor out to the target */
	DROP_TARGET_RULES,   /* the target's security groups do not let the flow in */
	DROP_UNRESOLVED, /* no next hop of the group's targets is known yet: the client tries again */
	DROP_RESTORING, /* of no flow, but not all flows are here yet: the sender tries again */
	/* passed at egress */
	PASS_OWN, /* sent by this machine, and no load balancer's business */
	REASONS,
};

/* Beside the reasons: things that happen to flows, not to packets. */
enum event {
	EVENT_HALF_OPEN_EVICTED,
	EVENT_CLOSING_EVICTED,
	EVENT_IDLE_EVICTED,
	EVENT_HAIRPIN,       /* source NAT because client and target are one instance */
	EVENT_TUPLE_CONFLICT, /* source NAT because the target has that 5-tuple already */
	EVENTS,
};

/* Per load balancer, named as CloudWatch names them. */
struct balancer_counts {
	__u64 new_flow_count_tcp;
	__u64 new_flow_count_udp;
	__u64 processed_bytes_tcp; /* with IP and TCP headers */
	__u64 processed_bytes_udp;
	__u64 processed_packets;
	__u64 rejected_flow_count_tcp;
	__u64 rejected_flow_count_udp;
	__u64 tcp_client_reset_count;
	__u64 tcp_elb_reset_count;
	__u64 tcp_target_reset_count;
	__u64 port_allocation_error_count;
	__u64 unhealthy_routing_flow_count;
	__u64 security_group_blocked_flow_count_inbound_tcp;
	__u64 security_group_blocked_flow_count_inbound_udp;
	__u64 security_group_blocked_flow_count_inbound_icmp;
	__u64 security_group_blocked_flow_count_outbound_tcp;
	__u64 security_group_blocked_flow_count_outbound_udp;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS);
	__type(key, __u32);
	__type(value, __u64);
} reasons SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EVENTS);
	__type(key, __u32);
	__type(value, __u64);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_BALANCERS);
	__type(key, __u32);
	__type(value, struct balancer_counts);
} balancer_counters SEC(".maps");

struct limiter {
	__u64 refilled; /* jiffies */
	__u64 tokens;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct limiter);
} limiters SEC(".maps");

static __always_inline int verdict(int action, __u32 reason)
{
	__u64 *n;

	if (EGRESS && action == XDP_PASS)
		reason = PASS_OWN;
	n = bpf_map_lookup_elem(&reasons, &reason);
	if (n)
		(*n)++;
	return action;
}

static __always_inline void event(__u32 e)
{
	__u64 *n = bpf_map_lookup_elem(&events, &e);

	if (n)
		(*n)++;
}

/* What the functions of both hooks return is XDP's. At egress it means: XDP_TX,
 * out as the frame was going; XDP_REDIRECT, up into this machine. */

/* Sends the frame back to where it came from. On a veth pair whose far end has no
 * XDP program, frames of XDP_TX stay in the ring for want of a wake-up (the driver's
 * veth_xdp_flush asks for a program); a redirect to the same device wakes it. */
static __always_inline int transmit(hook_ctx *ctx, const struct setting *cfg, __u32 reason)
{
#if EGRESS
	return verdict(XDP_REDIRECT, reason);
#else
	if (cfg->flags & SETTING_REDIRECT)
		return verdict(bpf_redirect(ctx->ingress_ifindex, 0), reason);
	return verdict(XDP_TX, reason);
#endif
}

/* Sends the frame on to a next hop. That is this machine when it has our MAC: a
 * target or a client of this very machine, or one behind it. */
static __always_inline int forward(hook_ctx *ctx, const struct setting *cfg, __u64 mac,
				   __u32 reason)
{
	if (EGRESS)
		return verdict(mac == cfg->mac ? XDP_REDIRECT : XDP_TX, reason);
	if (mac == cfg->mac)
		return verdict(XDP_PASS, reason);
	return transmit(ctx, cfg, reason);
}

#define COUNT(index, field, n)                                                            \
	do {                                                                              \
		__u32 count_index = (index);                                              \
		struct balancer_counts *count_row =                                     \
			bpf_map_lookup_elem(&balancer_counters, &count_index);            \
		if (count_row)                                                            \
			count_row->field += (n);                                          \
	} while (0)

/* Whether one more answer of our own may leave now. */
static __always_inline int may_answer(const struct setting *cfg, __u64 now)
{
	__u32 zero = 0;
	struct limiter *l = bpf_map_lookup_elem(&limiters, &zero);
	__u64 tokens;

	if (!l)
		return 0;
	tokens = l->tokens;
	if (now > l->refilled) {
		__u64 jiffies = now - l->refilled;

		if (jiffies > cfg->answers_burst)
			jiffies = cfg->answers_burst;
		tokens += jiffies * cfg->answers_per_jiffy;
		if (tokens > cfg->answers_burst)
			tokens = cfg->answers_burst;
		l->refilled = now;
	}
	l->tokens = tokens ? tokens - 1 : 0;
	return tokens != 0;
}

#endif

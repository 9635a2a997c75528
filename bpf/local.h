/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the kernel gets of the uplink's packets, after XDP: it must find the
 * sockets of listeners in user space, also those that have a client's address,
 * and must answer nothing else for load balancers. */
#ifndef FAIRLEAD_LOCAL_H
#define FAIRLEAD_LOCAL_H

#include "maps.h"
#include "parse.h"

#define NEXT -1 /* TCX_NEXT: let the next program, then the kernel, decide */
#define DROP 2  /* TCX_DROP */

/* The mark that sends a packet to this machine whatever its address is. */
#define MARK_LOCAL 0x00100000u

struct transport {
	struct bpf_sock_tuple tuple;
	__u8 family; /* 4 or 6; 0: not to be told */
	struct addr dst;
	__u8 proto;
};

static __always_inline void read_v4(struct __sk_buff *skb, struct transport *t)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.ihl < 5)
		return;
	if (ip.frag_off & bpf_htons(0x1fff))
		return;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + ip.ihl * 4, &t->tuple.ipv4.sport, 4))
		return;
	t->tuple.ipv4.saddr = ip.saddr;
	t->tuple.ipv4.daddr = ip.daddr;
	addr_v4(&t->dst, ip.daddr);
	t->proto = ip.protocol;
	t->family = 4;
}

static __always_inline void read_v6(struct __sk_buff *skb, struct transport *t)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(ip), &t->tuple.ipv6.sport, 4))
		return;
	__builtin_memcpy(t->tuple.ipv6.saddr, &ip.saddr, sizeof(ip.saddr));
	__builtin_memcpy(t->tuple.ipv6.daddr, &ip.daddr, sizeof(ip.daddr));
	addr_v6(&t->dst, &ip.daddr);
	t->proto = ip.nexthdr;
	t->family = 6;
}

/* The helper wants to know the size from the code. */
static __always_inline struct bpf_sock *socket_of(struct __sk_buff *skb, struct transport *t)
{
	if (t->family == 4)
		return bpf_skc_lookup_tcp(skb, &t->tuple, sizeof(t->tuple.ipv4),
					  BPF_F_CURRENT_NETNS, 0);
	return bpf_skc_lookup_tcp(skb, &t->tuple, sizeof(t->tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
}

/* A packet for a load balancer address goes on when a socket waits for it. XDP
 * passes no other, but should it be taken off the uplink, the kernel would reset
 * flows that it knows nothing of.
 *
 * A packet for another address goes to the socket that has this very flow,
 * although the address is a client's and not this machine's. */
SEC("tcx/ingress")
int local(struct __sk_buff *skb)
{
	struct transport t = {};
	struct bpf_sock *sk;
	int listens, ours;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		read_v4(skb, &t);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		read_v6(skb, &t);
	if (!t.family || (t.proto != IPPROTO_TCP && t.proto != IPPROTO_UDP))
		return NEXT;
	ours = vip_of(&t.dst) != 0;
	if (t.proto == IPPROTO_UDP)
		return ours ? DROP : NEXT;
	sk = socket_of(skb, &t);
	if (!sk)
		return ours ? DROP : NEXT;
	listens = sk->state == BPF_TCP_LISTEN;
	bpf_sk_release(sk);
	if (!ours && !listens)
		skb->mark |= MARK_LOCAL;
	return NEXT;
}

#endif

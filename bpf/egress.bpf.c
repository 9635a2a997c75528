/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The edge's other hook: what its own machine sends out of the uplink, after
 * netfilter. XDP sees none of it, but the machine may be a target, whose replies
 * have to become the load balancer's, and may be a client of load balancers.
 *
 * A frame goes on as it was going, edited or not, or turns round and comes in by
 * the uplink: an answer, or a packet from one end on this machine to another. */
#define EGRESS 1
#include "ip.h"

#define TC_NEXT -1 /* TCX_NEXT: let the next program, then the kernel, decide */
#define TC_DROP 2  /* TCX_DROP */

/* So much of a frame has all headers that are looked at: IPv6, ICMPv6, and the
 * fragment and transport headers of what it quotes. */
#define HEADERS 160

static __always_inline int to_tc(struct __sk_buff *skb, int action)
{
	if (action == XDP_DROP)
		return TC_DROP;
	if (action == XDP_REDIRECT)
		return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
	return TC_NEXT;
}

/* Headers need not be mapped in a packet that is in pieces. */
static __always_inline void map_headers(struct __sk_buff *skb)
{
	__u32 want = skb->len < HEADERS ? skb->len : HEADERS;

	if ((void *)(long)skb->data + HEADERS > (void *)(long)skb->data_end)
		bpf_skb_pull_data(skb, want);
}

/* XDP sees tags of VLANs, here they are beside the frame: not for this link. */
static __always_inline int judge(struct __sk_buff *skb, const struct setting *cfg)
{
	struct ethhdr *eth = (void *)(long)skb->data;

	if (skb->vlan_present || (void *)(eth + 1) > (void *)(long)skb->data_end)
		return verdict(XDP_PASS, PASS_OWN);
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_IP):
	case bpf_htons(ETH_P_IPV6):
		return ip(skb, cfg);
	case bpf_htons(ETH_P_ARP):
		return answer_arp(skb, cfg);
	default:
		return verdict(XDP_PASS, PASS_OWN);
	}
}

SEC("tcx/egress")
int egress(struct __sk_buff *skb)
{
	struct setting *cfg = settings_get();

	if (!cfg || !cfg->hz)
		return TC_NEXT;
	map_headers(skb);
	return to_tc(skb, judge(skb, cfg));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

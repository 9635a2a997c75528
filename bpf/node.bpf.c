/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Replies go back through the edge that owns the flow.
 *
 * An edge sends packets on with the client's address as their source, so the
 * target's own routes would answer the client directly, past the edge, with an
 * address that the client never asked. Ingress on the uplink therefore learns
 * from which MAC address a flow's packets come, when that is not the one that
 * the kernel would answer to; egress gives the flow's packets that address.
 *
 * The kernel's own translations (kube-proxy) lie between the two hooks: both
 * see the addresses and ports that the edge sees. */
#include "node.h"

#ifndef AF_INET
#define AF_INET 2
#define AF_INET6 10
#endif

#define NEXT -1       /* TCX_NEXT: let the next program, then the kernel, decide */
#define PACKET_HOST 0 /* addressed to this machine */

static __always_inline int mac_equal(const struct mac *a, const struct mac *b)
{
	return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2];
}

/* Says whether the kernel would send a reply to the MAC address that the packet
 * came from. When it cannot tell (no neighbour yet, no route, forwarding off),
 * it says no: remembering too much costs memory, remembering too little breaks
 * the flow. */
static __always_inline int answers_to(struct __sk_buff *skb, const struct seen *s, const struct mac *mac)
{
	struct bpf_fib_lookup fib = {};

	fib.ifindex = skb->ifindex;
	fib.l4_protocol = s->proto;
	fib.sport = s->dport;
	fib.dport = s->sport;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		fib.family = AF_INET;
		fib.ipv4_src = s->dst[3];
		fib.ipv4_dst = s->src[3];
	} else {
		fib.family = AF_INET6;
		__builtin_memcpy(fib.ipv6_src, s->dst, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, s->src, sizeof(fib.ipv6_dst));
	}
	if (bpf_fib_lookup(skb, &fib, sizeof(fib), BPF_FIB_LOOKUP_OUTPUT) != BPF_FIB_LKUP_RET_SUCCESS)
		return 0;
	return mac_equal((const struct mac *)fib.dmac, mac);
}

static __always_inline void forget(const struct flow_key *key)
{
	if (!bpf_map_delete_elem(&node_flows_v1, key) || !bpf_map_delete_elem(&node_new_v1, key))
		count(COUNT_ENDED);
}

/* Follows the end of a TCP connection; says whether this packet is its last:
 * a RST, or what comes after both ends' FIN. */
static __always_inline int ends(struct flow_value *flow, const struct seen *s, __u32 fin)
{
	if (s->proto != IPPROTO_TCP)
		return 0;
	if (s->tcp_flags & TCP_RST)
		return 1;
	if (s->tcp_flags & TCP_FIN)
		__sync_fetch_and_or(&flow->fins, fin);
	else if (s->tcp_flags & TCP_SYN)
		flow->fins = 0;
	else if (flow->fins == FIN_BOTH)
		return 1;
	return 0;
}

/* The client's packet of a flow that is known; says whether the flow goes on. */
static __always_inline int refresh(struct flow_key *key, struct flow_value *flow,
				   const struct seen *s, const struct mac *mac)
{
	if (ends(flow, s, FIN_FROM_CLIENT)) {
		forget(key);
		return 0;
	}
	if (!mac_equal(&flow->edge, mac)) {
		flow->edge = *mac;
		count(COUNT_MOVED);
	}
	return 1;
}

/* The client's second packet. By now the kernel has found the neighbour that it
 * did not know at the first. */
static __always_inline void promote(struct __sk_buff *skb, struct flow_key *key,
				    const struct flow_value *flow, const struct seen *s)
{
	struct flow_value copy = *flow;

	if (!answers_to(skb, s, &copy.edge))
		bpf_map_update_elem(&node_flows_v1, key, &copy, BPF_ANY);
	bpf_map_delete_elem(&node_new_v1, key);
}

static __always_inline void learn(struct __sk_buff *skb, struct flow_key *key,
				  const struct seen *s, const struct mac *mac)
{
	struct flow_value flow = {};

	if (s->proto == IPPROTO_TCP && s->tcp_flags & TCP_RST)
		return;
	if (answers_to(skb, s, mac))
		return;
	flow.edge = *mac;
	bpf_map_update_elem(&node_new_v1, key, &flow, BPF_ANY);
	count(COUNT_LEARNED);
}

/* Any packet of an unknown flow is learned from, not the SYN alone: a record
 * that was pushed out returns with the client's next packet. */
SEC("tcx/ingress")
int node_ingress(struct __sk_buff *skb)
{
	struct flow_value *flow;
	struct flow_key key;
	struct seen s;
	struct mac mac;

	if (skb->pkt_type != PACKET_HOST || see(skb, ETH_HLEN, &s) || !s.l4)
		return NEXT;
	if (s.proto != IPPROTO_TCP && s.proto != IPPROTO_UDP)
		return NEXT;
	if (bpf_skb_load_bytes(skb, ETH_ALEN, &mac, sizeof(mac)))
		return NEXT;
	key_from_client(&key, &s);
	flow = bpf_map_lookup_elem(&node_flows_v1, &key);
	if (flow) {
		refresh(&key, flow, &s, &mac);
		return NEXT;
	}
	flow = bpf_map_lookup_elem(&node_new_v1, &key);
	if (!flow) {
		learn(skb, &key, &s, &mac);
		return NEXT;
	}
	if (refresh(&key, flow, &s, &mac) && !(s.tcp_flags & TCP_SYN))
		promote(skb, &key, flow, &s);
	return NEXT;
}

static __always_inline struct flow_value *find(const struct flow_key *key)
{
	struct flow_value *flow = bpf_map_lookup_elem(&node_flows_v1, key);

	return flow ? flow : bpf_map_lookup_elem(&node_new_v1, key);
}

/* An ICMP error quotes the client's packet that caused it. */
static __always_inline int is_error(const struct seen *s)
{
	if (s->proto == IPPROTO_ICMPV6)
		return s->icmp_type < ICMP6_ERRORS;
	return s->proto == IPPROTO_ICMP &&
	       (s->icmp_type == ICMP4_UNREACHABLE || s->icmp_type == ICMP4_TIME_EXCEEDED ||
		s->icmp_type == ICMP4_PARAMETER);
}

static __always_inline int send_to(struct __sk_buff *skb, struct mac edge, __u32 kind)
{
	if (bpf_skb_store_bytes(skb, 0, &edge, sizeof(edge), 0))
		return NEXT;
	count(COUNT_REPLIES);
	if (kind != COUNT_REPLIES)
		count(kind);
	return NEXT;
}

static __always_inline void fragment_of(struct fragment_key *key, const struct seen *s)
{
	__builtin_memcpy(key->src, s->src, sizeof(key->src));
	__builtin_memcpy(key->dst, s->dst, sizeof(key->dst));
	key->id = s->frag_id;
	key->proto = s->proto;
}

static __always_inline int send_error(struct __sk_buff *skb, __u32 quoted)
{
	struct flow_value *flow;
	struct flow_key key;
	struct seen inner;

	if (see(skb, quoted, &inner) || !inner.l4)
		return NEXT;
	key_from_client(&key, &inner);
	flow = find(&key);
	return flow ? send_to(skb, flow->edge, COUNT_ERRORS) : NEXT;
}

SEC("tcx/egress")
int node_egress(struct __sk_buff *skb)
{
	struct fragment_value *known, fragment = {};
	struct fragment_key datagram;
	struct flow_value *flow;
	struct flow_key key;
	struct seen s;

	if (see(skb, ETH_HLEN, &s))
		return NEXT;
	if (!s.l4) {
		fragment_of(&datagram, &s);
		known = bpf_map_lookup_elem(&node_fragments_v1, &datagram);
		return known ? send_to(skb, known->edge, COUNT_FRAGMENTS) : NEXT;
	}
	if (is_error(&s))
		return send_error(skb, s.l4 + ICMP_HEADER);
	key_from_node(&key, &s);
	flow = find(&key);
	if (!flow)
		return NEXT;
	if (s.fragment) {
		fragment_of(&datagram, &s);
		fragment.edge = flow->edge;
		bpf_map_update_elem(&node_fragments_v1, &datagram, &fragment, BPF_ANY);
	}
	send_to(skb, flow->edge, COUNT_REPLIES);
	if (ends(flow, &s, FIN_FROM_NODE))
		forget(&key);
	return NEXT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

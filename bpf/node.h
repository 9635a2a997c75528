/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The helper on targets: maps, keys and what is read of a packet. The layout of
 * keys and values is frozen; a new layout gets a new map name. */
#ifndef FAIRLEAD_NODE_H
#define FAIRLEAD_NODE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* A flow as the target's uplink sees it: before the kernel's translation on the
 * way in, after it on the way out. IPv4 addresses are mapped (::ffff:a.b.c.d). */
struct flow_key {
	__be32 client[4];
	__be32 node[4];
	__be16 client_port;
	__be16 node_port;
	__u8 proto;
	__u8 pad[3];
};

struct mac {
	__u16 w[3];
};

#define FIN_FROM_CLIENT 1
#define FIN_FROM_NODE 2
#define FIN_BOTH (FIN_FROM_CLIENT | FIN_FROM_NODE)

struct flow_value {
	struct mac edge; /* where replies go */
	__u16 pad;
	__u32 fins;
	__u32 spare;
};

/* A datagram that the target sent in fragments; only the first has ports. */
struct fragment_key {
	__be32 src[4];
	__be32 dst[4];
	__be32 id;
	__u32 proto;
};

struct fragment_value {
	struct mac edge;
	__u16 pad;
};

/* Flows whose client has sent one packet live apart from those whose client has
 * sent more, so that a flood of SYN cannot push out connections. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct flow_key);
	__type(value, struct flow_value);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} node_new_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072); /* set by the loader */
	__type(key, struct flow_key);
	__type(value, struct flow_value);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} node_flows_v1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment_value);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} node_fragments_v1 SEC(".maps");

/* Order and names are those of counterNames in internal/node. */
enum counter {
	COUNT_LEARNED,  /* flows that came through an edge */
	COUNT_MOVED,    /* flows whose edge changed */
	COUNT_ENDED,    /* flows that FIN or RST ended */
	COUNT_REPLIES,  /* packets sent to the edge of their flow */
	COUNT_ERRORS,   /* ICMP errors among them */
	COUNT_FRAGMENTS, /* fragments without ports among them */
	COUNTERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} node_counters_v1 SEC(".maps");

static __always_inline void count(__u32 which)
{
	__u64 *value = bpf_map_lookup_elem(&node_counters_v1, &which);

	if (value)
		*value += 1;
}

/* What is known of a packet. Ports are valid when l4 is not 0. */
struct seen {
	__be32 src[4];
	__be32 dst[4];
	__be16 sport, dport;
	__u32 l4;      /* offset of the transport header; 0: not in this packet */
	__be32 frag_id;
	__u8 fragment; /* part of a datagram */
	__u8 proto;
	__u8 tcp_flags;
	__u8 icmp_type;
};

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04

#define V4_MORE_FRAGMENTS 0x2000
#define V4_OFFSET 0x1fff
#define V6_OFFSET 0xfff8

#define ICMP4_UNREACHABLE 3
#define ICMP4_TIME_EXCEEDED 11
#define ICMP4_PARAMETER 12
#define ICMP6_ERRORS 128 /* ICMPv6 types below it are errors */
#define ICMP_HEADER 8

static __always_inline void map_v4(__be32 *to, __be32 addr)
{
	to[0] = 0;
	to[1] = 0;
	to[2] = bpf_htonl(0xffff);
	to[3] = addr;
}

/* Reading goes through bpf_skb_load_bytes: headers need not be in the linear
 * part of a packet that GRO has put together. */
static __always_inline int see_v4(struct __sk_buff *skb, __u32 at, struct seen *s)
{
	struct iphdr ip;
	__u32 header;

	if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.version != 4)
		return -1;
	header = ip.ihl * 4;
	if (header < sizeof(ip))
		return -1;
	map_v4(s->src, ip.saddr);
	map_v4(s->dst, ip.daddr);
	s->proto = ip.protocol;
	s->frag_id = ip.id;
	s->fragment = !!(ip.frag_off & bpf_htons(V4_MORE_FRAGMENTS | V4_OFFSET));
	if (!(ip.frag_off & bpf_htons(V4_OFFSET)))
		s->l4 = at + header;
	return 0;
}

struct v6_fragment {
	__u8 nexthdr;
	__u8 reserved;
	__be16 offset;
	__be32 id;
};

static __always_inline int see_v6(struct __sk_buff *skb, __u32 at, struct seen *s)
{
	struct v6_fragment frag;
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.version != 6)
		return -1;
	__builtin_memcpy(s->src, &ip.saddr, sizeof(s->src));
	__builtin_memcpy(s->dst, &ip.daddr, sizeof(s->dst));
	s->proto = ip.nexthdr;
	s->l4 = at + sizeof(ip);
	if (ip.nexthdr != IPPROTO_FRAGMENT)
		return 0;
	if (bpf_skb_load_bytes(skb, s->l4, &frag, sizeof(frag)))
		return -1;
	s->proto = frag.nexthdr;
	s->fragment = 1;
	s->frag_id = frag.id;
	s->l4 = frag.offset & bpf_htons(V6_OFFSET) ? 0 : s->l4 + sizeof(frag);
	return 0;
}

static __always_inline int see_l4(struct __sk_buff *skb, struct seen *s)
{
	__be16 ports[2];

	if (s->proto == IPPROTO_ICMP || s->proto == IPPROTO_ICMPV6)
		return bpf_skb_load_bytes(skb, s->l4, &s->icmp_type, 1);
	if (s->proto != IPPROTO_TCP && s->proto != IPPROTO_UDP)
		return -1;
	if (bpf_skb_load_bytes(skb, s->l4, ports, sizeof(ports)))
		return -1;
	s->sport = ports[0];
	s->dport = ports[1];
	if (s->proto == IPPROTO_TCP) /* not there when an ICMP error quotes eight bytes */
		bpf_skb_load_bytes(skb, s->l4 + 13, &s->tcp_flags, 1);
	return 0;
}

/* Reads the IP packet at an offset; not 0 when it is nothing for us. */
static __always_inline int see(struct __sk_buff *skb, __u32 at, struct seen *s)
{
	__builtin_memset(s, 0, sizeof(*s));
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (see_v4(skb, at, s))
			return -1;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (see_v6(skb, at, s))
			return -1;
	} else {
		return -1;
	}
	return s->l4 ? see_l4(skb, s) : 0;
}

static __always_inline void key_from_client(struct flow_key *k, const struct seen *s)
{
	__builtin_memset(k, 0, sizeof(*k));
	__builtin_memcpy(k->client, s->src, sizeof(k->client));
	__builtin_memcpy(k->node, s->dst, sizeof(k->node));
	k->client_port = s->sport;
	k->node_port = s->dport;
	k->proto = s->proto;
}

static __always_inline void key_from_node(struct flow_key *k, const struct seen *s)
{
	__builtin_memset(k, 0, sizeof(*k));
	__builtin_memcpy(k->client, s->dst, sizeof(k->client));
	__builtin_memcpy(k->node, s->src, sizeof(k->node));
	k->client_port = s->dport;
	k->node_port = s->sport;
	k->proto = s->proto;
}

#endif

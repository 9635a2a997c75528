/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* From bytes to a struct packet. What the lengths in the headers claim is held
 * against the frame before anything is believed. */
#ifndef FAIRLEAD_PARSE_H
#define FAIRLEAD_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include "maps.h"

#define IP_OFFSET_MORE 0x3fff /* more fragments, or an offset */
#define IP_OFFSET 0x1fff
#define IP6_OFFSET 0xfff8

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define TCP_CHECK 16 /* offset of the checksum */
#define UDP_CHECK 6

enum parsed {
	PARSED_L4,   /* TCP or UDP, all fields valid */
	PARSED_ICMP, /* ICMP of the packet's family, l4 valid, eight bytes there */
	/* below here only the addresses are valid */
	PARSED_MALFORMED,
	PARSED_LATER,    /* UDP fragment without the header; length and id, too */
	PARSED_FRAGMENT, /* of anything else */
	PARSED_PROTOCOL,
	/* and here nothing */
	PARSED_TRUNCATED,
};

struct packet {
	struct addr src, dst;
	__u64 mac; /* the sender's */
	__be16 sport, dport;
	__u32 seq, ack; /* TCP, host order */
	__u32 length;   /* bytes of the IP packet */
	__u32 payload;  /* bytes after the TCP header */
	__u16 l4;       /* offset in the frame */
	__u8 family;    /* 4 or 6 */
	__u8 proto;
	__u8 flags; /* TCP */
	__u8 icmp_type;
	__u8 fragment; /* 1: the first fragment of a datagram, or a later one */
	__u32 id;      /* of the datagram, then */
};

static __always_inline void addr_v4(struct addr *a, __be32 v4)
{
	a->d[0] = 0;
	a->d[1] = (__u64)v4 << 32 | bpf_htonl(0xffff);
}

static __always_inline __be32 addr_to_v4(const struct addr *a)
{
	return a->d[1] >> 32;
}

static __always_inline int addr_is_v4(const struct addr *a)
{
	return a->d[0] == 0 && (__u32)a->d[1] == bpf_htonl(0xffff);
}

static __always_inline void addr_v6(struct addr *a, const struct in6_addr *v6)
{
	const __be32 *w = v6->in6_u.u6_addr32;

	a->d[0] = (__u64)w[1] << 32 | w[0];
	a->d[1] = (__u64)w[3] << 32 | w[2];
}

static __always_inline void addr_store_v6(struct in6_addr *v6, const struct addr *a)
{
	__be32 *w = v6->in6_u.u6_addr32;

	w[0] = a->d[0];
	w[1] = a->d[0] >> 32;
	w[2] = a->d[1];
	w[3] = a->d[1] >> 32;
}

static __always_inline __u64 mac_load(const void *p)
{
	const __u16 *w = p;

	return (__u64)w[2] << 32 | (__u64)w[1] << 16 | w[0];
}

static __always_inline void mac_store(void *p, __u64 mac)
{
	*(__u32 *)p = mac;
	((__u16 *)p)[2] = mac >> 32;
}

#define MAC_MASK 0xffffffffffffULL

/* The fields of TCP and UDP; room is what the IP header leaves for them. */
static __always_inline enum parsed parse_l4(struct packet *p, void *l4, void *end, __u32 room)
{
	struct tcphdr *tcp = l4;
	struct udphdr *udp = l4;
	__u32 header, most = p->fragment ? 0xffff : room;

	if (p->proto == IPPROTO_UDP) {
		if ((void *)(udp + 1) > end || room < sizeof(*udp))
			return PARSED_MALFORMED;
		if (bpf_ntohs(udp->len) < sizeof(*udp) || bpf_ntohs(udp->len) > most)
			return PARSED_MALFORMED;
		p->sport = udp->source;
		p->dport = udp->dest;
		return PARSED_L4;
	}
	if ((void *)(tcp + 1) > end || room < sizeof(*tcp))
		return PARSED_MALFORMED;
	header = tcp->doff * 4;
	if (header < sizeof(*tcp) || header > room)
		return PARSED_MALFORMED;
	p->sport = tcp->source;
	p->dport = tcp->dest;
	p->seq = bpf_ntohl(tcp->seq);
	p->ack = bpf_ntohl(tcp->ack_seq);
	p->flags = ((__u8 *)tcp)[13];
	p->payload = room - header;
	return PARSED_L4;
}

static __always_inline enum parsed parse_icmp(struct packet *p, void *l4, void *end, __u32 room)
{
	if (l4 + 8 > end || room < 8)
		return PARSED_MALFORMED;
	p->icmp_type = *(__u8 *)l4;
	return PARSED_ICMP;
}

static __always_inline enum parsed parse_v4(struct packet *p, void *data, void *end, __u32 bytes)
{
	struct iphdr *ip = data + ETH_HLEN;
	__u32 header;
	void *l4;

	if ((void *)(ip + 1) > end)
		return PARSED_TRUNCATED;
	addr_v4(&p->src, ip->saddr);
	addr_v4(&p->dst, ip->daddr);
	p->family = 4;
	p->proto = ip->protocol;
	p->flags = p->fragment = 0;
	p->length = bpf_ntohs(ip->tot_len);
	header = ip->ihl * 4;
	if (ip->version != 4 || header < sizeof(*ip) || p->length < header)
		return PARSED_MALFORMED;
	if (p->length > bytes - ETH_HLEN)
		return PARSED_MALFORMED;
	if (ip->frag_off & bpf_htons(IP_OFFSET_MORE)) {
		p->fragment = 1;
		p->id = bpf_ntohs(ip->id);
		if (p->proto != IPPROTO_UDP)
			return PARSED_FRAGMENT;
		if (ip->frag_off & bpf_htons(IP_OFFSET))
			return PARSED_LATER;
	}
	p->l4 = ETH_HLEN + header;
	l4 = (void *)ip + header;
	asm volatile("" : "+r"(l4)); /* one pointer, or the verifier forgets its range */
	if (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP)
		return parse_l4(p, l4, end, p->length - header);
	if (p->proto == IPPROTO_ICMP)
		return parse_icmp(p, l4, end, p->length - header);
	return PARSED_PROTOCOL;
}

struct fragment_header {
	__u8 nexthdr, reserved;
	__be16 offset; /* in the upper 13 bits; the lowest: more fragments follow */
	__be32 id;
};

/* The fragment header of IPv6, directly behind the fixed one. A fragment that is
 * all of its datagram is none (RFC 6946). */
static __always_inline enum parsed parse_fragment(struct packet *p, struct fragment_header *f)
{
	p->proto = f->nexthdr;
	if (p->proto != IPPROTO_UDP)
		return PARSED_FRAGMENT;
	p->id = bpf_ntohl(f->id);
	p->fragment = (f->offset & bpf_htons(0xfff9)) != 0;
	return f->offset & bpf_htons(IP6_OFFSET) ? PARSED_LATER : PARSED_L4;
}

static __always_inline enum parsed parse_v6(struct packet *p, void *data, void *end, __u32 bytes)
{
	struct ipv6hdr *ip = data + ETH_HLEN;
	__u32 room;
	void *l4 = ip + 1;

	if (l4 > end)
		return PARSED_TRUNCATED;
	addr_v6(&p->src, &ip->saddr);
	addr_v6(&p->dst, &ip->daddr);
	p->family = 6;
	p->proto = ip->nexthdr;
	p->flags = p->fragment = 0;
	room = bpf_ntohs(ip->payload_len);
	p->length = room + sizeof(*ip);
	if (ip->version != 6 || p->length > bytes - ETH_HLEN)
		return PARSED_MALFORMED;
	p->l4 = ETH_HLEN + sizeof(*ip);
	if (p->proto == IPPROTO_FRAGMENT) {
		enum parsed parsed;

		if (l4 + sizeof(struct fragment_header) > end || room < sizeof(struct fragment_header))
			return PARSED_MALFORMED;
		parsed = parse_fragment(p, l4);
		if (parsed != PARSED_L4)
			return parsed;
		l4 += sizeof(struct fragment_header);
		room -= sizeof(struct fragment_header);
		p->l4 += sizeof(struct fragment_header);
	}
	if (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP)
		return parse_l4(p, l4, end, room);
	if (p->proto == IPPROTO_ICMPV6)
		return parse_icmp(p, l4, end, room);
	return PARSED_PROTOCOL;
}

/* bytes is the length of the frame, of which the headers at least end at end. */
static __always_inline enum parsed parse(struct packet *p, void *data, void *end, __u32 bytes,
					 __be16 type)
{
	if (type == bpf_htons(ETH_P_IP))
		return parse_v4(p, data, end, bytes);
	return parse_v6(p, data, end, bytes);
}

#endif

/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* TCP resets of our own, made out of the packet that they answer (RFC 9293
 * 3.5.2), never for a reset, never larger than their cause, rate-limited. */
#ifndef FAIRLEAD_RESET_H
#define FAIRLEAD_RESET_H

#include "counters.h"
#include "csum.h"
#include "parse.h"

static __always_inline void reset_l3(void *data, const struct packet *p, __u64 *sum)
{
	*sum = csum_words(&p->src) + csum_words(&p->dst) + bpf_htons(sizeof(struct tcphdr)) +
	       bpf_htons(IPPROTO_TCP);
	if (p->family == 4) {
		struct iphdr *ip = data + ETH_HLEN;
		__u64 check;

		/* Both addresses carry the mapped prefix's 0xffff: zero to the sum. */
		*(__be16 *)ip = bpf_htons(0x4500);
		ip->tot_len = bpf_htons(sizeof(*ip) + sizeof(struct tcphdr));
		ip->id = 0;
		ip->frag_off = bpf_htons(0x4000);
		ip->ttl = 64;
		ip->protocol = IPPROTO_TCP;
		ip->saddr = addr_to_v4(&p->dst);
		ip->daddr = addr_to_v4(&p->src);
		check = bpf_htons(0x4500) + ip->tot_len + ip->frag_off +
			bpf_htons(64 << 8 | IPPROTO_TCP) + (__u64)ip->saddr + ip->daddr;
		ip->check = ~csum_fold(check);
		return;
	}
	struct ipv6hdr *ip = data + ETH_HLEN;

	*(__be32 *)ip = bpf_htonl(6u << 28);
	ip->payload_len = bpf_htons(sizeof(struct tcphdr));
	ip->nexthdr = IPPROTO_TCP;
	ip->hop_limit = 64;
	addr_store_v6(&ip->saddr, &p->dst);
	addr_store_v6(&ip->daddr, &p->src);
}

#if EGRESS
/* Whether the checksum at an offset is the device's to finish: then the helper
 * leaves it as it is when a port changes. */
static __always_inline int is_unfinished(hook_ctx *ctx, __u32 offset)
{
	__u16 before = 0, after = 0;

	bpf_skb_load_bytes(ctx, offset, &before, sizeof(before));
	bpf_l4_csum_replace(ctx, offset, 0, 1, 0);
	bpf_skb_load_bytes(ctx, offset, &after, sizeof(after));
	return before == after;
}
#else
static __always_inline int is_unfinished(hook_ctx *ctx, __u32 offset)
{
	return 0;
}
#endif

static __always_inline void reset_l4(struct tcphdr *tcp, const struct packet *p, __u64 sum,
				     int unfinished)
{
	int acked = p->flags & TCP_ACK;
	__be32 seq = acked ? bpf_htonl(p->ack) : 0;
	__u32 next = p->seq + p->payload + !!(p->flags & TCP_SYN) + !!(p->flags & TCP_FIN);
	__be32 ack = acked ? 0 : bpf_htonl(next);
	__be16 word = bpf_htons(5 << 12 | TCP_RST | (acked ? 0 : TCP_ACK));

	tcp->source = p->dport;
	tcp->dest = p->sport;
	tcp->seq = seq;
	tcp->ack_seq = ack;
	((__be16 *)tcp)[6] = word;
	tcp->window = 0;
	tcp->urg_ptr = 0;
	if (unfinished)
		tcp->check = csum_fold(sum);
	else
		tcp->check = ~csum_fold(sum + p->dport + p->sport + (__u64)seq + ack + word);
}

/* Turns the frame into a reset to its sender. */
JUDGED_ALONE int reset_build(hook_ctx *ctx, const struct packet *p)
{
	struct setting *cfg = settings_get();
	int l4 = ETH_HLEN, unfinished;
	void *data, *end;
	struct ethhdr *eth;
	__u64 sum;

	if (!cfg || !p)
		return 0;
	l4 += p->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	/* The device looks for the TCP header where it was. */
	if (EGRESS && p->l4 != l4)
		return 0;
	unfinished = is_unfinished(ctx, l4 + TCP_CHECK);
	if (resize(ctx, l4 + sizeof(struct tcphdr)))
		return 0;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (p->family == 4) {
		if (data + ETH_HLEN + sizeof(struct iphdr) + sizeof(struct tcphdr) > end)
			return 0;
		reset_l3(data, p, &sum);
		reset_l4(data + ETH_HLEN + sizeof(struct iphdr), p, sum, unfinished);
	} else {
		if (data + ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct tcphdr) > end)
			return 0;
		reset_l3(data, p, &sum);
		reset_l4(data + ETH_HLEN + sizeof(struct ipv6hdr), p, sum, unfinished);
	}
	eth = data;
	mac_store(eth->h_dest, mac_load(eth->h_source));
	mac_store(eth->h_source, cfg->mac);
	return 1;
}

/* Ends a TCP packet that cannot be forwarded. */
static __always_inline int reset(hook_ctx *ctx, const struct packet *p, __u32 balancer,
				 __u32 reason)
{
	struct setting *cfg = settings_get();

	if (p->flags & TCP_RST)
		return verdict(XDP_DROP, DROP_UNKNOWN_RESET);
	if (!cfg || !may_answer(cfg, clock_now(cfg)))
		return verdict(XDP_DROP, DROP_RATE);
	if (!reset_build(ctx, p))
		return verdict(XDP_DROP, DROP_ERROR);
	COUNT(balancer, tcp_elb_reset_count, 1);
	return transmit(ctx, cfg, reason);
}

#endif

/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* ARP requests (RFC 826) and neighbour solicitations (RFC 4861) for load
 * balancer addresses, which no kernel knows, are answered here. Probes of hosts
 * that think of taking such an address (RFC 5227, RFC 4862) are answered too:
 * that is how the address is defended. */
#ifndef FAIRLEAD_NEIGHBOR_H
#define FAIRLEAD_NEIGHBOR_H

#include "counters.h"
#include "csum.h"
#include "parse.h"

struct arp_v4 {
	__be16 hardware, protocol;
	__u8 hardware_length, protocol_length;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender[4];
	__u8 target_mac[6];
	__u8 target[4];
};

static __always_inline __be32 load32(const __u8 *p)
{
	const __u16 *w = (const __u16 *)p;

	return (__u32)w[1] << 16 | w[0];
}

static __always_inline void store32(__u8 *p, __be32 v)
{
	__u16 *w = (__u16 *)p;

	w[0] = v;
	w[1] = v >> 16;
}

static __always_inline int answer_arp(hook_ctx *ctx, const struct setting *cfg)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct arp_v4 *arp = data + ETH_HLEN;
	struct addr target;
	__be32 sender, vip;
	__u64 mac;

	if ((void *)(arp + 1) > end)
		return verdict(XDP_PASS, PASS_TRUNCATED);
	if (arp->operation != bpf_htons(1) || arp->hardware != bpf_htons(1) ||
	    arp->protocol != bpf_htons(ETH_P_IP) || arp->hardware_length != 6 ||
	    arp->protocol_length != 4)
		return verdict(XDP_PASS, PASS_NOT_IP);
	vip = load32(arp->target);
	addr_v4(&target, vip);
	if (!vip_of(&target))
		return verdict(XDP_PASS, PASS_NOT_IP);
	sender = load32(arp->sender);
	mac = mac_load(arp->sender_mac);
	/* An announcement of a VIP by someone else: user space's business. */
	if (sender == vip)
		return verdict(XDP_PASS, PASS_NOT_IP);
	arp->operation = bpf_htons(2);
	mac_store(arp->target_mac, mac);
	store32(arp->target, sender);
	mac_store(arp->sender_mac, cfg->mac);
	store32(arp->sender, vip);
	mac_store(eth->h_dest, mac_load(eth->h_source));
	mac_store(eth->h_source, cfg->mac);
	return transmit(ctx, cfg, SENT_NEIGHBOR);
}

#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136

struct nd_message {
	__u8 type, code;
	__u16 check;
	__be32 flags;
	struct in6_addr target;
};

struct nd_answer {
	struct ipv6hdr ip;
	struct nd_message nd;
	__u8 option, option_length;
	__u8 mac[6];
};

#define ND_LENGTH (sizeof(struct nd_message) + 8)
#define ND_SOLICITED 0x40000000
#define ND_OVERRIDE 0x20000000

static __always_inline __u64 nd_sum(const struct addr *from, const struct addr *to,
				    __be32 flags, __u64 mac)
{
	return csum_words(from) * 2 + csum_words(to) + bpf_htons(ND_LENGTH) +
	       bpf_htons(IPPROTO_ICMPV6) + bpf_htons(ND_ADVERTISEMENT << 8) + flags +
	       bpf_htons(2 << 8 | 1) + (mac & 0xffffffff) + (mac >> 32);
}

/* Writes the advertisement. to is unspecified when the asker has no address yet:
 * then everyone hears that this one is taken (RFC 4861 7.2.4). */
static __always_inline int advertise(hook_ctx *ctx, const struct setting *cfg,
				     const struct addr *vip, struct addr to, __u64 mac)
{
	__u32 flags = ND_OVERRIDE | ND_SOLICITED;
	struct nd_answer *a;
	struct ethhdr *eth;

	if (!to.d[0] && !to.d[1]) {
		flags = ND_OVERRIDE;
		to.d[0] = bpf_cpu_to_be64(0xff02000000000000ULL);
		to.d[1] = bpf_cpu_to_be64(1);
		mac = mac_load("\x33\x33\x00\x00\x00\x01");
	}
	if (resize(ctx, ETH_HLEN + sizeof(struct nd_answer)))
		return verdict(XDP_DROP, DROP_ERROR);
	eth = (void *)(long)ctx->data;
	a = (void *)(eth + 1);
	if ((void *)(a + 1) > (void *)(long)ctx->data_end)
		return verdict(XDP_DROP, DROP_ERROR);
	mac_store(eth->h_dest, mac);
	mac_store(eth->h_source, cfg->mac);
	eth->h_proto = bpf_htons(ETH_P_IPV6);
	*(__be32 *)&a->ip = bpf_htonl(6u << 28);
	a->ip.payload_len = bpf_htons(ND_LENGTH);
	a->ip.nexthdr = IPPROTO_ICMPV6;
	a->ip.hop_limit = 255;
	addr_store_v6(&a->ip.saddr, vip);
	addr_store_v6(&a->ip.daddr, &to);
	a->nd.type = ND_ADVERTISEMENT;
	a->nd.code = 0;
	a->nd.flags = bpf_htonl(flags);
	addr_store_v6(&a->nd.target, vip);
	a->option = 2; /* target link-layer address */
	a->option_length = 1;
	mac_store(a->mac, cfg->mac);
	a->nd.check = ~csum_fold(nd_sum(vip, &to, bpf_htonl(flags), cfg->mac));
	return transmit(ctx, cfg, SENT_NEIGHBOR);
}

static __noinline int answer_solicitation(hook_ctx *ctx, const struct setting *cfg,
					       const struct packet *p)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct ipv6hdr *ip = data + ETH_HLEN;
	struct nd_message *nd = data + ETH_HLEN + sizeof(*ip);
	struct addr vip;

	if ((void *)(nd + 1) > end || p->length < sizeof(*ip) + sizeof(*nd))
		return verdict(XDP_PASS, PASS_TRUNCATED);
	addr_v6(&vip, &nd->target);
	if (ip->hop_limit != 255 || nd->code || addr_is_v4(&vip) || !vip_of(&vip))
		return verdict(XDP_PASS, PASS_NO_FLOW);
	return advertise(ctx, cfg, &vip, p->src, mac_load(eth->h_source));
}

#endif

/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef FAIRLEAD_ICMP_H
#define FAIRLEAD_ICMP_H
#include "walk.h"
static __always_inline int icmp(struct xdp_md *ctx, const struct setting *cfg, struct walk *k)
{
	if (vip_of(&k->packet.dst))
		return verdict(XDP_DROP, DROP_ICMP_TYPE);
	return verdict(XDP_PASS, PASS_NO_FLOW);
}
#endif

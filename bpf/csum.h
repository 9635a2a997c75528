/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Internet checksums: from scratch for our own packets, by difference (RFC 1624)
 * for edited ones. Sums are kept in 64 bits and folded once. */
#ifndef FAIRLEAD_CSUM_H
#define FAIRLEAD_CSUM_H

#include "maps.h"

static __always_inline __u16 csum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static __always_inline __u64 csum_words(const struct addr *a)
{
	return (a->d[0] & 0xffffffff) + (a->d[0] >> 32) + (a->d[1] & 0xffffffff) +
	       (a->d[1] >> 32);
}

/* Not complemented: as the kernel's helpers take a difference. */
static __always_inline __u32 csum_fold32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

/* What an address or a 16-bit field that changes adds to a sum. The mapped
 * prefix of IPv4 addresses cancels out. */
static __always_inline __u64 csum_addr_diff(const struct addr *from, const struct addr *to)
{
	struct addr inverse = {{~from->d[0], ~from->d[1]}};

	return csum_words(&inverse) + csum_words(to);
}

static __always_inline __u64 csum_diff16(__u16 from, __u16 to)
{
	return (__u64)(__u16)~from + to;
}

static __always_inline __u16 csum_apply(__u16 csum, __u64 diff)
{
	return ~csum_fold((__u16)~csum + diff);
}

#endif

/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Keyed hashing: multilinear over 32-bit words with 64-bit random keys, which
 * bounds the chance that two inputs chosen without knowing the keys collide by
 * 2^-31, then a finaliser so that regular inputs do not land in regular places. */
#ifndef FAIRLEAD_HASH_H
#define FAIRLEAD_HASH_H

#include "maps.h"

/* Each use of the hash has keys of its own. */
#define KEY_FLOW 0  /* 6: client address, port and protocol */
#define KEY_TAG 6   /* 6: target address, port */
#define KEY_PICK 12 /* 12: source, destination, ports, protocol, sequence number */
#define KEY_SOURCE 24 /* 6: source address alone */

static __always_inline __u64 finish(__u64 h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	h ^= h >> 33;
	return h;
}

static __always_inline __u64 sum_addr(const __u64 *key, const struct addr *a)
{
	return key[0] * (__u32)a->d[0] + key[1] * (a->d[0] >> 32) +
	       key[2] * (__u32)a->d[1] + key[3] * (a->d[1] >> 32);
}

static __always_inline __u64 hash_end(const struct setting *cfg, __u32 use,
				      const struct addr *a, __be16 port, __u8 proto)
{
	const __u64 *key = &cfg->key[use];
	__u32 word = (__u32)proto << 16 | port;

	return finish(key[5] + sum_addr(key, a) + key[4] * word);
}

#endif

/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Measures what a packet costs: a loop that writes a fresh packet each round and
 * runs another program on it. BPF_PROG_TEST_RUN by itself gives a program its own
 * output back after the first round. The other program is reached by a tail call,
 * so it is the very one that edges run, and not a copy compiled into this. Never
 * attached. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define ROUNDS 32 /* the kernel allows 33 tail calls in a run */
#define FRAME 80  /* bytes, for either family */
#define FLOWS (1 << 20)

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} measured SEC(".maps");

/* Which target a flow was given: the last four bytes of its address. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOWS);
	__type(key, __u32);
	__type(value, __be32);
} targets SEC(".maps");

/* Set before loading, so that the verifier removes what a case does not need. */
const volatile __u64 frame[FRAME / 8] = {}; /* the packet of flow 0 */
const volatile __u32 flows = 1;
const volatile __u32 first = 0;  /* flow 0's client: the last four bytes of its address */
const volatile __u32 ipv6 = 0;
const volatile __u32 reply = 0;  /* packets of targets */
const volatile __u32 fresh = 0;  /* each packet is of a flow that never was */

__u64 state = 1;      /* of the random sequence; fresh: the next flow */
__u64 unexpected = 0; /* packets that were not sent on */

/* A verdict that neither compiler nor verifier knows: both take what follows a
 * tail call for the only way on, and a constant there for the function's result. */
volatile __u32 aborted = XDP_ABORTED;

static __always_inline __u32 next_flow(void)
{
	if (fresh)
		return state++;
	/* Knuth, MMIX */
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return ((state >> 32) * flows) >> 32;
}

/* Client and port of flow i are these in user space too. */
static __always_inline __be32 client_of(__u32 i)
{
	return bpf_htonl(first + i);
}

static __always_inline __be16 port_of(__u32 i)
{
	return bpf_htons(1024 + (i & 0x7fff));
}

/* One packet. The measured program returns to the caller in place of this. */
static __noinline int one(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 src = ipv6 ? 34 : 26, dst = ipv6 ? 50 : 30, ports = ipv6 ? 54 : 34;
	__u32 i = next_flow();
	__be32 *target;

	if (data + FRAME > end)
		return aborted;
	for (int w = 0; w < FRAME / 8; w++)
		((__u64 *)data)[w] = frame[w];
	if (reply) {
		target = bpf_map_lookup_elem(&targets, &i);
		if (!target)
			return aborted;
		*(__be32 *)(data + src) = *target;
		*(__be32 *)(data + dst) = client_of(i);
		*(__be16 *)(data + ports + 2) = port_of(i);
	} else {
		*(__be32 *)(data + src) = client_of(i);
		*(__be16 *)(data + ports) = port_of(i);
	}
	bpf_tail_call(ctx, &measured, 0);
	return aborted;
}

SEC("xdp")
int loop(struct xdp_md *ctx)
{
	for (int i = 0; i < ROUNDS; i++) {
		int action = one(ctx);

		if (action != XDP_TX && action != XDP_REDIRECT)
			unexpected++;
		/* An answer of the program's own has shortened the frame. */
		if (ctx->data_end - ctx->data < FRAME)
			bpf_xdp_adjust_tail(ctx, FRAME - (int)(ctx->data_end - ctx->data));
	}
	return XDP_PASS;
}

/* What is subtracted: a program that does nothing. */
SEC("xdp")
int empty(struct xdp_md *ctx)
{
	return XDP_TX;
}

/* What no program can do without, so that a figure can be held against it. */

struct lines {
	__u64 word[128]; /* the size of a bucket of flows: 16 cache lines */
};

/* The edge's own table stands in for this one. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct lines);
} table SEC(".maps");

const volatile __u32 table_mask = 0;

/* Reads one line of the table, another one for each flow. Which one is next depends
 * on what it says, so that no two are waited for at once: what memory costs. The
 * highest bit of a record's first word is never set. */
SEC("xdp")
int read_line(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct lines *bucket;
	__u64 hash, said;
	__u32 index;

	if (data + FRAME > end)
		return XDP_ABORTED;
	hash = *(__u32 *)(data + 26) * 0xff51afd7ed558ccdULL;
	hash ^= hash >> 33;
	hash *= 0xc4ceb9fe1a85ec53ULL;
	index = hash >> 16 & table_mask;
	bucket = bpf_map_lookup_elem(&table, &index);
	if (!bucket)
		return XDP_ABORTED;
	said = *(volatile __u64 *)&bucket->word[(hash >> 56 & 15) * 8];
	state += said >> 63;
	return XDP_TX;
}

/* Sends the packet back by redirect, as an edge must on veth. */
SEC("xdp")
int redirect(struct xdp_md *ctx)
{
	return bpf_redirect(ctx->ingress_ifindex, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

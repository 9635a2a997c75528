/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Maps and their layouts. Keys and the flow record are frozen: a running edge's
 * pinned maps are adopted by the next version of the program. README.md draws
 * them; user space gets its structs from these through bpf2go. */
#ifndef FAIRLEAD_MAPS_H
#define FAIRLEAD_MAPS_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

/* 1 in the build for fairlead trace, which changes nothing that lasts: it takes
 * copies of the buckets that a packet leads to (trace.h), never the short ways
 * that write to records where they lie, and user space gives it no other map
 * that the program writes to. */
#ifndef TRACE
#define TRACE 0
#endif

#define BUCKET_SLOTS 16
#define FLOW_SPAN BUCKET_SLOTS
#define HALF_SPAN 4 /* slots of a half_open bucket that one hash may use */
#define HASH_KEYS 32
#define MAX_CHOICES 5

#define MAX_LISTENERS 16384
#define MAX_GROUPS 16384
#define MAX_TARGETS 65536
#define MAX_BALANCERS 4096
#define MAX_PREFIXES 65536
#define MAX_CLIENTS 262144
#define MAX_LOCKS 4096
#define HINTS 4096

/* An address of either family as sixteen bytes in network order; IPv4 is mapped
 * into ::ffff:0:0/96. Packets that carry such addresses as IPv6 are martians. */
struct addr {
	__u64 d[2];
};

#define SETTING_ECHO 1u     /* answer echo requests to load balancer addresses */
#define SETTING_REDIRECT 2u /* send by redirect: see transmit() */
#define SETTING_RESTORING 4u /* flows of an older layout are still being copied */

/* One entry. Written by user space, but for nothing: the program only reads. */
struct setting {
	__u64 key[HASH_KEYS]; /* random, made once when the flow tables are made */
	__u64 mac;            /* the uplink's, in the low 48 bits as a frame carries it */
	__u64 now;            /* the clock in jiffies when fixed_clock is set (tests) */
	__u32 hz;             /* jiffies per second */
	__u32 flags;
	__u32 flow_mask; /* buckets of flows, minus one */
	__u32 half_mask; /* buckets of half_open, minus one */
	__u32 lock_mask; /* at most the smaller of both and MAX_LOCKS - 1 */
	__u32 half_open_seconds;
	__u32 closing_seconds;
	__u32 answers_per_jiffy; /* resets and echo replies, per CPU */
	__u32 answers_burst;
	__u32 generation; /* user space: the last one given to an ID */
};

struct listener_key {
	struct addr vip;
	__be16 port;
	__u8 proto;
	__u8 zero;
	__u32 zero2;
};

struct choice {
	__u32 group; /* index into groups and tables */
	__u32 bound; /* chosen when the hash is at most this; ascending */
};

#define LISTENER_LOCAL 1u  /* the kernel has a socket for it: new flows are passed to it */
#define LISTENER_STICKY 2u /* which group a flow goes to follows from its client's address */
#define LISTENER_DELETED 4u /* stays for its TCP flows alone: no new ones */

struct listener {
	__u32 id; /* generation << 16 | index, so that a reused index is not mistaken */
	__u32 balancer;
	struct addr vip;
	__be16 port;
	__u8 proto;
	__u8 zero;
	__u32 idle_seconds;
	__u32 choices;
	__u32 flags;
	struct choice choice[MAX_CHOICES];
	__u8 digest[16]; /* of the name: how a new process finds the index again */
	__u64 clients;   /* the set that may open flows */
};

#define GROUP_SOURCE_NAT 1u /* preserve_client_ip.enabled is false */
#define GROUP_STICKY 2u     /* stickiness by source address */
#define GROUP_FAIL_OPEN 4u  /* new flows count as UnhealthyRoutingFlowCount */
#define GROUP_UNRESOLVED 8u /* has targets, but no next hop of theirs is known yet */

struct group {
	__u8 digest[16];
	__u64 fingerprint; /* of the table: tells a new process whether it is current */
	__u32 flags;
	__u32 slots; /* of the table; right but for the instant in which that is replaced */
};

#define TARGET_TERMINATE 1u          /* established flows get a reset on their next packet */
#define TARGET_TERMINATE_ON_LEAVE 2u /* for user space: what to do once it is deregistered */
#define TARGET_NO_TCP 4u             /* outbound rules keep new TCP flows from it */
#define TARGET_NO_UDP 8u

struct target {
	struct addr addr;
	__be16 port;
	__u16 flags;
	__u32 id; /* generation << 16 | index */
	__u32 group;
	__u32 instance; /* whose prefixes make a client a neighbour of this target; 0: none */
	__u64 mac;      /* next hop, low 48 bits */
	__u64 clients_tcp; /* the sets whose new flows it takes */
	__u64 clients_udp;
};

#define VIP_LOCAL 1u /* some listener of it is LISTENER_LOCAL */

/* On such an address the ports from here on are the kernel's, for connections of
 * its own: where ip_local_port_range begins by default. Source NAT keeps below. */
#define FIRST_LOCAL_PORT 32768

struct vip {
	__u32 balancer;
	__u32 flags;
	__u8 digest[16];
	__u64 echo_clients; /* the set that may send echo requests */
};

/* Sets of clients by number, which follows from what is in them. */
#define CLIENTS_EVERYONE 0
#define CLIENTS_NOBODY 1

struct client_key {
	__u32 length; /* of what follows, in bits: the whole set and a prefix */
	__u64 set;
	struct addr addr;
} __attribute__((packed));

struct prefix_key {
	__u32 length;
	struct addr addr;
} __attribute__((packed));

enum flow_state {
	FLOW_FREE,
	FLOW_OPENING,     /* half_open: the client has spoken */
	FLOW_ANSWERED,    /* half_open: the target has answered */
	FLOW_ESTABLISHED, /* flows: the client has proved that it got the answer */
	FLOW_CLOSING,     /* both FINs or a RST seen; lives closing_seconds after its last packet */
	FLOW_NAT,         /* (VIP, nat port) -> client, beside a source-NATed flow */
};

#define FLOW_CLIENT_FIN 1u
#define FLOW_TARGET_FIN 2u
#define FLOW_PROVEN 4u /* FLOW_NAT: its flow is established */

/* One flow, both directions, one cache line. */
struct flow {
	__u16 version; /* odd while being written: readers take no lock */
	__u8 passed;   /* how many records lie behind this slot on the way from their home */
	__u8 home;     /* the slot where this record's way begins */
	__u8 distance; /* how far from there it lies */
	__u8 state;
	__u8 flags;
	__u8 proto;
	__u64 seen;  /* jiffies of the last packet */
	struct addr client;
	__be16 port; /* the client's */
	__be16 nat;  /* source port at the target when the source is the VIP, else 0 */
	__u32 listener;
	__u32 target;
	__u32 tag;   /* keyed hash of the target's address and port */
	__u64 link;  /* client-side MAC in the low 48 bits, idle timeout in seconds above;
	              * FLOW_NAT: keyed hash of the VIP */
	__u64 bytes; /* both directions; half-open TCP: the ack number that proves the client;
		      * FLOW_NAT: its idle timeout in seconds */
};

struct bucket {
	struct flow flow[BUCKET_SLOTS];
};

struct lock {
	struct bpf_spin_lock lock;
};

#define HOMES_BUCKETS 32

/* For buckets of flows that follow each other, a bit for each slot: whether some
 * record may have its home there. */
struct homes {
	__u16 taken[HOMES_BUCKETS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct setting);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_LISTENERS);
	__type(key, struct listener_key);
	__type(value, __u32);
} listener_ids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_LISTENERS);
	__type(key, __u32);
	__type(value, struct listener);
} listeners SEC(".maps");

/* IDs by a plain hash of what listener_ids is keyed by: saves packets of
 * established flows that lookup. Written by the program, never trusted. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HINTS);
	__type(key, __u32);
	__type(value, __u32);
} listener_hints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_BALANCERS * 2);
	__type(key, struct addr);
	__type(value, struct vip);
} vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_GROUPS);
	__type(key, __u32);
	__type(value, struct group);
} groups SEC(".maps");

/* A group's hash table: entry 0 holds the number of slots, the slots follow.
 * Replaced as a whole, so no packet sees half of an update; mappable, because a
 * thousand tables would be a million updates. */
struct table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MAX_GROUPS);
	__type(key, __u32);
	__array(values, struct table);
} tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_TARGETS);
	__type(key, __u32);
	__type(value, struct target);
} targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_PREFIXES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix_key);
	__type(value, __u32);
} prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MAX_CLIENTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct client_key);
	__type(value, __u32);
} clients SEC(".maps");

/* Mappable, so that values start on a page and a record is one cache line, and
 * user space counts flows without a system call each. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct bucket);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct bucket);
} half_open SEC(".maps");

/* Small enough to stay in the cache. Of this program alone: user space sets all bits
 * at first when there are flows already. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct homes);
} homes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_LOCKS);
	__type(key, __u32);
	__type(value, struct lock);
} locks SEC(".maps");

/* Set by tests only; in production the verifier removes the branch. */
const volatile __u32 fixed_clock = 0;

/* Set by user space once no program but this one writes to the flow tables, as one
 * that was replaced does until its last packet is through. */
volatile __u32 alone = 0;

/* A function that the verifier judges once and on its own, instead of again on
 * every path that leads to it. Its pointer arguments may be null to it. */
#define JUDGED_ALONE __attribute__((noinline))

static __always_inline struct setting *settings_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline __u64 clock_now(const struct setting *cfg)
{
	return fixed_clock ? cfg->now : bpf_jiffies64();
}

static __always_inline struct listener *listener_by_id(__u32 id)
{
	__u32 index = id & 0xffff;
	struct listener *l = bpf_map_lookup_elem(&listeners, &index);

	return l && l->id == id ? l : 0;
}

static __always_inline struct target *target_by_id(__u32 id)
{
	__u32 index = id & 0xffff;
	struct target *t = bpf_map_lookup_elem(&targets, &index);

	return t && t->id == id ? t : 0;
}

static __always_inline struct vip *vip_of(const struct addr *a)
{
	return bpf_map_lookup_elem(&vips, a);
}

static __always_inline int addr_equal(const struct addr *a, const struct addr *b)
{
	return a->d[0] == b->d[0] && a->d[1] == b->d[1];
}

#endif

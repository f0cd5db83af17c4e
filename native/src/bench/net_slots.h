/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one end of a measurement over TCP does: it leads, asking for messages and timing them, or follows.
 *
 * It has a slot for each connection and each way to wait, and goes through them in turn, in short blocks: what disturbs
 * the machine meanwhile disturbs all of them alike. The one that leads says when to go to the next.
 */
#ifndef NODEPROOF_BENCH_NET_SLOTS_H
#define NODEPROOF_BENCH_NET_SLOTS_H

#include "bench.h"
#include "nodeproof/sampling.h"
#include "nodeproof/team.h"

enum { NET_PING_BYTES = 8 };

/** Instead of a number: go to the next slot, or there is no more. */
#define NET_NEXT (UINT64_MAX - 1)
#define NET_LAST UINT64_MAX

struct net_slot {
    int fd;
    int cpu;          /**< where to be for it, -1: anywhere */
    bool is_spinning; /**< ask for messages again and again instead of sleeping until one is there */
    uint64_t messages;
    uint64_t wanted;           /**< messages in the next block of a stream */
    struct np_samples samples; /**< of who leads: times of round trips in seconds, or rates in bytes per second */
    double block_s, on_cpu_s;  /**< of who leads: how long its blocks took, and how much of it it had its CPU */
};

struct net_end {
    const struct bench_request *request;
    uint64_t deadline; /**< in ticks of the request's clock */
    struct net_slot *slots;
    size_t count;
    size_t message_bytes;
    double most_s;   /**< to measure, all slots together */
    double block_s;  /**< of one slot at a time */
    double window_s; /**< of a stream: a sample is the rate in so much time */
    uint64_t messages, wrong;
    char *message, *answer;
};

/** What an end does until there is no more. Returns 0 or -errno. */
typedef int net_end_fn(struct net_end *end);

struct net_part {
    struct net_end *end;
    net_end_fn *play;
};

/** Play parts, one in each thread of a team: the state is an array of struct net_part. */
np_team_fn net_play;

/** Be where the slot wants it. Returns 0 or -errno. */
int net_turn_to(const struct net_slot *slot);

/** Take a whole message. Returns 0, -EPIPE if the other end will send no more, -ETIMEDOUT, -ECANCELED or -errno. */
int net_receive(const struct net_end *end, const struct net_slot *slot, void *message, size_t bytes);

/** Send a whole message. Returns the same. */
int net_send(const struct net_end *end, const struct net_slot *slot, const void *message, size_t bytes);

/** Put a number at the beginning of a message, and look at it, in network order. */
void net_put_number(void *message, uint64_t number);
uint64_t net_number(const void *message);

/** How long this thread was on a CPU. */
double net_cpu_seconds(void);

#endif

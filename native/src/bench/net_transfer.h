/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between the two ends of a connection, each in a thread of its own. */
#ifndef NODEPROOF_BENCH_NET_TRANSFER_H
#define NODEPROOF_BENCH_NET_TRANSFER_H

#include "bench.h"
#include "net_pair.h"
#include "nodeproof/sampling.h"
#include "nodeproof/team.h"

enum { NET_PING_BYTES = 8, NET_STREAM_BYTES = 1 << 20 };

struct net_transfer {
    const struct bench_request *request;
    const struct net_pair *pair;
    bool is_spinning; /**< asks for messages again and again instead of sleeping until one is there */
    double most_s;
    struct np_samples samples; /**< times of round trips in seconds, or rates in bytes per second */
    double on_cpu_share;       /**< of the end that measures, 0 to 1 */
    uint64_t messages, wrong;
    atomic_bool is_over; /**< the end that measures has seen enough */
};

/** Round trips of small messages, measured by thread 0 of two. */
np_team_fn net_transfer_ping;

/** One message after the other, from thread 1 to thread 0; the connection is used up by it. */
np_team_fn net_transfer_stream;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The two ends of a TCP connection over the loopback interface, which nobody else can have got hold of. */
#ifndef NODEPROOF_BENCH_NET_PAIR_H
#define NODEPROOF_BENCH_NET_PAIR_H

#include "bench.h"

struct net_pair {
    int ends[2];
    const char *address; /**< `127.0.0.1`, or `::1` where there is no IPv4 */
};

/** Returns 0 or -errno, with one sentence in `why`. */
int net_pair_open(struct net_pair *pair, char why[BENCH_WHY_BYTES]);

void net_pair_close(struct net_pair *pair);

/** Let who waits for a message on a connection see now and then whether to go on. Returns 0 or -errno. */
int net_pair_prepare(int fd);

#endif

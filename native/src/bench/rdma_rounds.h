/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds through all links: how long they have taken, and the last one. The first is to warm up and does not count. */
#ifndef NODEPROOF_BENCH_RDMA_ROUNDS_H
#define NODEPROOF_BENCH_RDMA_ROUNDS_H

#include <stddef.h>

#include "nodeproof/clock.h"

struct rdma_rounds {
    const struct np_clock *clock;
    size_t count; /**< that are over */
    uint64_t first_ended, last_ended;
    double seconds, last_s;
};

static inline struct rdma_rounds rdma_rounds_begin(const struct np_clock *clock)
{
    return (struct rdma_rounds){.clock = clock, .last_ended = np_clock_now(clock)};
}

static inline void rdma_rounds_end_one(struct rdma_rounds *rounds)
{
    const uint64_t now = np_clock_now(rounds->clock);
    rounds->last_s = np_clock_seconds(rounds->clock, rounds->last_ended, now);
    if (rounds->count++ == 0)
        rounds->first_ended = now;
    rounds->seconds = np_clock_seconds(rounds->clock, rounds->first_ended, now);
    rounds->last_ended = now;
}

#endif

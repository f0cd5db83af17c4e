/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for the other end, by asking again and again: whoever does so for long has to look up now and then.
 *
 * Every wait ends: by a signal, by the failure of whoever drives the other end, by its death on another host, or
 * because nothing has come for too long.
 */
#ifndef NODEPROOF_BENCH_RDMA_WAIT_H
#define NODEPROOF_BENCH_RDMA_WAIT_H

#include "rendezvous.h"

struct rdma_wait {
    const struct bench_request *request;
    const struct rendezvous *met; /**< NULL: both ends are in this process */
    const atomic_bool *is_off;    /**< the other thread has failed */
    unsigned int turns;
    bool has_looked;
    bool is_sleepy; /**< it has taken so long that each turn is a look */
    uint64_t since, last_asked;
    double nap_share; /**< of what was waited for, how much a nap takes; 0: as little as can be */
    double spin_s;    /**< naps seen so far are a quarter of this at most */
};

/** Turns between two looks: some ten microseconds, which nobody notices who waits for so long. */
enum { RDMA_WAIT_TURNS = 512 };

static inline void rdma_wait_begin(struct rdma_wait *wait)
{
    wait->turns = 0;
    wait->has_looked = wait->is_sleepy = false;
}

/** True if it is time to call rdma_wait_look. */
static inline bool rdma_wait_is_long(struct rdma_wait *wait)
{
    return ++wait->turns % RDMA_WAIT_TURNS == 0 || wait->is_sleepy;
}

/** Returns 0 to go on, -ECANCELED, -EPIPE if the other host has gone, or -ETIMEDOUT. */
int rdma_wait_look(struct rdma_wait *wait);

#endif

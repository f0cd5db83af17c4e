/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma_wait.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <time.h>

/* A thread that others keep from its CPU is late by tens of milliseconds; a queue pair gives up after some seconds. */
static const double PATIENCE_S = 8, ASK_EVERY_S = 0.01;

/* After so long, somebody may need this very CPU to bring the message: a thread of the kernel, with software RDMA. */
static const double YIELD_S = 30e-6;

/* After so long, the other side has surely lost its CPU; whoever sleeps meanwhile gets his own back at once. */
static const double LEAST_SPIN_S = 0.001, NAPS_SPUN = 4, SHORTEST_NAP_S = 20e-6, LONGEST_NAP_S = 0.002;

/* A nap may be long, on an emulated machine. Were it longer than the other side spins, both would nap in turns. */
static void nap(struct rdma_wait *wait, const struct np_clock *clock, uint64_t now)
{
    const double share_s = wait->nap_share * np_clock_seconds(clock, wait->since, now);
    const double nap_s = fmin(fmax(share_s, SHORTEST_NAP_S), LONGEST_NAP_S);
    nanosleep(&(const struct timespec){.tv_nsec = (long)(nap_s * 1e9)}, NULL);
    const double spin_s = NAPS_SPUN * np_clock_seconds(clock, now, np_clock_now(clock));
    wait->spin_s = spin_s > wait->spin_s ? spin_s : wait->spin_s;
}

int rdma_wait_look(struct rdma_wait *wait)
{
    const struct np_clock *clock = &wait->request->clock;
    const uint64_t now = np_clock_now(clock);
    if (bench_is_cancelled(wait->request) || atomic_load_explicit(wait->is_off, memory_order_relaxed))
        return -ECANCELED;
    if (!wait->has_looked) {
        wait->has_looked = true;
        wait->since = wait->last_asked = now;
    }
    if (np_clock_seconds(clock, wait->since, now) > PATIENCE_S)
        return -ETIMEDOUT;
    wait->is_sleepy = np_clock_seconds(clock, wait->since, now) > fmax(wait->spin_s, LEAST_SPIN_S);
    if (wait->is_sleepy)
        nap(wait, clock, now);
    else if (np_clock_seconds(clock, wait->since, now) > YIELD_S)
        sched_yield();
    if (wait->met == NULL || np_clock_seconds(clock, wait->last_asked, now) < ASK_EVERY_S)
        return 0;
    wait->last_asked = now;
    return rendezvous_is_peer_gone(wait->met) ? -EPIPE : 0;
}

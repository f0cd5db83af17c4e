/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_TEAM_H
#define NODEPROOF_TEAM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodeproof/clock.h"

/** Where the threads of a team meet. If one of them cannot come, the others are sent home. */
struct np_gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t expected;
    size_t arrived;
    bool is_open;
    bool is_off;
    uint64_t opened;
};

/**
 * Wait until all threads of the team are here; may be called once by each.
 *
 * `*opened` is the moment when the last one came, the same for all. Returns 0, or -ECANCELED if one
 * of them will not come.
 */
int np_gate_meet(struct np_gate *gate, const struct np_clock *clock, uint64_t *opened);

/** What thread `index` of a team does, pinned to its CPU. Returns 0 or -errno. */
typedef int np_team_fn(void *state, size_t index, struct np_gate *gate);

/**
 * Run one thread on each of `count` CPUs and wait for all of them.
 *
 * Returns 0 or the first thread's -errno that is not -ECANCELED; -ENODEV if it may not use one of the CPUs.
 */
int np_team_run(const unsigned int *cpus, size_t count, np_team_fn *work, void *state);

#endif

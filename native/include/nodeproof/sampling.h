/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measure in one thread: time short blocks of work until the figure wanted is certain enough.
 *
 * Blocks are so short that many of them fit into a slice of the scheduler: undisturbed ones exist
 * even when somebody else wants the CPU, and the capability is theirs.
 */
#ifndef NODEPROOF_SAMPLING_H
#define NODEPROOF_SAMPLING_H

#include <stdatomic.h>
#include <stddef.h>

#include "nodeproof/clock.h"
#include "nodeproof/figures.h"
#include "nodeproof/window.h"

/** How to measure. Warm-up lets the clock of the CPU rise and finds how many units make a block. */
struct np_sampling {
    const struct np_clock *clock;
    const atomic_bool *is_cancelled;
    enum np_kind kind; /**< samples are units per second, or seconds per unit */
    double warmup_s;
    double block_s;
    double least_s; /**< go on for this long even if the figure is certain */
    double most_s;
};

/** Samples in the order in which they were taken. */
struct np_samples {
    double *values;
    size_t count;
    size_t size;
    double seconds; /**< how long was measured, without warm-up */
};

/** Returns 0 or -ENOMEM. */
int np_samples_open(struct np_samples *samples, size_t size);
void np_samples_close(struct np_samples *samples);

/** Keep a sample, or nothing if there is no room left. */
void np_samples_add(struct np_samples *samples, double value);

/**
 * Work the figures out of samples, which stay as they are.
 *
 * Returns 0, -ENOMEM or -EINVAL (no samples, or one is not positive).
 */
int np_samples_figures(const struct np_samples *samples, enum np_kind kind, struct np_figures *figures);

/**
 * Time blocks in the calling thread until capability is certain to half a percent, `most_s` is over,
 * or there is no room for more.
 *
 * Returns 0, -ENOMEM or -ECANCELED.
 */
int np_sampling_run(const struct np_sampling *sampling, np_block_fn *block, void *state, struct np_samples *samples);

#endif

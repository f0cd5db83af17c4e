/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three figures of a benchmark, and when there are samples enough.
 *
 * Capability is what the hardware does when nobody disturbs it: the 90th percentile of rates, the
 * 10th of times. Sustained, the median, is what a job sees; stability, the 10th percentile over the
 * 90th, says how far apart these are. The extremes are of no use: a block that the cache served raises the best.
 */
#ifndef NODEPROOF_FIGURES_H
#define NODEPROOF_FIGURES_H

#include <stdbool.h>
#include <stddef.h>

enum np_kind {
    NP_RATE, /**< more is better */
    NP_TIME, /**< less is better */
};

struct np_figures {
    double capability;
    double sustained;
    double stability; /**< 0 to 1 */
    bool has_interval;
    double low; /**< the 95 % interval of capability, whatever the distribution */
    double high;
    bool is_converged; /**< the interval is within half a percent of capability on both sides */
    size_t samples;
};

/**
 * Work the figures out of `count` samples, which are sorted by it.
 *
 * Returns 0, or -EINVAL without samples or if one of them is not positive.
 */
int np_figures_find(double *samples, size_t count, enum np_kind kind, struct np_figures *figures);

/**
 * Ranks (from 1) of the order statistics that enclose quantile `q` with 95 % confidence.
 *
 * From the binomial distribution of how many samples lie below the quantile: Conover, Practical
 * Nonparametric Statistics, 3.2. Returns 0, or -ERANGE if there are too few samples for it.
 */
int np_quantile_ranks(size_t count, double q, size_t *low, size_t *high);

#endif

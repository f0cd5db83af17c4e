/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/sampling.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Sorting is not free: look at the figures after so many samples, then after an eighth more each time. */
enum { FIRST_LOOK = 48 };

int np_samples_open(struct np_samples *samples, size_t size)
{
    *samples = (struct np_samples){.size = size};
    samples->values = calloc(size > 0 ? size : 1, sizeof *samples->values);
    return samples->values != NULL ? 0 : -ENOMEM;
}

void np_samples_close(struct np_samples *samples)
{
    free(samples->values);
    *samples = (struct np_samples){0};
}

void np_samples_add(struct np_samples *samples, double value)
{
    if (samples->count < samples->size)
        samples->values[samples->count++] = value;
}

int np_samples_figures(const struct np_samples *samples, enum np_kind kind, struct np_figures *figures)
{
    double *sorted = malloc((samples->count > 0 ? samples->count : 1) * sizeof *sorted);
    if (sorted == NULL)
        return -ENOMEM;
    memcpy(sorted, samples->values, samples->count * sizeof *sorted);
    const int rc = np_figures_find(sorted, samples->count, kind, figures);
    free(sorted);
    return rc;
}

static int is_enough(const struct np_sampling *sampling, const struct np_samples *samples, bool *enough)
{
    struct np_figures figures;
    const int rc = np_samples_figures(samples, sampling->kind, &figures);
    *enough = rc == 0 && figures.is_converged;
    return rc == -ENOMEM ? rc : 0;
}

int np_sampling_run(const struct np_sampling *sampling, np_block_fn *block, void *state, struct np_samples *samples)
{
    const struct np_clock *clock = sampling->clock;
    const struct np_window warmup = {.clock = clock,
                                     .is_cancelled = sampling->is_cancelled,
                                     .warmup_s = sampling->warmup_s,
                                     .block_s = sampling->block_s};
    const uint64_t units = np_window_warm_up(&warmup, np_clock_now(clock), block, state);
    const uint64_t begin = np_clock_now(clock);
    size_t next_look = samples->count + FIRST_LOOK;
    bool enough = false;
    int rc = 0;
    double now_s = 0;
    while (!enough && now_s < sampling->most_s && samples->count < samples->size && rc == 0) {
        const uint64_t from = np_clock_now(clock);
        const double done = (double)block(state, units);
        const uint64_t to = np_clock_now(clock);
        const double took_s = np_clock_seconds(clock, from, to > from ? to : from + 1);
        np_samples_add(samples, sampling->kind == NP_RATE ? done / took_s : took_s / done);
        now_s = np_clock_seconds(clock, begin, to);
        if (atomic_load_explicit(sampling->is_cancelled, memory_order_relaxed))
            rc = -ECANCELED;
        if (samples->count < next_look || now_s < sampling->least_s || rc != 0)
            continue;
        next_look += next_look / 8;
        rc = is_enough(sampling, samples, &enough);
    }
    samples->seconds += now_s;
    return rc;
}

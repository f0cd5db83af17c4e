/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "nodeproof/sampling.h"
#include "test.h"

struct job {
    struct np_clock clock;
    atomic_bool is_cancelled;
    uint64_t blocks;
    uint64_t cancel_after;
};

/* A unit is a microsecond of work. */
static uint64_t busy(void *state, uint64_t units)
{
    struct job *job = state;
    const uint64_t begin = np_clock_now(&job->clock);
    while (np_clock_seconds(&job->clock, begin, np_clock_now(&job->clock)) < 1e-6 * (double)units)
        continue;
    if (++job->blocks == job->cancel_after)
        atomic_store(&job->is_cancelled, true);
    return units;
}

int main(void)
{
    static struct job job;
    struct np_samples samples;
    struct np_figures figures;
    CHECK(np_clock_init(&job.clock, true) == 0);
    struct np_sampling sampling = {
        .clock = &job.clock,
        .is_cancelled = &job.is_cancelled,
        .kind = NP_TIME,
        .warmup_s = 2e-3,
        .block_s = 2e-4,
        .most_s = 2,
    };
    CHECK(np_samples_open(&samples, 100000) == 0);
    CHECK(np_sampling_run(&sampling, busy, &job, &samples) == 0);
    CHECK(samples.count >= 40);
    CHECK(np_samples_figures(&samples, NP_TIME, &figures) == 0);
    CHECK(figures.capability >= 1e-6 && figures.capability < 1.1e-6);          /* no block is faster than it says */
    CHECK(figures.is_converged ? samples.seconds <= 2 : samples.seconds >= 2); /* and then it stops */
    np_samples_close(&samples);

    CHECK(np_samples_open(&samples, 8) == 0); /* no room for more */
    sampling.kind = NP_RATE;
    CHECK(np_sampling_run(&sampling, busy, &job, &samples) == 0 && samples.count == 8);
    CHECK(np_samples_figures(&samples, NP_RATE, &figures) == 0 && figures.capability <= 1e6 && !figures.is_converged);
    samples.count = 0;
    job.cancel_after = job.blocks + 30;
    CHECK(np_sampling_run(&sampling, busy, &job, &samples) == -ECANCELED || samples.count == 8);
    np_samples_close(&samples);
    CHECK(np_samples_open(&samples, 100) == 0);
    atomic_store(&job.is_cancelled, true);
    CHECK(np_sampling_run(&sampling, busy, &job, &samples) == -ECANCELED && samples.count <= 1);
    np_samples_close(&samples);
    return EXIT_SUCCESS;
}

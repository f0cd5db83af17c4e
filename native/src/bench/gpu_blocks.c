/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu_blocks.h"

#include <errno.h>
#include <string.h>

/* A batch keeps the GPU busy for about so long; clocks need some time to rise. */
static const double BATCH_S = 0.01, WARMUP_S = 0.1;

/* What the driver says of power is a mean over tenths of a second. */
static const double LOOK_EVERY_S = 0.1;

/* Events tell half a microsecond. */
static const double LEAST_S = 0.5e-6;

enum { MOST_SAMPLES = 4096, FIRST_LOOK = 48, WARMUP_DIVISOR = 5 };

struct batches {
    struct gpu *gpu;
    const struct gpu_blocks *blocks;
    struct gpu_seen *seen;
    unsigned int size;
    double times_s[GPU_BATCH_MOST];
    char *why;
};

static int give(struct batches *batches)
{
    struct gpu *gpu = batches->gpu;
    const struct gpu_driver *driver = &gpu->gpus->driver;
    int error = driver->event_record(gpu->events[0], gpu->stream);
    for (unsigned int i = 0; i < batches->size && error == NP_CUDA_SUCCESS; i++) {
        error = batches->blocks->give(batches->blocks->state, gpu);
        if (error == NP_CUDA_SUCCESS)
            error = driver->event_record(gpu->events[i + 1], gpu->stream);
    }
    return gpu_check(gpu, error, "cannot be given work", batches->why);
}

/* Run one batch, and find how long each of its blocks took. */
static int run(struct batches *batches)
{
    struct gpu *gpu = batches->gpu;
    int rc = give(batches);
    if (rc == 0) {
        gpu_look(&gpu->sensor, &gpu->gpus->request->clock, LOOK_EVERY_S, batches->seen);
        rc = gpu_wait(gpu, gpu->events[batches->size], batches->why);
    }
    for (unsigned int i = 0; i < batches->size && rc == 0; i++) {
        float ms = 0;
        const int error = gpu->gpus->driver.event_elapsed_time(&ms, gpu->events[i], gpu->events[i + 1]);
        rc = gpu_check(gpu, error, "cannot tell the time", batches->why);
        batches->times_s[i] = 1e-3 * ms > LEAST_S ? 1e-3 * ms : LEAST_S;
    }
    return rc;
}

/* Let clocks rise, and find how many blocks make a batch. */
static int warm_up(struct batches *batches)
{
    const struct np_clock *clock = &batches->gpu->gpus->request->clock;
    const double share_s = batches->blocks->most_s / WARMUP_DIVISOR, most_s = share_s < WARMUP_S ? share_s : WARMUP_S;
    const uint64_t begin = np_clock_now(clock);
    int rc = 0;
    batches->size = 1;
    do {
        const uint64_t from = np_clock_now(clock);
        rc = run(batches);
        const double took_s = np_clock_seconds(clock, from, np_clock_now(clock));
        if (rc == 0 && took_s < BATCH_S / 2 && batches->size < GPU_BATCH_MOST)
            batches->size *= 2;
    } while (rc == 0 && np_clock_seconds(clock, begin, np_clock_now(clock)) < most_s);
    return rc;
}

static bool is_enough(const struct np_samples *samples)
{
    struct np_figures figures;
    return np_samples_figures(samples, NP_RATE, &figures) == 0 && figures.is_converged;
}

int gpu_blocks_measure(struct gpu *gpu, const struct gpu_blocks *blocks, struct np_samples *samples,
                       struct gpu_seen *seen, char why[BENCH_WHY_BYTES])
{
    const struct np_clock *clock = &gpu->gpus->request->clock;
    struct gpu_seen cold = {0};
    struct batches batches = {.gpu = gpu, .blocks = blocks, .seen = &cold, .why = why};
    size_t next_look = FIRST_LOOK;
    bool enough = false;
    int rc = np_samples_open(samples, MOST_SAMPLES);
    rc = rc != 0 ? bench_why(why, rc, "%s", strerror(-rc)) : warm_up(&batches);
    batches.seen = seen;
    const uint64_t begin = np_clock_now(clock);
    while (rc == 0 && !enough && samples->count < samples->size) {
        rc = run(&batches);
        for (unsigned int i = 0; i < batches.size && rc == 0; i++)
            np_samples_add(samples, blocks->work / batches.times_s[i]);
        samples->seconds = np_clock_seconds(clock, begin, np_clock_now(clock));
        if (bench_is_cancelled(gpu->gpus->request))
            rc = -ECANCELED;
        if (samples->seconds >= blocks->most_s)
            break;
        if (samples->count < next_look)
            continue;
        next_look = samples->count + samples->count / 8;
        enough = is_enough(samples);
    }
    return rc;
}

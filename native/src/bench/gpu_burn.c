/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All GPUs at full power for as long as it is asked for, by matrix products of bf16 on all of them at once.
 *
 * Each always has the next piece of work waiting. Rates, clocks, power, temperature and what slowed a GPU down are
 * those of the whole time; at the end the products are looked at.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gpu.h"
#include "gpu_blocks.h"
#include "gpu_product.h"

/* A piece of work keeps a GPU busy for so long; the host naps in between. */
static const double PIECE_S = 0.1, LOOK_EVERY_S = 0.5;

enum { SLOTS = 2, MOST_SAMPLES = 1 << 18, MOST_RUNS = 4096, NAP_NS = 1000000 };

static const uint64_t SEED = 20;

/** One GPU, and the pieces that it has been given: events 2 s and 2 s + 1 are around that in slot s. */
struct burner {
    struct gpu *gpu;
    struct gpu_product product;
    struct np_samples samples;
    struct gpu_seen seen;
    unsigned int runs; /* of the product in a piece */
    unsigned int given[SLOTS];
    size_t slot; /* whose end comes next */
};

static int give(struct burner *burner, size_t slot, char why[BENCH_WHY_BYTES])
{
    struct gpu *gpu = burner->gpu;
    const struct gpu_driver *driver = &gpu->gpus->driver;
    int rc = gpu_use(gpu, why);
    int error = rc == 0 ? driver->event_record(gpu->events[2 * slot], gpu->stream) : NP_CUDA_SUCCESS;
    for (unsigned int i = 0; i < burner->runs && rc == 0 && error == NP_CUDA_SUCCESS; i++)
        error = gpu_product_give(&burner->product, gpu);
    if (rc == 0 && error == NP_CUDA_SUCCESS)
        error = driver->event_record(gpu->events[2 * slot + 1], gpu->stream);
    burner->given[slot] = burner->runs;
    return rc != 0 ? rc : gpu_check(gpu, error, "cannot be given work", why);
}

/* Take the time of the piece that ended, and size the next one by it. */
static int take(struct burner *burner, bool is_warm, char why[BENCH_WHY_BYTES])
{
    struct gpu *gpu = burner->gpu;
    float ms = 0;
    const size_t slot = burner->slot;
    const int error = gpu->gpus->driver.event_elapsed_time(&ms, gpu->events[2 * slot], gpu->events[2 * slot + 1]);
    const int rc = gpu_check(gpu, error, "cannot tell the time", why);
    const double took_s = ms > 1e-3F ? 1e-3 * ms : 1e-6, each_s = took_s / burner->given[slot];
    if (is_warm)
        np_samples_add(&burner->samples, gpu_product_work(&burner->product) / each_s);
    const double runs = PIECE_S / each_s;
    burner->runs = runs < 1 ? 1 : runs > MOST_RUNS ? MOST_RUNS : (unsigned int)runs;
    burner->slot = (slot + 1) % SLOTS;
    return rc;
}

static int open_burner(struct burner *burner, struct gpu *gpu, char why[BENCH_WHY_BYTES])
{
    *burner = (struct burner){.gpu = gpu, .runs = 1};
    if (!gpu_type_is_possible(gpu, GPU_BF16))
        return bench_why(why, -ENOTSUP, "unavailable: GPU %d (%s) has no tensor cores that our kernels use", gpu->index,
                         gpu->name);
    int rc = np_samples_open(&burner->samples, MOST_SAMPLES);
    rc = rc == 0 ? gpu_use(gpu, why) : bench_why(why, rc, "%s", strerror(-rc));
    if (rc == 0)
        rc = gpu_product_open(&burner->product, gpu, why);
    return rc != 0 ? rc : gpu_product_set(&burner->product, GPU_BF16, SEED, why);
}

/* Give each GPU that finished a piece its next one. */
static int tend(struct burner *burner, bool is_warm, char why[BENCH_WHY_BYTES])
{
    struct gpu *gpu = burner->gpu;
    int rc = gpu_use(gpu, why);
    const int error = rc == 0 ? gpu->gpus->driver.event_query(gpu->events[2 * burner->slot + 1]) : NP_CUDA_SUCCESS;
    if (error == NP_CUDA_ERROR_NOT_READY)
        return 0;
    if (rc == 0)
        rc = gpu_check(gpu, error, "its work failed", why);
    const size_t slot = burner->slot;
    if (rc == 0)
        rc = take(burner, is_warm, why);
    return rc != 0 ? rc : give(burner, slot, why);
}

static int burn(struct burner *burners, size_t count, const struct bench_request *request, char why[BENCH_WHY_BYTES])
{
    const struct np_clock *clock = &request->clock;
    const struct timespec nap = {.tv_nsec = NAP_NS};
    const uint64_t begin = np_clock_now(clock), until = begin + np_clock_ticks(clock, request->seconds);
    bool is_any = false;
    int rc = 0;
    for (size_t i = 0; i < count * SLOTS && rc == 0; i++)
        rc = give(&burners[i / SLOTS], i % SLOTS, why);
    while (rc == 0 && ((int64_t)(until - np_clock_now(clock)) > 0 || !is_any)) {
        const bool is_warm = np_clock_seconds(clock, begin, np_clock_now(clock)) > 0.1 * request->seconds;
        is_any = true;
        for (size_t i = 0; i < count && rc == 0; i++) {
            rc = tend(&burners[i], is_warm, why);
            gpu_look(&burners[i].gpu->sensor, clock, LOOK_EVERY_S, &burners[i].seen);
            is_any = is_any && burners[i].samples.count > 0;
        }
        if (rc == 0 && bench_is_cancelled(request))
            rc = -ECANCELED;
        nanosleep(&nap, NULL);
    }
    for (size_t i = 0; i < count; i++)
        burners[i].samples.seconds = np_clock_seconds(clock, begin, np_clock_now(clock)) / (double)count;
    return rc;
}

static int put(struct burner *burner, struct gpu_points *points, char why[BENCH_WHY_BYTES])
{
    const struct gpu_part part = {.gpu = burner->gpu,
                                  .peer = burner->gpu,
                                  .operation = gpu_type_name(GPU_BF16),
                                  .bytes = burner->product.side * burner->product.row_bytes,
                                  .node = -1};
    int rc = gpu_use(burner->gpu, why);
    if (rc == 0)
        rc = gpu_points_add(points, &part, &burner->samples, &burner->seen, why);
    return rc != 0 ? rc : gpu_product_verify(&burner->product, SEED, &points->wrong, why);
}

int gpu_burn(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct gpus gpus;
    struct gpu_points points;
    int rc = gpus_open(&gpus, request, why);
    struct burner *burners = calloc(gpus.count + 1, sizeof *burners);
    if (rc == 0 && burners == NULL)
        rc = bench_why(why, -ENOMEM, "%s", strerror(ENOMEM));
    for (size_t i = 0; i < gpus.count && rc == 0; i++)
        rc = open_burner(&burners[i], &gpus.list[i], why);
    if (rc == 0)
        rc = burn(burners, gpus.count, request, why);
    gpu_points_begin(&points, out, NP_RATE);
    for (size_t i = 0; i < gpus.count && rc == 0; i++)
        rc = put(&burners[i], &points, why);
    for (size_t i = 0; i < gpus.count && burners != NULL; i++)
        np_samples_close(&burners[i].samples);
    free(burners);
    return gpu_points_end(&points, &gpus, rc, why);
}

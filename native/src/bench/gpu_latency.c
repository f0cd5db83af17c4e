/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long host and GPU need to reach each other: a flag in pinned memory that both look at, and copies of eight bytes.
 *
 * The flag passes in memory of the host: the GPU looks at it over the bus again and again, and answers over it. A copy
 * is all that the driver does for one, and that the host waits for.
 */
#include <errno.h>
#include <string.h>

#include "gpu.h"
#include "gpu_blocks.h"
#include "gpu_pinned.h"

enum { MOST_SAMPLES = 1 << 14, WARMUP = 16, COPY_BYTES = 8, LINE_WORDS = 64 };

/* One kernel answers so many times; it gives up after so many looks, each of about a microsecond. */
enum { ROUNDS = 4096, PATIENCE = 1 << 21 };

/* The GPU's answer takes microseconds; a kernel that has not begun by then never will. */
static const double PATIENCE_S = 2;

static const char *const NAMES[] = {"flag", "copy_h2d", "copy_d2h"};

enum { FLAG, COPY_H2D, COPY_D2H, OPERATIONS };

struct latency {
    struct gpu *gpu;
    struct gpu_pinned pinned;
    np_cu_deviceptr memory;
    np_cu_function kernel;
    struct np_samples samples;
    uint64_t until;
};

static bool is_over(const struct latency *latency)
{
    const struct np_clock *clock = &latency->gpu->gpus->request->clock;
    return latency->samples.count == latency->samples.size ||
           (latency->samples.count > 0 && (int64_t)(np_clock_now(clock) - latency->until) >= 0);
}

/* Wait for the GPU to write `round`. */
static int await(struct latency *latency, _Atomic uint32_t *pong, uint32_t round, char why[BENCH_WHY_BYTES])
{
    struct gpu *gpu = latency->gpu;
    const struct np_clock *clock = &gpu->gpus->request->clock;
    const uint64_t patience = np_clock_ticks(clock, PATIENCE_S), begin = np_clock_now(clock);
    while (atomic_load_explicit(pong, memory_order_acquire) != round) {
        if (bench_is_cancelled(gpu->gpus->request))
            return -ECANCELED;
        if (np_clock_now(clock) - begin > patience)
            return bench_why(why, -ETIMEDOUT, "GPU %d (%s) does not see, or does not answer, a flag in pinned memory",
                             gpu->index, gpu->address);
    }
    return 0;
}

/* Pass the flag there and back while the kernel answers. */
static int measure_flag(struct latency *latency, char why[BENCH_WHY_BYTES])
{
    struct gpu *gpu = latency->gpu;
    const struct np_clock *clock = &gpu->gpus->request->clock;
    _Atomic uint32_t *ping = latency->pinned.arena.base, *pong = ping + LINE_WORDS;
    np_cu_deviceptr pong_there = latency->pinned.device + LINE_WORDS * sizeof *pong;
    uint32_t rounds = ROUNDS, patience = PATIENCE, round = 0;
    void *parameters[] = {&latency->pinned.device, &pong_there, &rounds, &patience};
    atomic_store(ping, 0);
    atomic_store(pong, 0);
    int rc = gpu_check(gpu, gpu_launch(gpu, latency->kernel, 1, 1, 0, parameters), "cannot be given work", why);
    while (rc == 0 && round < ROUNDS && !is_over(latency)) {
        const uint64_t from = np_clock_now(clock);
        atomic_store_explicit(ping, ++round, memory_order_release);
        rc = await(latency, pong, round, why);
        const double took_s = np_clock_seconds(clock, from, np_clock_now(clock));
        if (rc == 0 && round > WARMUP)
            np_samples_add(&latency->samples, took_s / 2);
    }
    atomic_store(ping, UINT32_MAX); /* the kernel goes home */
    return rc != 0 ? rc : gpu_finish(gpu, why);
}

static int measure_copy(struct latency *latency, int operation, char why[BENCH_WHY_BYTES])
{
    struct gpu *gpu = latency->gpu;
    const struct gpu_driver *driver = &gpu->gpus->driver;
    const struct np_clock *clock = &gpu->gpus->request->clock;
    void *own = latency->pinned.arena.base;
    int rc = 0;
    for (int i = 0; rc == 0 && !is_over(latency); i++) {
        const uint64_t from = np_clock_now(clock);
        const int error = operation == COPY_H2D ? driver->memcpy_htod(latency->memory, own, COPY_BYTES)
                                                : driver->memcpy_dtoh(own, latency->memory, COPY_BYTES);
        const uint64_t to = np_clock_now(clock);
        rc = gpu_check(gpu, error, "cannot copy", why);
        if (rc == 0 && i >= WARMUP)
            np_samples_add(&latency->samples, np_clock_seconds(clock, from, to > from ? to : from + 1));
        if (bench_is_cancelled(gpu->gpus->request))
            rc = -ECANCELED;
    }
    return rc;
}

static int measure_one(struct latency *latency, struct gpu_points *points, int operation, double most_s,
                       char why[BENCH_WHY_BYTES])
{
    struct gpu *gpu = latency->gpu;
    const struct np_clock *clock = &gpu->gpus->request->clock;
    const struct gpu_part part = {.gpu = gpu,
                                  .peer = gpu,
                                  .operation = NAMES[operation],
                                  .bytes = operation == FLAG ? sizeof(uint32_t) : COPY_BYTES,
                                  .is_on_host = true,
                                  .node = latency->pinned.node};
    struct gpu_seen seen = {0};
    int rc = np_samples_open(&latency->samples, MOST_SAMPLES);
    rc = rc == 0 ? 0 : bench_why(why, rc, "%s", strerror(-rc));
    const uint64_t begin = np_clock_now(clock);
    latency->until = begin + np_clock_ticks(clock, most_s);
    if (rc == 0)
        rc = operation == FLAG ? measure_flag(latency, why) : measure_copy(latency, operation, why);
    latency->samples.seconds = np_clock_seconds(clock, begin, np_clock_now(clock));
    if (rc == 0) {
        gpu_look(&gpu->sensor, clock, 0, &seen); /* beside the measurement: a look takes longer than a round trip */
        rc = gpu_points_add(points, &part, &latency->samples, &seen, why);
    }
    np_samples_close(&latency->samples);
    return rc;
}

static int measure(struct gpu_points *points, struct gpu *gpu, double most_s, char why[BENCH_WHY_BYTES])
{
    struct latency latency = {.gpu = gpu};
    int rc = gpu_use(gpu, why);
    if (rc == 0)
        rc = gpu_kernel(gpu, GPU_PLAIN, "flag_answer", &latency.kernel, why);
    if (rc == 0)
        rc = gpu_alloc(gpu, COPY_BYTES, &latency.memory, why);
    if (rc == 0)
        rc = gpu_pinned_open(&latency.pinned, gpu, 2 * LINE_WORDS * sizeof(uint32_t), gpu->node, why);
    for (int i = 0; i < OPERATIONS && rc == 0; i++)
        rc = measure_one(&latency, points, i, most_s / OPERATIONS, why);
    gpu_pinned_close(&latency.pinned, rc);
    return rc;
}

int gpu_pcie_latency(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    return gpu_points_of_each(request, out, NP_TIME, measure, why);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bandwidth from each GPU to each other: over NVLink or PCIe where they reach each other's memory (`peer`), else by way
 * of the host (`staged`). Every ordered pair on its own; what arrived is looked at.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gpu.h"
#include "gpu_blocks.h"
#include "gpu_words.h"

enum { USUAL_BYTES = 128 << 20, LEAST_BYTES = 4096, SHARE_DIVISOR = 8 };

struct side {
    struct gpu_words words;
    np_cu_deviceptr buffer;
};

struct pairs {
    struct gpus gpus;
    struct side *sides;
    uint64_t bytes;
};

struct pair {
    const struct side *from, *to;
    uint64_t bytes;
};

static int give(void *state, struct gpu *gpu)
{
    const struct pair *pair = state;
    return gpu->gpus->driver.memcpy_peer_async(pair->to->buffer, pair->to->words.gpu->context, pair->from->buffer,
                                               gpu->context, pair->bytes, gpu->stream);
}

/* The size that fits in all of them. */
static int choose_bytes(struct pairs *pairs, char why[BENCH_WHY_BYTES])
{
    int rc = 0;
    pairs->bytes = pairs->gpus.request->bytes != 0 ? pairs->gpus.request->bytes : USUAL_BYTES;
    for (size_t i = 0; i < pairs->gpus.count && rc == 0; i++) {
        uint64_t free_bytes = 0;
        rc = gpu_use(&pairs->gpus.list[i], why);
        if (rc == 0)
            rc = gpu_free_bytes(&pairs->gpus.list[i], &free_bytes, why);
        if (pairs->bytes > free_bytes / SHARE_DIVISOR)
            pairs->bytes = free_bytes / SHARE_DIVISOR;
    }
    pairs->bytes = pairs->bytes / LEAST_BYTES * LEAST_BYTES;
    return rc != 0 || pairs->bytes > 0 ? rc : bench_why(why, -ENOTSUP, "too little free memory on a GPU");
}

static int open_side(struct side *side, struct gpu *gpu, uint64_t bytes, char why[BENCH_WHY_BYTES])
{
    int rc = gpu_use(gpu, why);
    if (rc == 0)
        rc = gpu_words_open(&side->words, gpu, why);
    return rc != 0 ? rc : gpu_alloc(gpu, bytes, &side->buffer, why);
}

/* Let a GPU reach the other's memory. Returns 1 if it does, 0 if it cannot, or -errno. */
static int enable(struct gpu *gpu, const struct gpu *peer, char why[BENCH_WHY_BYTES])
{
    const struct gpu_driver *driver = &gpu->gpus->driver;
    int can = 0;
    int rc = gpu_check(gpu, driver->device_can_access_peer(&can, gpu->device, peer->device),
                       "cannot tell whether it reaches another", why);
    if (rc != 0 || !can)
        return rc;
    const int error = driver->ctx_enable_peer_access(peer->context, 0);
    if (error == NP_CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED)
        return 1;
    rc = gpu_check(gpu, error, "cannot reach another GPU that it could reach", why);
    return rc != 0 ? rc : 1;
}

/* Random words in one, zeros in the other. */
static int prepare(struct pair *pair, uint64_t seed, char why[BENCH_WHY_BYTES])
{
    struct gpu_words from = pair->from->words, to = pair->to->words;
    from.address = pair->from->buffer;
    to.address = pair->to->buffer;
    from.count = to.count = pair->bytes / sizeof(uint64_t);
    int rc = gpu_use(to.gpu, why);
    if (rc == 0)
        rc = gpu_words_fill(&to, GPU_VALUE, 0, 0, why);
    if (rc == 0)
        rc = gpu_finish(to.gpu, why);
    if (rc == 0)
        rc = gpu_use(from.gpu, why);
    return rc != 0 ? rc : gpu_words_fill(&from, GPU_RANDOM, seed, 0, why);
}

static int verify(const struct pair *pair, uint64_t seed, uint64_t *wrong, char why[BENCH_WHY_BYTES])
{
    struct gpu_words words = pair->to->words;
    struct gpu_findings findings = {0};
    words.address = pair->to->buffer;
    words.count = pair->bytes / sizeof(uint64_t);
    int rc = gpu_use(words.gpu, why);
    if (rc == 0)
        rc = gpu_words_check(&words, GPU_RANDOM, seed, 0, false, &findings, why);
    *wrong += findings.wrong;
    return rc;
}

static int measure_pair(struct pairs *pairs, size_t from, size_t to, double most_s, struct gpu_points *points,
                        char why[BENCH_WHY_BYTES])
{
    struct gpu *gpu = &pairs->gpus.list[from];
    struct pair pair = {&pairs->sides[from], &pairs->sides[to], pairs->bytes};
    const uint64_t seed = from * GPUS_MOST + to;
    int rc = prepare(&pair, seed, why);
    const int reaches = rc == 0 ? enable(gpu, &pairs->gpus.list[to], why) : rc;
    if (reaches < 0)
        return reaches;
    const struct gpu_part part = {.gpu = gpu,
                                  .peer = &pairs->gpus.list[to],
                                  .operation = "copy",
                                  .bytes = pairs->bytes,
                                  .access = reaches ? "peer" : "staged",
                                  .node = -1};
    const struct gpu_blocks blocks = {.give = give, .state = &pair, .work = (double)pairs->bytes, .most_s = most_s};
    rc = gpu_points_measure(points, &part, &blocks, why);
    return rc != 0 ? rc : verify(&pair, seed, &points->wrong, why);
}

static int measure_all(struct pairs *pairs, struct gpu_points *points, char why[BENCH_WHY_BYTES])
{
    const size_t count = pairs->gpus.count;
    const double most_s = pairs->gpus.request->seconds / (double)(count * (count - 1));
    int rc = choose_bytes(pairs, why);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = open_side(&pairs->sides[i], &pairs->gpus.list[i], pairs->bytes, why);
    for (size_t from = 0; from < count && rc == 0; from++)
        for (size_t to = 0; to < count && rc == 0; to++)
            if (from != to)
                rc = measure_pair(pairs, from, to, most_s, points, why);
    return rc;
}

int gpu_p2p_bandwidth(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct pairs pairs = {.sides = NULL};
    struct gpu_points points;
    int rc = gpus_open(&pairs.gpus, request, why);
    if (rc == 0 && pairs.gpus.count < 2)
        rc = bench_why(why, -ENOTSUP, "unavailable: it takes two GPUs, and there is one");
    gpu_points_begin(&points, out, NP_RATE);
    if (rc == 0) {
        pairs.sides = calloc(pairs.gpus.count, sizeof *pairs.sides);
        rc = pairs.sides != NULL ? measure_all(&pairs, &points, why) : bench_why(why, -ENOMEM, "%s", strerror(ENOMEM));
    }
    free(pairs.sides);
    return gpu_points_end(&points, &pairs.gpus, rc, why);
}

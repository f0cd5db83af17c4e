/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Silent data corruption: every multiprocessor of every GPU computes the same, and the CPU says what it has to be.
 *
 * A chain of fused multiply-adds in both precisions that one wrong bit changes altogether, and a matrix product of
 * whole numbers by tensor cores. Each block of threads notes which multiprocessor it ran on: the one that is wrong has
 * a number.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu.h"
#include "gpu_golden.h"
#include "gpu_product.h"

enum { CHAIN_ROUNDS = 1024, CHAIN_SEED = 7, THREADS = 256, DEPTH = 512, STAGE_BYTES = 48 << 10 };

/* Blocks for each multiprocessor: as many as run on it at once, so that none is left out. */
enum { CHAINS_EACH = 4, PRODUCTS_EACH = 2 };

/* Multiprocessors are numbered with gaps where some are fused off. */
enum { NUMBERS_MOST = 4096, POINTS_MOST = 64, RUNS_LEAST = 2, RUNS_AFTER = 4 };

static const uint64_t PRODUCT_SEED = 20;

enum kernel { CHAIN, PRODUCT, KERNELS };

static const char *const NAMES[KERNELS] = {"fma_chain", "bf16_product"};

struct wrong_place {
    uint64_t multiprocessor, expected, found, count;
    enum kernel kernel;
};

struct check {
    const struct bench_request *request;
    struct np_json *out;
    uint64_t golden[KERNELS];
    struct gpu *gpu;
    np_cu_function kernels[KERNELS];
    np_cu_deviceptr results, a, b;
    int stages;
    uint64_t *found; /* of each block, a sum and a multiprocessor */
    unsigned int blocks[KERNELS];
    bool seen[NUMBERS_MOST];
    struct wrong_place places[POINTS_MOST];
    size_t place_count;
    uint64_t wrong, compared, runs, multiprocessors, multiprocessors_seen;
};

static unsigned int most_blocks(const struct check *check)
{
    return check->blocks[CHAIN] > check->blocks[PRODUCT] ? check->blocks[CHAIN] : check->blocks[PRODUCT];
}

static int fill(struct check *check, np_cu_function kernel, np_cu_deviceptr matrix, uint64_t rows, uint64_t seed,
                char why[BENCH_WHY_BYTES])
{
    uint64_t count = rows * DEPTH;
    uint32_t type = GPU_BF16;
    void *parameters[] = {&matrix, &count, &type, &seed};
    return gpu_check(check->gpu, gpu_launch(check->gpu, kernel, check->gpu->multiprocessors, THREADS, 0, parameters),
                     "cannot fill its memory", why);
}

static int open_product(struct check *check, char why[BENCH_WHY_BYTES])
{
    struct gpu *gpu = check->gpu;
    np_cu_function filler = NULL;
    int rc = gpu_kernel(gpu, GPU_TENSOR, "check_bf16", &check->kernels[PRODUCT], why);
    if (rc == 0)
        rc = gpu_kernel_stages(gpu, check->kernels[PRODUCT], STAGE_BYTES, &check->stages, why);
    if (rc == 0)
        rc = gpu_kernel(gpu, GPU_PLAIN, "elements_fill", &filler, why);
    if (rc == 0)
        rc = gpu_alloc(gpu, sizeof(uint16_t) * GPU_TILE_ROWS * DEPTH, &check->a, why);
    if (rc == 0)
        rc = gpu_alloc(gpu, sizeof(uint16_t) * GPU_TILE_COLUMNS * DEPTH, &check->b, why);
    if (rc == 0)
        rc = fill(check, filler, check->a, GPU_TILE_ROWS, PRODUCT_SEED, why);
    if (rc == 0)
        rc = fill(check, filler, check->b, GPU_TILE_COLUMNS, PRODUCT_SEED + GPU_SEED_OF_B, why);
    return rc;
}

static int open_check(struct check *check, char why[BENCH_WHY_BYTES])
{
    struct gpu *gpu = check->gpu;
    const bool has_product = gpu_type_is_possible(gpu, GPU_BF16);
    check->blocks[CHAIN] = CHAINS_EACH * gpu->multiprocessors;
    check->blocks[PRODUCT] = has_product ? PRODUCTS_EACH * gpu->multiprocessors : 0;
    check->found = calloc(most_blocks(check), 2 * sizeof *check->found);
    int rc = check->found != NULL ? 0 : bench_why(why, -ENOMEM, "%s", strerror(ENOMEM));
    if (rc == 0)
        rc = gpu_kernel(gpu, GPU_PLAIN, "check_chain", &check->kernels[CHAIN], why);
    if (rc == 0)
        rc = gpu_alloc(gpu, 2 * sizeof *check->found * most_blocks(check), &check->results, why);
    return rc != 0 || !has_product ? rc : open_product(check, why);
}

static int launch(struct check *check, enum kernel kernel)
{
    uint32_t rounds = CHAIN_ROUNDS, seed = CHAIN_SEED;
    uint64_t row_bytes = DEPTH * sizeof(uint16_t);
    void *chain[] = {&check->results, &rounds, &seed};
    void *product[] = {&check->results, &check->a, &check->b, &row_bytes, &check->stages};
    return kernel == CHAIN ? gpu_launch(check->gpu, check->kernels[CHAIN], check->blocks[CHAIN], THREADS, 0, chain)
                           : gpu_launch(check->gpu, check->kernels[PRODUCT], check->blocks[PRODUCT], GPU_TILE_THREADS,
                                        (unsigned int)check->stages * STAGE_BYTES, product);
}

static void note_wrong(struct check *check, enum kernel kernel, uint64_t multiprocessor, uint64_t found)
{
    check->wrong++;
    for (size_t i = 0; i < check->place_count; i++) {
        struct wrong_place *known = &check->places[i];
        if (known->kernel != kernel || known->multiprocessor != multiprocessor)
            continue;
        known->count++;
        return;
    }
    if (check->place_count < POINTS_MOST)
        check->places[check->place_count++] =
            (struct wrong_place){multiprocessor, check->golden[kernel], found, 1, kernel};
}

/* Run one kernel on all multiprocessors, and compare what each block gave. */
static int run(struct check *check, enum kernel kernel, char why[BENCH_WHY_BYTES])
{
    const size_t bytes = 2 * sizeof *check->found * check->blocks[kernel];
    if (bytes == 0)
        return 0;
    int rc = gpu_clear(check->gpu, check->results, bytes, why);
    if (rc == 0)
        rc = gpu_check(check->gpu, launch(check, kernel), "cannot be given work", why);
    if (rc == 0)
        rc = gpu_fetch(check->gpu, check->found, check->results, bytes, why);
    for (unsigned int i = 0; i < check->blocks[kernel] && rc == 0; i++) {
        const uint64_t multiprocessor = check->found[2 * i + 1];
        check->compared++;
        if (multiprocessor < NUMBERS_MOST && !check->seen[multiprocessor]) {
            check->seen[multiprocessor] = true;
            check->multiprocessors_seen++;
        }
        if (check->found[2 * i] != check->golden[kernel])
            note_wrong(check, kernel, multiprocessor, check->found[2 * i]);
    }
    return rc != 0 ? rc : bench_is_cancelled(check->request) ? -ECANCELED : 0;
}

static void put_points(const struct check *check)
{
    for (size_t i = 0; i < check->place_count; i++) {
        const struct wrong_place *place = &check->places[i];
        char expected[24], found[24];
        snprintf(expected, sizeof expected, "0x%016llx", (unsigned long long)place->expected);
        snprintf(found, sizeof found, "0x%016llx", (unsigned long long)place->found);
        np_json_open_object(check->out, NULL);
        np_json_integer(check->out, "value", place->count);
        np_json_string(check->out, "gpu", check->gpu->address);
        np_json_integer(check->out, "index", (uint64_t)check->gpu->index);
        np_json_integer(check->out, "multiprocessor", place->multiprocessor);
        np_json_string(check->out, "kernel", NAMES[place->kernel]);
        np_json_string(check->out, "expected", expected);
        np_json_string(check->out, "found", found);
        np_json_bool(check->out, "is_reproduced", place->count > 1);
        np_json_close_object(check->out);
    }
}

/* Run all kernels until the time is up; after something wrong, some more times. */
static int check_gpu(struct check *check, struct gpu *gpu, double most_s, char why[BENCH_WHY_BYTES])
{
    const struct np_clock *clock = &check->request->clock;
    check->gpu = gpu;
    check->place_count = 0;
    memset(check->seen, 0, sizeof check->seen);
    check->multiprocessors += gpu->multiprocessors;
    int rc = gpu_use(gpu, why);
    if (rc == 0)
        rc = open_check(check, why);
    const uint64_t until = np_clock_now(clock) + np_clock_ticks(clock, most_s);
    uint64_t least = RUNS_LEAST;
    for (uint64_t runs = 0; rc == 0 && (runs < least || (int64_t)(until - np_clock_now(clock)) > 0); runs++) {
        for (int kernel = 0; kernel < KERNELS && rc == 0; kernel++)
            rc = run(check, (enum kernel)kernel, why);
        if (check->place_count > 0 && least == RUNS_LEAST)
            least = runs + RUNS_AFTER;
        check->runs++;
    }
    if (rc == 0)
        put_points(check);
    free(check->found);
    check->found = NULL;
    return rc;
}

static void put(const struct check *check, double seconds)
{
    np_json_integer(check->out, "value", check->wrong);
    np_json_integer(check->out, "samples", check->compared);
    np_json_number(check->out, "seconds", seconds);
    np_json_integer(check->out, "runs", check->runs);
    np_json_integer(check->out, "multiprocessors", check->multiprocessors);
    np_json_integer(check->out, "multiprocessors_seen", check->multiprocessors_seen);
}

int gpu_compute_check(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct gpus gpus;
    struct check *check = calloc(1, sizeof *check);
    if (check == NULL)
        return bench_why(why, -ENOMEM, "%s", strerror(ENOMEM));
    check->request = request;
    check->out = out;
    int rc = gpus_open(&gpus, request, why);
    if (rc == 0) {
        check->golden[CHAIN] = gpu_golden_chain(CHAIN_ROUNDS, CHAIN_SEED);
        rc = gpu_golden_product(DEPTH, PRODUCT_SEED, &check->golden[PRODUCT]);
        rc = rc == 0 ? 0 : bench_why(why, rc, "%s", strerror(-rc));
    }
    const uint64_t begin = np_clock_now(&request->clock);
    np_json_open_array(out, "points");
    for (size_t i = 0; i < gpus.count && rc == 0; i++)
        rc = check_gpu(check, &gpus.list[i], request->seconds / (double)gpus.count, why);
    np_json_close_array(out);
    if (rc == 0) {
        put(check, np_clock_seconds(&request->clock, begin, np_clock_now(&request->clock)));
        gpus_put(&gpus, out);
    }
    gpus_close(&gpus, rc);
    free(check);
    return rc;
}

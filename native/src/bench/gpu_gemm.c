/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix products of each type that a GPU has tensor cores for, by our own kernels and by cuBLASLt where it is there.
 *
 * Ours use mma.sync, which every GPU since Ampere has; Hopper and Blackwell reach their peak by other instructions,
 * which only their own code has. Our figure there is that of this kernel: the same on every healthy GPU of a kind,
 * whatever is installed. That of cuBLASLt is the peak that programs see, and may change with the library. Both multiply
 * the same matrices, and both products are looked at.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu.h"
#include "gpu_blocks.h"
#include "gpu_cublaslt.h"
#include "gpu_product.h"

static const uint64_t SEED = 20;

enum { REASON_BYTES = 96 };

/* A type that the library did not multiply on one GPU. */
struct refusal {
    char address[NP_CU_PCI_BYTES];
    enum gpu_type type;
    char reason[REASON_BYTES];
};

struct gemm {
    struct gpus gpus;
    struct gpu_points points;
    struct gpu_cublaslt library;
    uint64_t wrong; /**< sums of the library's */
    struct refusal *refusals;
    size_t refusal_count;
};

/* What both ways have in common: the product, and how long each may take. */
struct way {
    struct gpu_product *product;
    struct gpu_cublaslt_workspace workspace;
    double most_s;
};

static int measure(struct gemm *gemm, const struct way *way, const char *operation, gpu_block_fn *give, void *state,
                   char why[BENCH_WHY_BYTES])
{
    struct gpu_product *product = way->product;
    const struct gpu_blocks blocks = {
        .give = give, .state = state, .work = gpu_product_work(product), .most_s = way->most_s};
    const struct gpu_part part = {.gpu = product->gpu,
                                  .peer = product->gpu,
                                  .operation = operation,
                                  .bytes = product->side * product->row_bytes,
                                  .node = -1};
    return gpu_points_measure(&gemm->points, &part, &blocks, why);
}

static int measure_ours(struct gemm *gemm, const struct way *way, char why[BENCH_WHY_BYTES])
{
    struct gpu_product *product = way->product;
    const int rc = measure(gemm, way, gpu_type_name(product->type), gpu_product_give, product, why);
    return rc != 0 ? rc : gpu_product_verify(product, SEED, &gemm->points.wrong, why);
}

/* The library refused: no fault of the GPU, if that still works. */
static int leave_out(struct gemm *gemm, const struct gpu_product *product, char why[BENCH_WHY_BYTES])
{
    struct refusal *refusal = &gemm->refusals[gemm->refusal_count++];
    refusal->type = product->type;
    snprintf(refusal->address, sizeof refusal->address, "%s", product->gpu->address);
    snprintf(refusal->reason, sizeof refusal->reason, "%.*s", REASON_BYTES - 1, why);
    return gpu_finish(product->gpu, why);
}

static int measure_theirs(struct gemm *gemm, const struct way *way, char why[BENCH_WHY_BYTES])
{
    struct gpu_product *product = way->product;
    struct gpu_cublaslt_product theirs;
    int rc = gpu_product_clear(product, why); /* ours must not pass for theirs */
    if (rc == 0)
        rc = gpu_cublaslt_open(&theirs, &gemm->library, product, way->workspace, why);
    if (rc == 0) {
        rc = measure(gemm, way, gpu_cublaslt_operation(product->type), gpu_cublaslt_give, &theirs, why);
        rc = gpu_cublaslt_given(&theirs, rc, why);
    }
    if (rc == 0)
        rc = gpu_product_verify(product, SEED, &gemm->wrong, why);
    if (rc == -ENOTSUP)
        rc = leave_out(gemm, product, why);
    if (rc == 0)
        gpu_cublaslt_close(&theirs);
    return rc;
}

static int measure_gpu(struct gemm *gemm, struct gpu *gpu, double most_s, char why[BENCH_WHY_BYTES])
{
    struct gpu_product product = {.gpu = gpu};
    struct way way = {.product = &product};
    const bool has_library = gemm->library.name != NULL;
    int rc = gpu_use(gpu, why);
    if (rc == 0 && !gpu_type_is_possible(gpu, GPU_BF16))
        return bench_why(why, -ENOTSUP, "unavailable: GPU %d (%s) has no tensor cores that our kernels use", gpu->index,
                         gpu->name);
    if (rc == 0)
        rc = gpu_product_open(&product, gpu, why);
    if (rc == 0 && has_library)
        rc = gpu_cublaslt_reserve(gpu, &way.workspace, why);
    const bool has_fp8 = gpu_type_is_possible(gpu, GPU_E4M3) && gpu->gpus->driver_version >= GPU_FP8_DRIVER;
    way.most_s = most_s / (has_fp8 ? GPU_TYPES : GPU_TYPES - 1) / (has_library ? 2 : 1);
    for (int type = 0; type < GPU_TYPES && rc == 0; type++) {
        if (type == GPU_E4M3 && !has_fp8)
            continue;
        rc = gpu_product_set(&product, (enum gpu_type)type, SEED, why);
        if (rc == 0)
            rc = measure_ours(gemm, &way, why);
        if (rc == 0 && has_library)
            rc = measure_theirs(gemm, &way, why);
    }
    return rc;
}

static void put_library(const struct gemm *gemm, struct np_json *out)
{
    const struct gpu_cublaslt *library = &gemm->library;
    np_json_open_object(out, "cublaslt");
    if (library->name != NULL) {
        np_json_string(out, "library", library->name);
        np_json_integer(out, "version", library->get_version());
        np_json_null(out, "reason");
    } else {
        np_json_null(out, "library");
        np_json_null(out, "version");
        np_json_string(out, "reason", library->why);
    }
    np_json_integer(out, "wrong_elements", gemm->wrong);
    np_json_open_array(out, "left_out");
    for (size_t i = 0; i < gemm->refusal_count; i++) {
        np_json_open_object(out, NULL);
        np_json_string(out, "device", gemm->refusals[i].address);
        np_json_string(out, "operation", gpu_cublaslt_operation(gemm->refusals[i].type));
        np_json_string(out, "reason", gemm->refusals[i].reason);
        np_json_close_object(out);
    }
    np_json_close_array(out);
    np_json_close_object(out);
}

int gpu_gemm(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    struct gemm gemm = {.refusals = NULL};
    int rc = gpus_open(&gemm.gpus, request, why);
    gpu_points_begin(&gemm.points, out, NP_RATE);
    if (rc == 0) {
        gemm.refusals = calloc(gemm.gpus.count * GPU_TYPES, sizeof *gemm.refusals);
        rc = gemm.refusals != NULL ? 0 : bench_why(why, -ENOMEM, "%s", strerror(ENOMEM));
    }
    if (rc == 0)
        gpu_cublaslt_load(&gemm.library, gemm.gpus.driver_version);
    for (size_t i = 0; i < gemm.gpus.count && rc == 0; i++)
        rc = measure_gpu(&gemm, &gemm.gpus.list[i], request->seconds / (double)gemm.gpus.count, why);
    gemm.points.wrong += gemm.wrong;
    rc = gpu_points_end(&gemm.points, &gemm.gpus, rc, why);
    if (rc == 0)
        put_library(&gemm, out);
    free(gemm.refusals);
    return rc;
}

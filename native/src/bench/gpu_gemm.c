/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix products of each type that a GPU has tensor cores for, by our own kernels.
 *
 * They use mma.sync, which every GPU since Ampere has; Hopper and Blackwell reach their peak by other instructions,
 * which only their own code has. The figure there is that of this kernel: the same on every healthy GPU of a kind.
 */
#include <errno.h>

#include "gpu.h"
#include "gpu_blocks.h"
#include "gpu_product.h"

static const uint64_t SEED = 20;

static int measure(struct gpu_points *points, struct gpu *gpu, double most_s, char why[BENCH_WHY_BYTES])
{
    struct gpu_product product = {.gpu = gpu};
    int rc = gpu_use(gpu, why);
    if (rc == 0 && !gpu_type_is_possible(gpu, GPU_BF16))
        return bench_why(why, -ENOTSUP, "unavailable: GPU %d (%s) has no tensor cores that our kernels use", gpu->index,
                         gpu->name);
    if (rc == 0)
        rc = gpu_product_open(&product, gpu, why);
    const bool has_fp8 = gpu_type_is_possible(gpu, GPU_E4M3) && gpu->gpus->driver_version >= GPU_FP8_DRIVER;
    for (int type = 0; type < GPU_TYPES && rc == 0; type++) {
        if (type == GPU_E4M3 && !has_fp8)
            continue;
        rc = gpu_product_set(&product, (enum gpu_type)type, SEED, why);
        const struct gpu_blocks blocks = {.give = gpu_product_give,
                                          .state = &product,
                                          .work = gpu_product_work(&product),
                                          .most_s = most_s / (has_fp8 ? GPU_TYPES : GPU_TYPES - 1)};
        const struct gpu_part part = {.gpu = gpu,
                                      .peer = gpu,
                                      .operation = gpu_type_name((enum gpu_type)type),
                                      .bytes = product.side * product.row_bytes,
                                      .node = -1};
        if (rc == 0)
            rc = gpu_points_measure(points, &part, &blocks, why);
        if (rc == 0)
            rc = gpu_product_verify(&product, SEED, &points->wrong, why);
    }
    return rc;
}

int gpu_gemm(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    return gpu_points_of_each(request, out, NP_RATE, measure, why);
}

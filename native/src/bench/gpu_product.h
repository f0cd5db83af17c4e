/* SPDX-License-Identifier: Apache-2.0 */
/* A matrix product on a GPU, by our own kernels for tensor cores. */
#ifndef NODEPROOF_BENCH_GPU_PRODUCT_H
#define NODEPROOF_BENCH_GPU_PRODUCT_H

#include "gpu_device.h"

/** As native/gpu/elements.h numbers them. */
enum gpu_type { GPU_BF16, GPU_TF32, GPU_FP64, GPU_E4M3, GPU_TYPES };

/** Sums of a block of threads, and the most stages of shared memory that the kernels have (native/gpu/gemm.h). */
enum { GPU_TILE_ROWS = 128, GPU_TILE_COLUMNS = 256, GPU_TILE_THREADS = 256, GPU_STAGES_MOST = 4 };

/** Of the second matrix, beyond that of the first (native/gpu/elements.h). */
#define GPU_SEED_OF_B (UINT64_C(1) << 32)

struct gpu_product {
    struct gpu *gpu;
    np_cu_deviceptr a, b, out, findings;
    np_cu_function fill, check;
    uint32_t side; /**< rows and columns of the product */
    enum gpu_type type;
    np_cu_function kernel;
    uint64_t row_bytes; /**< of both matrices, as they lie in memory */
    int stages;
};

/** The least CUDA version of a driver that reads the kernel of FP8: PTX 8.4. */
enum { GPU_FP8_DRIVER = 12040 };

/** What a type is called: `bf16`, `tf32`, `fp64` or `fp8`. */
const char *gpu_type_name(enum gpu_type type);

/** Whether a GPU has tensor cores for it. */
bool gpu_type_is_possible(const struct gpu *gpu, enum gpu_type type);

/** Have memory for the largest product that half of the free memory holds, 8192 x 8192 at most. Returns 0 or -errno. */
int gpu_product_open(struct gpu_product *product, struct gpu *gpu, char why[BENCH_WHY_BYTES]);

/** Fill both matrices with whole numbers of a type. Returns 0 or -errno. */
int gpu_product_set(struct gpu_product *product, enum gpu_type type, uint64_t seed, char why[BENCH_WHY_BYTES]);

/** Forget the sums, before another computes them. Returns 0 or -errno. */
int gpu_product_clear(struct gpu_product *product, char why[BENCH_WHY_BYTES]);

/** Products that make one sum. */
uint32_t gpu_product_depth(const struct gpu_product *product);

/** Products and sums of one run, each counted. */
double gpu_product_work(const struct gpu_product *product);

/** A gpu_block_fn; its state is the product. */
int gpu_product_give(void *state, struct gpu *gpu);

/** Compute some sums of each part of the product anew, and count those that are not the same. Returns as gpu_wait. */
int gpu_product_verify(struct gpu_product *product, uint64_t seed, uint64_t *wrong, char why[BENCH_WHY_BYTES]);

/** Let a kernel have shared memory for as many stages of `stage_bytes` as fit. Returns 0 or -errno. */
int gpu_kernel_stages(struct gpu *gpu, np_cu_function kernel, unsigned int stage_bytes, int *stages,
                      char why[BENCH_WHY_BYTES]);

#endif

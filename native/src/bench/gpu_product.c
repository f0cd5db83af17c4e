/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu_product.h"

#include <errno.h>

#include "gpu_words.h"

enum { MOST_SIDE = 8192, LEAST_SIDE = 256, SHARE_DIVISOR = 2, THREADS = 256, BLOCKS_EACH = 8 };

/* Bytes of a row for each row: deep products hide what writing the sums costs. FP8 is half as deep, for its sums. */
static const struct {
    const char *name, *kernel;
    enum gpu_module module;
    uint32_t element_bytes, depth_bytes, tile_columns, stage_bytes;
} TYPES[GPU_TYPES] = {
    [GPU_BF16] = {"bf16", "gemm_bf16", GPU_TENSOR, 2, 4, 256, 48 << 10},
    [GPU_TF32] = {"tf32", "gemm_tf32", GPU_TENSOR, 4, 4, 256, 48 << 10},
    [GPU_FP64] = {"fp64", "gemm_fp64", GPU_TENSOR, 8, 4, 128, 32 << 10},
    [GPU_E4M3] = {"fp8", "gemm_e4m3", GPU_FP8, 1, 2, 256, 48 << 10},
};

enum { MOST_DEPTH_BYTES = 4, MOST_SUM_BYTES = 8, SAMPLES_EACH = 2 };

const char *gpu_type_name(enum gpu_type type)
{
    return TYPES[type].name;
}

bool gpu_type_is_possible(const struct gpu *gpu, enum gpu_type type)
{
    return gpu->capability >= (TYPES[type].module == GPU_FP8 ? 89 : 80);
}

int gpu_kernel_stages(struct gpu *gpu, np_cu_function kernel, unsigned int stage_bytes, int *stages,
                      char why[BENCH_WHY_BYTES])
{
    const unsigned int fit = gpu->shared_bytes / stage_bytes;
    *stages = (int)(fit < GPU_STAGES_MOST ? fit : GPU_STAGES_MOST);
    if (*stages < 2)
        return bench_why(why, -ENOTSUP, "unavailable: GPU %d (%s) has too little shared memory for our kernels",
                         gpu->index, gpu->name);
    return gpu_check(
        gpu,
        gpu->gpus->driver.func_set_attribute(kernel, NP_CU_MAX_DYNAMIC_SHARED_SIZE_BYTES, *stages * (int)stage_bytes),
        "cannot have shared memory", why);
}

int gpu_product_open(struct gpu_product *product, struct gpu *gpu, char why[BENCH_WHY_BYTES])
{
    uint64_t free_bytes = 0;
    *product = (struct gpu_product){.gpu = gpu, .side = MOST_SIDE};
    int rc = gpu_free_bytes(gpu, &free_bytes, why);
    const uint64_t each = 2 * MOST_DEPTH_BYTES + MOST_SUM_BYTES;
    while (product->side > LEAST_SIDE && each * product->side * product->side > free_bytes / SHARE_DIVISOR)
        product->side /= 2;
    const uint64_t square = (uint64_t)product->side * product->side;
    if (rc == 0)
        rc = gpu_kernel(gpu, GPU_PLAIN, "elements_fill", &product->fill, why);
    if (rc == 0)
        rc = gpu_kernel(gpu, GPU_PLAIN, "product_check", &product->check, why);
    if (rc == 0)
        rc = gpu_alloc(gpu, MOST_DEPTH_BYTES * square, &product->a, why);
    if (rc == 0)
        rc = gpu_alloc(gpu, MOST_DEPTH_BYTES * square, &product->b, why);
    if (rc == 0)
        rc = gpu_alloc(gpu, MOST_SUM_BYTES * square, &product->out, why);
    return rc != 0 ? rc : gpu_alloc(gpu, sizeof(struct gpu_findings), &product->findings, why);
}

static int fill(struct gpu_product *product, np_cu_deviceptr matrix, uint64_t seed, char why[BENCH_WHY_BYTES])
{
    uint64_t count = product->side * product->row_bytes / TYPES[product->type].element_bytes;
    uint32_t type = product->type;
    void *parameters[] = {&matrix, &count, &type, &seed};
    const unsigned int blocks = product->gpu->multiprocessors * BLOCKS_EACH;
    return gpu_check(product->gpu, gpu_launch(product->gpu, product->fill, blocks, THREADS, 0, parameters),
                     "cannot fill its memory", why);
}

int gpu_product_clear(struct gpu_product *product, char why[BENCH_WHY_BYTES])
{
    return gpu_clear(product->gpu, product->out, MOST_SUM_BYTES * (uint64_t)product->side * product->side, why);
}

int gpu_product_set(struct gpu_product *product, enum gpu_type type, uint64_t seed, char why[BENCH_WHY_BYTES])
{
    product->type = type;
    product->row_bytes = (uint64_t)product->side * TYPES[type].depth_bytes;
    int rc = gpu_kernel(product->gpu, TYPES[type].module, TYPES[type].kernel, &product->kernel, why);
    if (rc == 0)
        rc = gpu_kernel_stages(product->gpu, product->kernel, TYPES[type].stage_bytes, &product->stages, why);
    if (rc == 0)
        rc = fill(product, product->a, seed, why);
    if (rc == 0)
        rc = fill(product, product->b, seed + GPU_SEED_OF_B, why);
    return rc != 0 ? rc : gpu_product_clear(product, why);
}

uint32_t gpu_product_depth(const struct gpu_product *product)
{
    return (uint32_t)(product->row_bytes / TYPES[product->type].element_bytes);
}

double gpu_product_work(const struct gpu_product *product)
{
    return 2.0 * product->side * product->side * gpu_product_depth(product);
}

static unsigned int tiles(const struct gpu_product *product)
{
    return product->side / GPU_TILE_ROWS * (product->side / TYPES[product->type].tile_columns);
}

int gpu_product_give(void *state, struct gpu *gpu)
{
    struct gpu_product *product = state;
    void *parameters[] = {&product->out,  &product->a,         &product->b,     &product->side,
                          &product->side, &product->row_bytes, &product->stages};
    return gpu_launch(gpu, product->kernel, tiles(product), GPU_TILE_THREADS,
                      (unsigned int)product->stages * TYPES[product->type].stage_bytes, parameters);
}

int gpu_product_verify(struct gpu_product *product, uint64_t seed, uint64_t *wrong, char why[BENCH_WHY_BYTES])
{
    struct gpu_findings findings = {0};
    uint64_t sums = (uint64_t)product->side * product->side;
    uint32_t own_depth = gpu_product_depth(product), type = product->type;
    uint32_t count = SAMPLES_EACH * (unsigned int)(sums / (GPU_TILE_ROWS * GPU_TILE_COLUMNS)) * THREADS;
    void *parameters[] = {&product->out, &sums, &product->side, &own_depth, &type, &seed, &count, &product->findings};
    int rc = gpu_clear(product->gpu, product->findings, sizeof findings, why);
    if (rc == 0)
        rc =
            gpu_check(product->gpu,
                      gpu_launch(product->gpu, product->check, (count + THREADS - 1) / THREADS, THREADS, 0, parameters),
                      "cannot look at its results", why);
    if (rc == 0)
        rc = gpu_fetch(product->gpu, &findings, product->findings, sizeof findings, why);
    *wrong += findings.wrong;
    return rc;
}

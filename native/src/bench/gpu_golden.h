/* SPDX-License-Identifier: Apache-2.0 */
/* What kernels of gpu.compute_check must come to, found by the CPU: a node's GPUs may all be wrong in the same way. */
#ifndef NODEPROOF_BENCH_GPU_GOLDEN_H
#define NODEPROOF_BENCH_GPU_GOLDEN_H

#include <stdint.h>

/** The sum that each block of check_chain gives. */
uint64_t gpu_golden_chain(uint32_t rounds, uint32_t seed);

/** The same of check_bf16, for matrices of `seed` as in gpu_product.h, `depth` elements deep. Returns 0 or -ENOMEM. */
int gpu_golden_product(uint32_t depth, uint64_t seed, uint64_t *sum);

#endif

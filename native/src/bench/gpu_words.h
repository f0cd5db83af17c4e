/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a GPU as 64-bit words that hold patterns, and those of them that do not. */
#ifndef NODEPROOF_BENCH_GPU_WORDS_H
#define NODEPROOF_BENCH_GPU_WORDS_H

#include "gpu_device.h"

/** As native/gpu/plain.cu numbers them. */
enum gpu_pattern {
    GPU_VALUE,   /**< the seed itself */
    GPU_ADDRESS, /**< its own address */
    GPU_RANDOM,  /**< scattered bits of the seed and its index */
    GPU_DOUBLES, /**< a double: the seed times 1 to 1024, again and again */
};

enum { GPU_FINDINGS_MOST = 16 };

/** What a kernel found: how many words are wrong, and the first to be noted. */
struct gpu_findings {
    uint64_t wrong;
    struct gpu_finding {
        uint64_t index, expected, found;
    } words[GPU_FINDINGS_MOST];
};

/** A range of words, and the kernels for it. */
struct gpu_words {
    struct gpu *gpu;
    np_cu_function fill, check;
    np_cu_deviceptr address;
    uint64_t count;
    np_cu_deviceptr findings; /**< room for struct gpu_findings in the GPU's memory */
};

/** Find the kernels and room for findings. Returns 0 or -errno. */
int gpu_words_open(struct gpu_words *words, struct gpu *gpu, char why[BENCH_WHY_BYTES]);

/** Write a pattern; all its bits are turned over by `mask` ~0. Returns 0 or -errno. */
int gpu_words_fill(struct gpu_words *words, enum gpu_pattern pattern, uint64_t seed, uint64_t mask,
                   char why[BENCH_WHY_BYTES]);

/**
 * Compare with a pattern, and with `inverts` write its complement.
 *
 * Returns 0, -ECANCELED or -errno.
 */
int gpu_words_check(struct gpu_words *words, enum gpu_pattern pattern, uint64_t seed, uint64_t mask, bool inverts,
                    struct gpu_findings *findings, char why[BENCH_WHY_BYTES]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu_words.h"

enum { THREADS = 256, BLOCKS_EACH = 8 };

static unsigned int blocks(const struct gpu_words *words)
{
    const uint64_t needed = (words->count + THREADS - 1) / THREADS;
    const unsigned int most = words->gpu->multiprocessors * BLOCKS_EACH;
    return needed < most ? (unsigned int)needed : most;
}

int gpu_words_open(struct gpu_words *words, struct gpu *gpu, char why[BENCH_WHY_BYTES])
{
    *words = (struct gpu_words){.gpu = gpu};
    int rc = gpu_kernel(gpu, GPU_PLAIN, "words_fill", &words->fill, why);
    if (rc == 0)
        rc = gpu_kernel(gpu, GPU_PLAIN, "words_check", &words->check, why);
    return rc != 0 ? rc : gpu_alloc(gpu, sizeof(struct gpu_findings), &words->findings, why);
}

int gpu_words_fill(struct gpu_words *words, enum gpu_pattern pattern, uint64_t seed, uint64_t mask,
                   char why[BENCH_WHY_BYTES])
{
    unsigned int number = pattern;
    void *parameters[] = {&words->address, &words->count, &number, &seed, &mask};
    return gpu_check(words->gpu, gpu_launch(words->gpu, words->fill, blocks(words), THREADS, 0, parameters),
                     "cannot fill its memory", why);
}

int gpu_words_check(struct gpu_words *words, enum gpu_pattern pattern, uint64_t seed, uint64_t mask, bool inverts,
                    struct gpu_findings *findings, char why[BENCH_WHY_BYTES])
{
    unsigned int number = pattern, inverting = inverts;
    void *parameters[] = {&words->address, &words->count, &number, &seed, &mask, &inverting, &words->findings};
    int rc = gpu_clear(words->gpu, words->findings, sizeof *findings, why);
    if (rc == 0)
        rc = gpu_check(words->gpu, gpu_launch(words->gpu, words->check, blocks(words), THREADS, 0, parameters),
                       "cannot look at its memory", why);
    return rc != 0 ? rc : gpu_fetch(words->gpu, findings, words->findings, sizeof *findings, why);
}

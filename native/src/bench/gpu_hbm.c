/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bandwidth of a GPU's own memory: copy, read, write and triad, of arrays that no cache holds.
 *
 * Every thread has four loads of 16 bytes on their way. What was stored is looked at afterwards, word by word.
 */
#include <errno.h>
#include <string.h>

#include "gpu.h"
#include "gpu_blocks.h"
#include "gpu_words.h"

/* Arrays of at least so many times the L2 cache, and of a gigabyte, if a quarter of the free memory is so much: what
   starting a kernel costs is then less than a hundredth. */
enum { PAST_CACHES = 8, ARRAYS = 3, SHARE_DIVISOR = 4 };

static const uint64_t USUAL_BYTES = UINT64_C(1) << 30;

/* A block of threads takes so many bytes at once. */
enum { THREADS = 256, PIECE_BYTES = THREADS * 4 * 16 };

enum operation { COPY, READ, WRITE, TRIAD, OPERATIONS };

/* How many arrays each reads or writes, and how many blocks of threads fit on a multiprocessor (plain.cu). */
static const struct {
    const char *name, *kernel;
    unsigned int arrays, blocks_each;
} OPERATION[OPERATIONS] = {
    [COPY] = {"copy", "stream_copy", 2, 8},
    [READ] = {"read", "stream_read", 1, 8},
    [WRITE] = {"write", "stream_write", 1, 8},
    [TRIAD] = {"triad", "stream_triad", 3, 4},
};

static const uint64_t VALUE = UINT64_C(0x0123456789abcdef);

struct hbm {
    struct gpu_words words;
    np_cu_deviceptr arrays[ARRAYS]; /* a, b and c */
    np_cu_deviceptr sum;
    uint64_t bytes;
    enum operation operation;
    np_cu_function kernel;
    uint64_t runs;
};

static int give(void *state, struct gpu *gpu)
{
    struct hbm *hbm = state;
    uint64_t pairs = hbm->bytes / 16, value = VALUE;
    double factor = 3;
    void *const copy[] = {&hbm->arrays[0], &hbm->arrays[1], &pairs};
    void *const read[] = {&hbm->arrays[1], &pairs, &hbm->sum};
    void *const write[] = {&hbm->arrays[0], &pairs, &value};
    void *const triad[] = {&hbm->arrays[0], &hbm->arrays[1], &hbm->arrays[2], &factor, &pairs};
    void *const *const parameters[OPERATIONS] = {[COPY] = copy, [READ] = read, [WRITE] = write, [TRIAD] = triad};
    const uint64_t pieces = hbm->bytes / PIECE_BYTES;
    const uint64_t most = (uint64_t)gpu->multiprocessors * OPERATION[hbm->operation].blocks_each;
    hbm->runs++;
    return gpu_launch(gpu, hbm->kernel, (unsigned int)(pieces < most ? pieces : most), THREADS, 0,
                      (void **)(uintptr_t)parameters[hbm->operation]);
}

static int fill(struct hbm *hbm, unsigned int array, enum gpu_pattern pattern, uint64_t seed, char why[BENCH_WHY_BYTES])
{
    hbm->words.address = hbm->arrays[array];
    hbm->words.count = hbm->bytes / sizeof(uint64_t);
    return gpu_words_fill(&hbm->words, pattern, seed, 0, why);
}

/* What each operation begins with: zeros in a; in b random words, or whole numbers in b and c that triad adds. */
static int prepare(struct hbm *hbm, char why[BENCH_WHY_BYTES])
{
    const bool is_triad = hbm->operation == TRIAD;
    int rc = fill(hbm, 0, GPU_VALUE, 0, why);
    if (rc == 0)
        rc = fill(hbm, 1, is_triad ? GPU_DOUBLES : hbm->operation == READ ? GPU_VALUE : GPU_RANDOM, 1, why);
    if (rc == 0)
        rc = fill(hbm, 2, GPU_DOUBLES, 1, why);
    hbm->runs = 0;
    return rc != 0 ? rc : gpu_clear(hbm->words.gpu, hbm->sum, sizeof(uint64_t), why);
}

/* How many words are not what the operation makes of them; of sums, whether the sum of all runs is wrong. */
static int verify(struct hbm *hbm, uint64_t *wrong, char why[BENCH_WHY_BYTES])
{
    struct gpu_findings findings = {0};
    uint64_t sum = 0;
    int rc = 0;
    hbm->words.address = hbm->arrays[0];
    if (hbm->operation == READ)
        rc = gpu_fetch(hbm->words.gpu, &sum, hbm->sum, sizeof sum, why);
    else if (hbm->operation == COPY)
        rc = gpu_words_check(&hbm->words, GPU_RANDOM, 1, 0, false, &findings, why);
    else if (hbm->operation == WRITE)
        rc = gpu_words_check(&hbm->words, GPU_VALUE, VALUE, 0, false, &findings, why);
    else
        rc = gpu_words_check(&hbm->words, GPU_DOUBLES, 4, 0, false, &findings, why);
    if (hbm->operation == READ)
        findings.wrong = sum != hbm->runs * hbm->words.count; /* words of 1 */
    *wrong += findings.wrong;
    return rc;
}

static int open_arrays(struct hbm *hbm, struct gpu *gpu, uint64_t asked_bytes, char why[BENCH_WHY_BYTES])
{
    uint64_t free_bytes = 0;
    int rc = gpu_words_open(&hbm->words, gpu, why);
    if (rc == 0)
        rc = gpu_free_bytes(gpu, &free_bytes, why);
    const uint64_t wanted = PAST_CACHES * gpu->l2_bytes > USUAL_BYTES ? PAST_CACHES * gpu->l2_bytes : USUAL_BYTES;
    const uint64_t most = free_bytes / SHARE_DIVISOR;
    hbm->bytes = (asked_bytes != 0 ? asked_bytes : wanted < most ? wanted : most) / PIECE_BYTES * PIECE_BYTES;
    if (rc == 0 && hbm->bytes == 0)
        return bench_why(why, -ENOTSUP, "GPU %d (%s): too little free memory, or --bytes is below 16K", gpu->index,
                         gpu->address);
    for (unsigned int i = 0; i < ARRAYS && rc == 0; i++)
        rc = gpu_alloc(gpu, hbm->bytes, &hbm->arrays[i], why);
    return rc != 0 ? rc : gpu_alloc(gpu, sizeof(uint64_t), &hbm->sum, why);
}

static int measure(struct gpu_points *points, struct gpu *gpu, double most_s, char why[BENCH_WHY_BYTES])
{
    struct hbm hbm = {.runs = 0};
    int rc = gpu_use(gpu, why);
    if (rc == 0)
        rc = open_arrays(&hbm, gpu, gpu->gpus->request->bytes, why);
    for (unsigned int i = 0; i < OPERATIONS && rc == 0; i++) {
        const struct gpu_part part = {
            .gpu = gpu, .peer = gpu, .operation = OPERATION[i].name, .bytes = hbm.bytes, .node = -1};
        const struct gpu_blocks blocks = {.give = give,
                                          .state = &hbm,
                                          .work = (double)(OPERATION[i].arrays * hbm.bytes),
                                          .most_s = most_s / OPERATIONS};
        hbm.operation = (enum operation)i;
        rc = gpu_kernel(gpu, GPU_PLAIN, OPERATION[i].kernel, &hbm.kernel, why);
        if (rc == 0)
            rc = prepare(&hbm, why);
        if (rc == 0)
            rc = gpu_points_measure(points, &part, &blocks, why);
        if (rc == 0)
            rc = verify(&hbm, &points->wrong, why);
    }
    return rc;
}

int gpu_hbm_bandwidth(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES])
{
    return gpu_points_of_each(request, out, NP_RATE, measure, why);
}

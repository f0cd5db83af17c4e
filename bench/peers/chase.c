/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load-to-use latency by two well-known methods, written anew because Debian packages neither tool.
 *
 * chase samples BYTES COUNT: multichase's. One random cycle over all lines on huge pages; a second thread looks every
 * 0.5 s how far the chase has come; the first sample does not count, the best of the others does. multichase counts
 * with a locked addition, which costs some 3 % in the L1 cache: here it is a plain store.
 *
 * chase sweep MAX_BYTES: that of lat_mem_rd -t -N 1. For each size new memory on 4 KiB pages, another page with every
 * load, the cycle repeated until it takes long enough to be timed once. One size for each doubling, where lmbench has
 * up to sixteen.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 64, PAGE_BYTES = 4096, STRIDE_BYTES = 128, HUGE_PAGE_BYTES = 2 << 20, LOADS = 200 };

static const double SAMPLE_S = 0.5, ENOUGH_S = 5e-3;
static const size_t FIRST_SWEEP_BYTES = 32 << 10;

#define LOAD p = *(void *volatile *)p;
#define LOAD_5 LOAD LOAD LOAD LOAD LOAD
#define LOAD_50 LOAD_5 LOAD_5 LOAD_5 LOAD_5 LOAD_5 LOAD_5 LOAD_5 LOAD_5 LOAD_5 LOAD_5
#define LOAD_200 LOAD_50 LOAD_50 LOAD_50 LOAD_50

static atomic_ulong chased;

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* 0 … count-1 in random order. The remainder's bias is far below what a latency shows. */
static size_t *permutation(size_t count, uint64_t seed)
{
    size_t *order = malloc(count * sizeof *order);
    for (size_t i = 0; order != NULL && i < count; i++)
        order[i] = i;
    for (size_t i = count; order != NULL && i > 1; i--) {
        const size_t j = next_random(&seed) % i, kept = order[i - 1];
        order[i - 1] = order[j];
        order[j] = kept;
    }
    return order;
}

static char *open_memory(size_t bytes, int advice)
{
    char *memory = aligned_alloc(HUGE_PAGE_BYTES, (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES);
    if (memory != NULL)
        madvise(memory, bytes, advice);
    return memory;
}

static void **link_lines(size_t bytes)
{
    const size_t lines = bytes / LINE_BYTES;
    char *memory = open_memory(bytes, MADV_HUGEPAGE);
    size_t *order = permutation(lines, 88172645463325252);
    if (memory == NULL || order == NULL)
        return NULL;
    for (size_t i = 0; i < lines; i++)
        *(void **)(memory + order[i] * LINE_BYTES) = memory + order[(i + 1) % lines] * LINE_BYTES;
    free(order);
    return (void **)memory;
}

/* The places within a page in bit-reversed order, shifted by one from page to page: every load opens another page. */
static size_t place(size_t number)
{
    enum { PLACES = PAGE_BYTES / STRIDE_BYTES };
    size_t reversed = 0;
    for (size_t bit = 1, mirror = PLACES / 2; mirror > 0; bit <<= 1, mirror >>= 1)
        reversed |= (number % PLACES) & bit ? mirror : 0;
    return reversed * STRIDE_BYTES;
}

static void **link_pages(char *memory, size_t bytes, uint64_t seed)
{
    const size_t pages = bytes / PAGE_BYTES, places = PAGE_BYTES / STRIDE_BYTES;
    size_t *order = permutation(pages, seed);
    if (order == NULL)
        return NULL;
    for (size_t i = 0; i < pages; i++) {
        const size_t next = (i + 1) % pages;
        for (size_t j = 0; j < places; j++)
            *(void **)(memory + order[i] * PAGE_BYTES + place(i + j)) =
                memory + order[next] * PAGE_BYTES + place((next == 0 ? 0 : i) + j + 1);
    }
    void **first = (void **)(memory + order[0] * PAGE_BYTES);
    free(order);
    return first;
}

static void *chase_on(void *start)
{
    void *p = start;
    unsigned long loads = 0;
    for (;;) {
        LOAD_200
        atomic_store_explicit(&chased, loads += LOADS, memory_order_relaxed);
    }
    return NULL;
}

static int run_samples(size_t bytes, long count)
{
    void **start = link_lines(bytes);
    pthread_t thread;
    double best_s = INFINITY;
    if (start == NULL || pthread_create(&thread, NULL, chase_on, start) != 0)
        return 1;
    double last_s = now_s();
    unsigned long last_loads = 0;
    for (long i = 0; i <= count; i++) {
        usleep((useconds_t)(SAMPLE_S * 1e6));
        const unsigned long loads = atomic_load(&chased);
        const double stamp_s = now_s(), latency_s = (stamp_s - last_s) / (double)(loads - last_loads);
        last_s = stamp_s;
        last_loads = loads;
        if (i > 0 && latency_s < best_s)
            best_s = latency_s;
    }
    printf("%zu %.6e\n", bytes, best_s);
    return 0;
}

static double walk(void **start, size_t loads, long times)
{
    void *p = start;
    const double start_s = now_s();
    for (long i = 0; i < times; i++)
        for (size_t j = 0; j < loads; j += LOADS) {
            LOAD_200
        }
    return now_s() - start_s;
}

static int run_sweep(size_t max_bytes)
{
    for (size_t bytes = FIRST_SWEEP_BYTES; bytes <= max_bytes; bytes *= 2) {
        char *memory = open_memory(bytes, MADV_NOHUGEPAGE);
        void **start = memory != NULL ? link_pages(memory, bytes, (uint64_t)getpid()) : NULL;
        const size_t loads = (bytes / STRIDE_BYTES + LOADS - 1) / LOADS * LOADS;
        long times = 1;
        double seconds;
        if (start == NULL)
            return 1;
        while ((seconds = walk(start, loads, times)) < ENOUGH_S)
            times *= 2;
        printf("%zu %.6e\n", bytes, seconds / (double)loads / (double)times);
        free(memory);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const size_t bytes = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    const long count = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
    int rc = 2;
    if (argc == 4 && strcmp(argv[1], "samples") == 0 && bytes >= LINE_BYTES && count > 0)
        rc = run_samples(bytes, count);
    else if (argc == 3 && strcmp(argv[1], "sweep") == 0 && bytes >= FIRST_SWEEP_BYTES)
        rc = run_sweep(bytes);
    if (rc != 0)
        fputs(rc == 1 ? "chase: too little memory\n" : "Usage: chase samples BYTES COUNT | chase sweep BYTES\n",
              stderr);
    return rc;
}

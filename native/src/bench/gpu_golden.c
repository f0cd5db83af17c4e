/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of native/gpu/plain.cu and elements.h, in C: IEEE 754 gives both the same bits. */
#include "gpu_golden.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 256, ROWS = 128, COLUMNS = 256 };

static uint64_t scattered(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static uint64_t chain(uint32_t thread, uint32_t rounds, uint32_t seed)
{
    float x = (float)(thread + 1) / 512.0F;
    double y = (double)(thread + 1) / 512.0;
    uint32_t whole = seed + thread;
    uint64_t y_bits;
    for (uint32_t i = 0; i < rounds; i++) {
        x = 3.9F * fmaf(-x, x, x);
        y = 3.9 * fma(-y, y, y);
        whole = whole * 1664525U + 1013904223U + bits_of(x);
    }
    memcpy(&y_bits, &y, sizeof y_bits);
    return scattered(y_bits ^ ((uint64_t)whole << 32 | bits_of(x)) ^ thread);
}

uint64_t gpu_golden_chain(uint32_t rounds, uint32_t seed)
{
    uint64_t sum = 0;
    for (uint32_t thread = 0; thread < THREADS; thread++)
        sum += chain(thread, rounds, seed);
    return sum;
}

static void fill(int32_t *matrix, uint64_t count, uint64_t seed)
{
    for (uint64_t i = 0; i < count; i++)
        matrix[i] = (int32_t)(scattered(seed + i) >> 57) - 64;
}

int gpu_golden_product(uint32_t depth, uint64_t seed, uint64_t *sum)
{
    int32_t *a = malloc((size_t)ROWS * depth * sizeof *a), *b = malloc((size_t)COLUMNS * depth * sizeof *b);
    const int rc = a != NULL && b != NULL ? 0 : -ENOMEM;
    *sum = 0;
    if (rc == 0) {
        fill(a, (uint64_t)ROWS * depth, seed);
        fill(b, (uint64_t)COLUMNS * depth, seed + (UINT64_C(1) << 32));
    }
    for (uint64_t place = 0; place < (uint64_t)ROWS * COLUMNS && rc == 0; place++) {
        const int32_t *row = a + place / COLUMNS * depth, *column = b + place % COLUMNS * depth;
        int32_t element = 0;
        for (uint32_t k = 0; k < depth; k++)
            element += row[k] * column[k];
        *sum += scattered(place << 32 | bits_of((float)element));
    }
    free(a);
    free(b);
    return rc;
}

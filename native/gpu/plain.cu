/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels that every GPU since Volta runs: streams through memory, patterns of the memory test, a flag that host and
 * GPU pass to and fro, and arithmetic that must give the same bits everywhere.
 */
#include "elements.h"

enum { THREADS = 256, UNROLL = 4 };

/* `count` pairs of words, a multiple of THREADS * UNROLL. A thread has UNROLL loads of 16 bytes on their way. */
#define STREAM(first)                                                                                                  \
    for (u64 first = (u64)blockIdx.x * (THREADS * UNROLL) + threadIdx.x; first < count;                                \
         first += (u64)gridDim.x * (THREADS * UNROLL))

KERNEL BOUNDS(THREADS, 8) stream_read(const ulonglong2 *from, u64 count, u64 *sum)
{
    __shared__ u64 words[THREADS];
    u64 own = 0;
    STREAM(i)
    {
        ulonglong2 values[UNROLL];
#pragma unroll
        for (int j = 0; j < UNROLL; j++)
            values[j] = load_once(from + i + j * THREADS);
#pragma unroll
        for (int j = 0; j < UNROLL; j++)
            own += values[j].x + values[j].y;
    }
    const u64 all = block_sum(own, words);
    if (threadIdx.x == 0)
        atomicAdd(sum, all);
}

KERNEL BOUNDS(THREADS, 8) stream_write(ulonglong2 *to, u64 count, u64 value)
{
    const ulonglong2 pair = {value, value};
    STREAM(i)
    {
#pragma unroll
        for (int j = 0; j < UNROLL; j++)
            store_once(to + i + j * THREADS, pair);
    }
}

KERNEL BOUNDS(THREADS, 8) stream_copy(ulonglong2 *to, const ulonglong2 *from, u64 count)
{
    STREAM(i)
    {
        ulonglong2 values[UNROLL];
#pragma unroll
        for (int j = 0; j < UNROLL; j++)
            values[j] = load_once(from + i + j * THREADS);
#pragma unroll
        for (int j = 0; j < UNROLL; j++)
            store_once(to + i + j * THREADS, values[j]);
    }
}

KERNEL BOUNDS(THREADS, 4) stream_triad(double2 *to, const double2 *b, const double2 *c, double factor, u64 count)
{
    STREAM(i)
    {
        double2 left[UNROLL], right[UNROLL];
#pragma unroll
        for (int j = 0; j < UNROLL; j++) {
            left[j] = load_once(b + i + j * THREADS);
            right[j] = load_once(c + i + j * THREADS);
        }
#pragma unroll
        for (int j = 0; j < UNROLL; j++) {
            left[j].x = fused(factor, right[j].x, left[j].x);
            left[j].y = fused(factor, right[j].y, left[j].y);
            store_once(to + i + j * THREADS, left[j]);
        }
    }
}

/* Patterns of memory, by the number that gpu_words.h has for them. */
enum { PATTERN_VALUE, PATTERN_ADDRESS, PATTERN_RANDOM, PATTERN_DOUBLES };

/** What a word holds; `mask` turns all bits over, or none. Doubles are small whole numbers, `seed` times 1 to 1024. */
DEVICE u64 pattern_of(const u64 *word, u64 index, u32 pattern, u64 seed, u64 mask)
{
    if (pattern == PATTERN_VALUE)
        return seed ^ mask;
    if (pattern == PATTERN_ADDRESS)
        return (u64)word ^ mask;
    if (pattern == PATTERN_RANDOM)
        return scattered(seed + index) ^ mask;
    return (u64)__double_as_longlong((double)(seed * (index % 1024 + 1))) ^ mask;
}

KERNEL BOUNDS(THREADS, 8) words_fill(u64 *words, u64 count, u32 pattern, u64 seed, u64 mask)
{
    for (u64 i = (u64)blockIdx.x * THREADS + threadIdx.x; i < count; i += (u64)gridDim.x * THREADS)
        store_once(words + i, pattern_of(words + i, i, pattern, seed, mask));
}

/** How many words are wrong, and which, as in gpu_words.h. */
struct Findings {
    u64 wrong;
    struct {
        u64 index, expected, found;
    } words[16];
};

/** Compare with a pattern; with `inverts`, write its complement over each word, right or wrong, as it is read. */
KERNEL BOUNDS(THREADS, 8)
    words_check(u64 *words, u64 count, u32 pattern, u64 seed, u64 mask, u32 inverts, Findings *findings)
{
    for (u64 i = (u64)blockIdx.x * THREADS + threadIdx.x; i < count; i += (u64)gridDim.x * THREADS) {
        const u64 expected = pattern_of(words + i, i, pattern, seed, mask);
        const u64 found = load_once(words + i);
        if (inverts)
            store_once(words + i, ~expected);
        if (found == expected)
            continue;
        const u64 place = atomicAdd(&findings->wrong, 1ULL);
        if (place < 16)
            findings->words[place] = {i, expected, found};
    }
}

/**
 * One thread writes to `pong` what it finds in `ping`, 1 to `rounds`. It ends where that is ~0, and gives up after so
 * many looks in vain.
 */
KERNEL flag_answer(const u32 *ping, u32 *pong, u32 rounds, u32 patience)
{
    for (u32 round = 1; round <= rounds; round++) {
        u32 looks = 0, found = 0;
        while ((found = load_shared_with_host(ping)) != round)
            if (found == ~0u || ++looks > patience)
                return;
        store_shared_with_host(pong, round);
    }
}

/*
 * A chaotic map in both precisions (logistic, 3.9 x (1 - x)) with a generator of whole numbers: one wrong bit at any
 * time is in every bit at the end. gpu_golden.c does the same on the CPU.
 */
DEVICE u64 chain(u32 thread, u32 rounds, u32 seed)
{
    float x = (float)(thread + 1) / 512.0f;
    double y = (double)(thread + 1) / 512.0;
    u32 whole = seed + thread;
    for (u32 i = 0; i < rounds; i++) {
        x = product(3.9f, fused(-x, x, x));
        y = product(3.9, fused(-y, y, y));
        whole = whole * 1664525u + 1013904223u + __float_as_uint(x);
    }
    return scattered((u64)__double_as_longlong(y) ^ ((u64)whole << 32 | __float_as_uint(x)) ^ thread);
}

/** All blocks compute the same: of each, the sum over its threads, and where it ran. */
KERNEL BOUNDS(THREADS, 4) check_chain(u64 *results, u32 rounds, u32 seed)
{
    __shared__ u64 words[THREADS];
    const u64 sum = block_sum(chain(threadIdx.x, rounds, seed), words);
    if (threadIdx.x == 0) {
        results[2 * blockIdx.x] = sum;
        results[2 * blockIdx.x + 1] = multiprocessor();
    }
}

/** Fill a matrix with elements of a type. */
KERNEL BOUNDS(THREADS, 8) elements_fill(void *to, u64 count, u32 type, u64 seed)
{
    for (u64 i = (u64)blockIdx.x * THREADS + threadIdx.x; i < count; i += (u64)gridDim.x * THREADS) {
        const int value = element_of(i, seed, type);
        if (type == TYPE_BF16)
            ((unsigned short *)to)[i] = (unsigned short)(__float_as_uint((float)value) >> 16);
        else if (type == TYPE_TF32)
            ((float *)to)[i] = (float)value;
        else if (type == TYPE_FP64)
            ((double *)to)[i] = (double)value;
        else
            ((unsigned char *)to)[i] = e4m3_of(value);
    }
}

/**
 * Look at `count` sums of a product that elements_fill's matrices (seeds `seed` and `seed + SEED_OF_B`) gave, spread
 * over all of it: every thread computes one anew.
 */
KERNEL BOUNDS(THREADS, 8)
    product_check(const void *out, u64 sums, u32 columns, u32 depth, u32 type, u64 seed, u32 count, Findings *findings)
{
    const u32 thread = blockIdx.x * THREADS + threadIdx.x;
    if (thread >= count)
        return;
    const u64 place = (u64)thread * (sums / count) + scattered(thread) % (sums / count);
    const u64 row = place / columns, column = place % columns;
    long long expected = 0;
    for (u32 k = 0; k < depth; k++)
        expected += element_of(row * depth + k, seed, type) * element_of(column * depth + k, seed + SEED_OF_B, type);
    const double found = type == TYPE_FP64 ? ((const double *)out)[place] : (double)((const float *)out)[place];
    if (found == (double)expected)
        return;
    const u64 slot = atomicAdd(&findings->wrong, 1ULL);
    if (slot < 16)
        findings->words[slot] = {place, (u64)__double_as_longlong((double)expected), (u64)__double_as_longlong(found)};
}

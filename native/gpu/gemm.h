/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A matrix product by tensor cores: sums = a * b, where a row of a and a column of b lie in memory as they are.
 *
 * A block of eight warps makes 128 x 256 sums, a warp 64 x 64 of them. Shared memory has a ring of stages, each with
 * 128 bytes of every row and column, which cp.async fills ahead. The eight pieces of 16 bytes of a row are stored in
 * an order that depends on the row: eight rows of one column of pieces are then on all banks. All types have the same
 * layout in bytes (device.h), so that this is the kernel for each of them.
 */
#ifndef NODEPROOF_GPU_GEMM_H
#define NODEPROOF_GPU_GEMM_H

#include "device.h"

enum {
    GEMM_THREADS = 256,
    ROWS = 128,
    COLUMNS = 256,
    STEP_BYTES = 128, /* of each row in a stage */
    PIECES = STEP_BYTES / 16,
    M_TILES = 4, /* of 16 rows in a warp */
    N_TILES = 8, /* of 8 columns */
    GROUP = 8,   /* rows of blocks that run side by side: they share columns in the L2 cache */
};

DEVICE u32 piece_at(u32 row, u32 piece)
{
    return row * STEP_BYTES + (piece ^ (row % PIECES)) * 16;
}

/** Begin to copy STEP_BYTES of each of `count` rows to a stage. */
template <u32 count> DEVICE void fill_rows(char *to, const char *from, u64 row_bytes)
{
    const u32 piece = threadIdx.x % PIECES, first = threadIdx.x / PIECES;
#pragma unroll
    for (u32 row = 0; row < count; row += GEMM_THREADS / PIECES)
        copy_async(to + piece_at(first + row, piece), from + (first + row) * row_bytes + piece * 16);
}

/** What a product of one type does with a stage: Kernel::fill and Kernel::add. */
template <typename Kernel> DEVICE void run_stages(Kernel &kernel, char *shared, int stages, u64 row_bytes)
{
    const int steps = (int)(row_bytes / STEP_BYTES);
    for (int step = 0; step < stages - 1; step++) {
        if (step < steps)
            kernel.fill(shared + step * Kernel::STAGE_BYTES, (u64)step * STEP_BYTES);
        copy_commit();
    }
    int stage = 0, next_stage = stages - 1;
    for (int step = 0; step < steps; step++) {
        copy_wait(stages - 2);
        __syncthreads(); /* all threads' copies are there, and nobody reads the stage that is filled next */
        const int next = step + stages - 1;
        if (next < steps)
            kernel.fill(shared + next_stage * Kernel::STAGE_BYTES, (u64)next * STEP_BYTES);
        copy_commit();
#pragma unroll
        for (u32 slice = 0; slice < STEP_BYTES / 32; slice++)
            kernel.add(shared + stage * Kernel::STAGE_BYTES, slice);
        stage = stage + 1 == stages ? 0 : stage + 1;
        next_stage = next_stage + 1 == stages ? 0 : next_stage + 1;
    }
    copy_wait(0);
    __syncthreads();
}

/** Where a block works: `tall` rows and `wide` columns of the product. */
struct Corner {
    u32 row, column;
};

/** Blocks run in groups of GROUP rows: those that run at once share rows and columns in the L2 cache. */
DEVICE Corner corner_of(u32 rows, u32 columns, u32 tall, u32 wide)
{
    const u32 across = columns / wide, down = rows / tall;
    const u32 first = blockIdx.x / (GROUP * across) * GROUP, within = blockIdx.x % (GROUP * across);
    const u32 height = down - first < GROUP ? down - first : (u32)GROUP;
    return {(first + within % height) * tall, within / height * wide};
}

/** ROWS rows of a times COLUMNS columns of b, for a type of device.h. */
template <typename Type> struct Product {
    enum { A_BYTES = ROWS * STEP_BYTES, STAGE_BYTES = A_BYTES + COLUMNS * STEP_BYTES };

    const char *a, *b;
    u64 row_bytes;
    float sums[M_TILES][N_TILES][4];

    DEVICE_MEMBER void fill(char *stage, u64 offset)
    {
        fill_rows<ROWS>(stage, a + offset, row_bytes);
        fill_rows<COLUMNS>(stage + A_BYTES, b + offset, row_bytes);
    }

    /** Add the products of 32 bytes of each row and column, `slice` 0 to 3 of the stage. */
    DEVICE_MEMBER void add(const char *stage, u32 slice)
    {
        const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        const u32 row = warp % 2 * 64 + lane % 16, column = warp / 2 * 64 + lane % 8 + lane / 16 * 8;
        u32 left[M_TILES][4], right[N_TILES / 2][4];
#pragma unroll
        for (u32 m = 0; m < M_TILES; m++)
            load_matrices(left[m], stage + piece_at(row + 16 * m, 2 * slice + lane / 16));
#pragma unroll
        for (u32 n = 0; n < N_TILES / 2; n++)
            load_matrices(right[n], stage + A_BYTES + piece_at(column + 16 * n, 2 * slice + lane / 8 % 2));
#pragma unroll
        for (u32 m = 0; m < M_TILES; m++)
#pragma unroll
            for (u32 n = 0; n < N_TILES; n++)
                Type::multiply(sums[m][n], left[m], right[n / 2] + n % 2 * 2);
    }
};

/** Row and column, within the block, of sum `i` of a tile of this thread. */
DEVICE u32 row_of(u32 m, u32 i)
{
    return threadIdx.x / 32 % 2 * 64 + 16 * m + threadIdx.x % 32 / 4 + i / 2 * 8;
}

DEVICE u32 column_of(u32 n, u32 i)
{
    return threadIdx.x / 64 * 64 + 8 * n + threadIdx.x % 4 * 2 + i % 2;
}

/** One block of a product of `rows` times `columns` sums, the grid one-dimensional. */
template <typename Type>
DEVICE void gemm_block(float *out, const char *a, const char *b, u32 rows, u32 columns, u64 row_bytes, int stages)
{
    DYNAMIC_SHARED(shared);
    const Corner at = corner_of(rows, columns, ROWS, COLUMNS);
    Product<Type> product = {a + at.row * row_bytes, b + at.column * row_bytes, row_bytes, {}};
    run_stages(product, shared, stages, row_bytes);
#pragma unroll
    for (u32 m = 0; m < M_TILES; m++)
#pragma unroll
        for (u32 n = 0; n < N_TILES; n++)
#pragma unroll
            for (u32 i = 0; i < 4; i += 2) {
                const u64 place = (u64)(at.row + row_of(m, i)) * columns + at.column + column_of(n, i);
                store_once((float2 *)(out + place), float2{product.sums[m][n][i], product.sums[m][n][i + 1]});
            }
}

/** All blocks make the same ROWS x COLUMNS sums: of each, a sum over their bits, and where it ran. */
template <typename Type> DEVICE void check_block(u64 *results, const char *a, const char *b, u64 row_bytes, int stages)
{
    DYNAMIC_SHARED(shared);
    Product<Type> product = {a, b, row_bytes, {}};
    u64 own = 0;
    run_stages(product, shared, stages, row_bytes);
#pragma unroll
    for (u32 m = 0; m < M_TILES; m++)
#pragma unroll
        for (u32 n = 0; n < N_TILES; n++)
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                const u64 place = row_of(m, i) * COLUMNS + column_of(n, i);
                own += scattered(place << 32 | __float_as_uint(product.sums[m][n][i]));
            }
    const u64 sum = block_sum(own, (u64 *)shared);
    if (threadIdx.x == 0) {
        results[2 * blockIdx.x] = sum;
        results[2 * blockIdx.x + 1] = multiprocessor();
    }
}

#endif

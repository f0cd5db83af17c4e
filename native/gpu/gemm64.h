/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A matrix product of doubles by tensor cores, staged as in gemm.h.
 *
 * A block of eight warps makes 128 x 128 sums, a warp 32 x 64 of them.
 */
#ifndef NODEPROOF_GPU_GEMM64_H
#define NODEPROOF_GPU_GEMM64_H

#include "gemm.h"

struct Product64 {
    enum { SIDE = 128, HALF_BYTES = SIDE * STEP_BYTES, STAGE_BYTES = 2 * HALF_BYTES, TALL = 4, WIDE = 8 };

    const char *a, *b;
    u64 row_bytes;
    double sums[TALL][WIDE][2];

    DEVICE_MEMBER void fill(char *stage, u64 offset)
    {
        fill_rows<SIDE>(stage, a + offset, row_bytes);
        fill_rows<SIDE>(stage + HALF_BYTES, b + offset, row_bytes);
    }

    /** Rows and columns of this warp; a lane has row or column lane / 4 of each eight. */
    DEVICE_MEMBER static u32 first_row(void)
    {
        return threadIdx.x / 32 % 4 * 32 + threadIdx.x % 32 / 4;
    }

    DEVICE_MEMBER static u32 first_column(void)
    {
        return threadIdx.x / 128 * 64;
    }

    /** One double of a row: lane % 4 of the four in 32 bytes. */
    DEVICE_MEMBER static double element(const char *rows, u32 row, u32 slice)
    {
        const u32 word = threadIdx.x % 4;
        return *(const double *)(rows + piece_at(row, 2 * slice + word / 2) + word % 2 * 8);
    }

    DEVICE_MEMBER void add(const char *stage, u32 slice)
    {
        double left[TALL], right[WIDE];
#pragma unroll
        for (u32 m = 0; m < TALL; m++)
            left[m] = element(stage, first_row() + 8 * m, slice);
#pragma unroll
        for (u32 n = 0; n < WIDE; n++)
            right[n] = element(stage + HALF_BYTES, first_column() + 8 * n + threadIdx.x % 32 / 4, slice);
#pragma unroll
        for (u32 m = 0; m < TALL; m++)
#pragma unroll
            for (u32 n = 0; n < WIDE; n++)
                multiply_double(sums[m][n], left[m], right[n]);
    }
};

/** One block of a product of `rows` times `columns` sums, the grid one-dimensional. */
DEVICE void gemm64_block(double *out, const char *a, const char *b, u32 rows, u32 columns, u64 row_bytes, int stages)
{
    DYNAMIC_SHARED(shared);
    const Corner at = corner_of(rows, columns, Product64::SIDE, Product64::SIDE);
    Product64 product = {a + at.row * row_bytes, b + at.column * row_bytes, row_bytes, {}};
    run_stages(product, shared, stages, row_bytes);
#pragma unroll
    for (u32 m = 0; m < Product64::TALL; m++)
#pragma unroll
        for (u32 n = 0; n < Product64::WIDE; n++) {
            const u32 row = at.row + Product64::first_row() + 8 * m;
            const u32 column = at.column + Product64::first_column() + 8 * n + threadIdx.x % 4 * 2;
            store_once((double2 *)(out + (u64)row * columns + column),
                       double2{product.sums[m][n][0], product.sums[m][n][1]});
        }
}

#endif

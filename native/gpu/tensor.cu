/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products by tensor cores since Ampere. */
#include "gemm64.h"

KERNEL BOUNDS(GEMM_THREADS, 1)
    gemm_bf16(float *out, const char *a, const char *b, u32 rows, u32 columns, u64 row_bytes, int stages)
{
    gemm_block<Bf16>(out, a, b, rows, columns, row_bytes, stages);
}

KERNEL BOUNDS(GEMM_THREADS, 1)
    gemm_tf32(float *out, const char *a, const char *b, u32 rows, u32 columns, u64 row_bytes, int stages)
{
    gemm_block<Tf32>(out, a, b, rows, columns, row_bytes, stages);
}

KERNEL BOUNDS(GEMM_THREADS, 1)
    gemm_fp64(double *out, const char *a, const char *b, u32 rows, u32 columns, u64 row_bytes, int stages)
{
    gemm64_block(out, a, b, rows, columns, row_bytes, stages);
}

KERNEL BOUNDS(GEMM_THREADS, 1) check_bf16(u64 *results, const char *a, const char *b, u64 row_bytes, int stages)
{
    check_block<Bf16>(results, a, b, row_bytes, stages);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products of 8-bit floating point numbers by tensor cores since Ada. */
#include "gemm.h"

KERNEL BOUNDS(GEMM_THREADS, 1)
    gemm_e4m3(float *out, const char *a, const char *b, u32 rows, u32 columns, u64 row_bytes, int stages)
{
    gemm_block<E4m3>(out, a, b, rows, columns, row_bytes, stages);
}

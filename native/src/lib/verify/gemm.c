/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of dense matrices, in tiles of four rows by one vector that stay in registers.
 *
 * Each element is summed in the order of k, so the width of the vectors does not show. Four kernels: both
 * precisions, each with a rounding after every product ("gemm") and with fused ones ("gemm_fma").
 * These files are compiled with -ffp-contract=off, for gcc would fuse even intrinsics.
 */
#include "kernels.h"
#include "vectors.h"

/* Rounds are few where a CPU without fused products must compute them in software. */
enum { N = 64, ROUNDS_multiply_add = 3, ROUNDS_fma = 1 };

/* Products are as large as their factors: both have values of about 4, and each sum of 64 is divided by 32. */
static double *fp64_operands(uint64_t seed, double *scratch)
{
    np_verify_fill_fp64(seed, scratch, 2 * N * N);
    for (size_t i = 0; i < N * N; i++)
        scratch[i] /= 32;
    return scratch;
}

static float *fp32_operands(uint64_t seed, float *scratch)
{
    np_verify_fill_fp32(seed, scratch, 2 * N * N);
    for (size_t i = 0; i < N * N; i++)
        scratch[i] /= 32;
    return scratch;
}

/* C = A B, then (A B) B, then (A B) B B: an odd number of rounds ends in the output. */

#define GEMM(NAME, TYPE, SCALAR, ISA, STEP)                                                                            \
    TARGET_##ISA static void NAME##_tiles_##ISA(const SCALAR *a, const SCALAR *b, SCALAR *c)                           \
    {                                                                                                                  \
        for (size_t i = 0; i < N; i += 4) {                                                                            \
            for (size_t j = 0; j < N; j += TYPE##_##ISA##_lanes) {                                                     \
                TYPE##_##ISA sum0 = TYPE##_##ISA##_all(0), sum1 = sum0, sum2 = sum0, sum3 = sum0;                      \
                for (size_t k = 0; k < N; k++) {                                                                       \
                    const TYPE##_##ISA row = TYPE##_##ISA##_load(&b[k * N + j]);                                       \
                    sum0 = TYPE##_##ISA##_##STEP(TYPE##_##ISA##_all(a[i * N + k]), row, sum0);                         \
                    sum1 = TYPE##_##ISA##_##STEP(TYPE##_##ISA##_all(a[(i + 1) * N + k]), row, sum1);                   \
                    sum2 = TYPE##_##ISA##_##STEP(TYPE##_##ISA##_all(a[(i + 2) * N + k]), row, sum2);                   \
                    sum3 = TYPE##_##ISA##_##STEP(TYPE##_##ISA##_all(a[(i + 3) * N + k]), row, sum3);                   \
                }                                                                                                      \
                TYPE##_##ISA##_store(&c[i * N + j], sum0);                                                             \
                TYPE##_##ISA##_store(&c[(i + 1) * N + j], sum1);                                                       \
                TYPE##_##ISA##_store(&c[(i + 2) * N + j], sum2);                                                       \
                TYPE##_##ISA##_store(&c[(i + 3) * N + j], sum3);                                                       \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static void NAME##_##ISA(uint64_t seed, void *scratch, void *output)                                               \
    {                                                                                                                  \
        SCALAR *a = TYPE##_operands(seed, scratch), *b = a + N * N, *c = output;                                       \
        for (int round = 0; round < ROUNDS_##STEP; round++)                                                            \
            NAME##_tiles_##ISA(round % 2 == 0 ? a : c, b, round % 2 == 0 ? c : a);                                     \
    }

#if defined(__x86_64__)
#define FUSED(NAME, TYPE, SCALAR)                                                                                      \
    GEMM(NAME, TYPE, SCALAR, generic, fma)                                                                             \
    GEMM(NAME, TYPE, SCALAR, avx2, fma)                                                                                \
    GEMM(NAME, TYPE, SCALAR, avx512, fma)                                                                              \
    static const struct np_verify_variant NAME[] = {{NP_ISA_GENERIC, np_verify_has_generic, NAME##_generic},           \
                                                    {NP_ISA_AVX2, np_verify_has_avx2, NAME##_avx2},                    \
                                                    {NP_ISA_AVX512, np_verify_has_avx512, NAME##_avx512}};
#define ROUNDED(NAME, TYPE, SCALAR)                                                                                    \
    GEMM(NAME, TYPE, SCALAR, generic, multiply_add)                                                                    \
    GEMM(NAME, TYPE, SCALAR, sse2, multiply_add)                                                                       \
    GEMM(NAME, TYPE, SCALAR, avx2, multiply_add)                                                                       \
    GEMM(NAME, TYPE, SCALAR, avx512, multiply_add)                                                                     \
    static const struct np_verify_variant NAME[] = {{NP_ISA_GENERIC, np_verify_has_generic, NAME##_generic},           \
                                                    {NP_ISA_SSE2, np_verify_has_sse2, NAME##_sse2},                    \
                                                    {NP_ISA_AVX2, np_verify_has_avx2, NAME##_avx2},                    \
                                                    {NP_ISA_AVX512, np_verify_has_avx512, NAME##_avx512}};
#elif defined(__aarch64__)
#define ON_ARM(NAME, TYPE, SCALAR, STEP)                                                                               \
    GEMM(NAME, TYPE, SCALAR, generic, STEP)                                                                            \
    GEMM(NAME, TYPE, SCALAR, neon, STEP)                                                                               \
    GEMM(NAME, TYPE, SCALAR, sve, STEP)                                                                                \
    static const struct np_verify_variant NAME[] = {{NP_ISA_GENERIC, np_verify_has_generic, NAME##_generic},           \
                                                    {NP_ISA_NEON, np_verify_has_neon, NAME##_neon},                    \
                                                    {NP_ISA_SVE, np_verify_has_sve, NAME##_sve}};
#define FUSED(NAME, TYPE, SCALAR) ON_ARM(NAME, TYPE, SCALAR, fma)
#define ROUNDED(NAME, TYPE, SCALAR) ON_ARM(NAME, TYPE, SCALAR, multiply_add)
#else
#define PLAIN(NAME, TYPE, SCALAR, STEP)                                                                                \
    GEMM(NAME, TYPE, SCALAR, generic, STEP)                                                                            \
    static const struct np_verify_variant NAME[] = {{NP_ISA_GENERIC, np_verify_has_generic, NAME##_generic}};
#define FUSED(NAME, TYPE, SCALAR) PLAIN(NAME, TYPE, SCALAR, fma)
#define ROUNDED(NAME, TYPE, SCALAR) PLAIN(NAME, TYPE, SCALAR, multiply_add)
#endif

ROUNDED(rounded_fp64, fp64, double)
ROUNDED(rounded_fp32, fp32, float)
FUSED(fused_fp64, fp64, double)
FUSED(fused_fp32, fp32, float)

#define KERNEL(NAME, SCALAR, HASH, VARIANTS)                                                                           \
    {.name = NAME,                                                                                                     \
     .output_bytes = N * N * sizeof(SCALAR),                                                                           \
     .scratch_bytes = 2 * N * N * sizeof(SCALAR),                                                                      \
     .standard_hash = UINT64_C(HASH),                                                                                  \
     .variant_count = NP_COUNT(VARIANTS),                                                                              \
     .variants = VARIANTS}

const struct np_verify_kernel np_verify_gemm_fp64 = KERNEL("gemm_fp64", double, 0x770306edbe05c9a7, rounded_fp64);
const struct np_verify_kernel np_verify_gemm_fp32 = KERNEL("gemm_fp32", float, 0x5b224326e7dcc43b, rounded_fp32);
const struct np_verify_kernel np_verify_gemm_fma_fp64 = KERNEL("gemm_fma_fp64", double, 0xfb50e66ef5ce05ce, fused_fp64);
const struct np_verify_kernel np_verify_gemm_fma_fp32 = KERNEL("gemm_fma_fp32", float, 0x50f21ec7572a539d, fused_fp32);

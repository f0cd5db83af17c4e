/* SPDX-License-Identifier: Apache-2.0 */
#if defined(__x86_64__)
#include <emmintrin.h>

#include "table.h"

/* There is no FMA: a product of its own comes before each sum. */
#define EACH(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11)
#define BYTES 16

#define NAME fp64
#define TARGET
#define VECTOR __m128d
#define OPERANDS const __m128d factor = _mm_set1_pd(NP_FLOPS_FACTOR)
#define FIRST(v) _mm_set1_pd(v)
#define STEP(x)                                                                                                        \
    __m128d product_##x;                                                                                               \
    __asm__ volatile("movapd %0, %1; mulpd %2, %1; addpd %1, %0" : "+x"(x), "=&x"(product_##x) : "x"(factor))
#define SAVE(p, x) _mm_store_pd((double *)(void *)(p), x)
#include "kernel.h"

#define NAME fp32
#define TARGET
#define VECTOR __m128
#define OPERANDS const __m128 factor = _mm_set1_ps(NP_FLOPS_FACTOR)
#define FIRST(v) _mm_set1_ps(v)
#define STEP(x)                                                                                                        \
    __m128 product_##x;                                                                                                \
    __asm__ volatile("movaps %0, %1; mulps %2, %1; addps %1, %0" : "+x"(x), "=&x"(product_##x) : "x"(factor))
#define SAVE(p, x) _mm_store_ps((float *)(void *)(p), x)
#include "kernel.h"

np_flops_table np_flops_sse2 = {
    [NP_FP64] = {{.run = fp64, .vectors = 12, .vector_bytes = BYTES, .products = 1}},
    [NP_FP32] = {{.run = fp32, .vectors = 12, .vector_bytes = BYTES, .products = 1}},
};
#else
typedef int no_sse2; /* ISO C wants something in a file */
#endif

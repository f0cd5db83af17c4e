/* SPDX-License-Identifier: Apache-2.0 */
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#include "table.h"

/* Two units of a latency of four or five cycles want ten; there are 16 registers. */
#define EACH(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11)
#define BYTES 32

#define NAME fp64
#define TARGET __attribute__((target("avx2,fma")))
#define VECTOR __m256d
#define OPERANDS const __m256d factor = _mm256_set1_pd(NP_FLOPS_FACTOR)
#define FIRST(v) _mm256_set1_pd(v)
#define STEP(x) __asm__ volatile("vfmadd231pd %1, %0, %0" : "+x"(x) : "x"(factor))
#define SAVE(p, x) _mm256_store_pd((double *)(void *)(p), x)
#include "kernel.h"

#define NAME fp32
#define TARGET __attribute__((target("avx2,fma")))
#define VECTOR __m256
#define OPERANDS const __m256 factor = _mm256_set1_ps(NP_FLOPS_FACTOR)
#define FIRST(v) _mm256_set1_ps(v)
#define STEP(x) __asm__ volatile("vfmadd231ps %1, %0, %0" : "+x"(x) : "x"(factor))
#define SAVE(p, x) _mm256_store_ps((float *)(void *)(p), x)
#include "kernel.h"

/* Products of unsigned by signed bytes; without {vex} the assembler takes the form of AVX-512. */
#define NAME int8
#define TARGET __attribute__((target("avx2,avxvnni")))
#define VECTOR __m256i
#define OPERANDS const __m256i a = _mm256_set1_epi32(0x0b070503), b = _mm256_set1_epi32((int)0xe913ef0d)
#define FIRST(v) _mm256_set1_epi32(v)
#define STEP(x) __asm__ volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(x) : "x"(a), "x"(b))
#define SAVE(p, x) _mm256_store_si256((__m256i *)(void *)(p), x)
#include "kernel.h"

/* Leaf 7 of CPUID, sub-leaf 1, Intel SDM volume 2A: clang 16's __builtin_cpu_supports does not know it. */
static bool has_vnni(void)
{
    enum { EAX_AVX_VNNI = 1 << 4 };
    unsigned int a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & EAX_AVX_VNNI);
}

np_flops_table np_flops_avx2 = {
    [NP_FP64] = {{.run = fp64, .vectors = 12, .vector_bytes = BYTES, .products = 1}},
    [NP_FP32] = {{.run = fp32, .vectors = 12, .vector_bytes = BYTES, .products = 1}},
    [NP_INT8] = {{.run = int8, .vectors = 12, .vector_bytes = BYTES, .products = 4, .is_supported = has_vnni}},
};
#else
typedef int no_avx2; /* ISO C wants something in a file */
#endif

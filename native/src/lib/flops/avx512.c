/* SPDX-License-Identifier: Apache-2.0 */
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#include "table.h"

/* Two units of a latency of four to six cycles want twelve. */
#define EACH(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11) m(12) m(13) m(14) m(15)
#define BYTES 64

#define NAME fp64
#define TARGET __attribute__((target("avx512f")))
#define VECTOR __m512d
#define OPERANDS const __m512d factor = _mm512_set1_pd(NP_FLOPS_FACTOR)
#define FIRST(v) _mm512_set1_pd(v)
#define STEP(x) __asm__ volatile("vfmadd231pd %1, %0, %0" : "+v"(x) : "v"(factor))
#define SAVE(p, x) _mm512_store_pd(p, x)
#include "kernel.h"

#define NAME fp32
#define TARGET __attribute__((target("avx512f")))
#define VECTOR __m512
#define OPERANDS const __m512 factor = _mm512_set1_ps(NP_FLOPS_FACTOR)
#define FIRST(v) _mm512_set1_ps(v)
#define STEP(x) __asm__ volatile("vfmadd231ps %1, %0, %0" : "+v"(x) : "v"(factor))
#define SAVE(p, x) _mm512_store_ps(p, x)
#include "kernel.h"

/* 3 * 5 and -7 * 2 in each pair */
#define NAME bf16
#define TARGET __attribute__((target("avx512f,avx512bf16")))
#define VECTOR __m512
#define OPERANDS const __m512i a = _mm512_set1_epi32((int)0xc0e04040), b = _mm512_set1_epi32(0x400040a0)
#define FIRST(v) _mm512_set1_ps(v)
#define STEP(x) __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(x) : "v"(a), "v"(b))
#define SAVE(p, x) _mm512_store_ps(p, x)
#include "kernel.h"

/* 3 * 13, 5 * -17, 7 * 19 and 11 * -23 in each four */
#define NAME int8
#define TARGET __attribute__((target("avx512f,avx512vnni")))
#define VECTOR __m512i
#define OPERANDS const __m512i a = _mm512_set1_epi32(0x0b070503), b = _mm512_set1_epi32((int)0xe913ef0d)
#define FIRST(v) _mm512_set1_epi32(v)
#define STEP(x) __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(x) : "v"(a), "v"(b))
#define SAVE(p, x) _mm512_store_si512(p, x)
#include "kernel.h"

/* Leaf 7 of CPUID, Intel SDM volume 2A. */
static bool has_bf16(void)
{
    enum { EAX_AVX512_BF16 = 1 << 5 };
    unsigned int a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & EAX_AVX512_BF16);
}

static bool has_vnni(void)
{
    enum { ECX_AVX512_VNNI = 1 << 11 };
    unsigned int a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & ECX_AVX512_VNNI);
}

np_flops_table np_flops_avx512 = {
    [NP_FP64] = {{.run = fp64, .vectors = 16, .vector_bytes = BYTES, .products = 1}},
    [NP_FP32] = {{.run = fp32, .vectors = 16, .vector_bytes = BYTES, .products = 1}},
    [NP_BF16] = {{.run = bf16, .vectors = 16, .vector_bytes = BYTES, .products = 2, .is_supported = has_bf16}},
    [NP_INT8] = {{.run = int8, .vectors = 16, .vector_bytes = BYTES, .products = 4, .is_supported = has_vnni}},
};
#else
typedef int no_avx512; /* ISO C wants something in a file */
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floating-point vectors of each ISA under one set of names, so that a kernel is written once.
 * The operators + - * / of C work on all of them but SVE's.
 */
#ifndef NODEPROOF_LIB_VERIFY_VECTORS_H
#define NODEPROOF_LIB_VERIFY_VECTORS_H

#include <math.h>

#define TARGET_generic
typedef double fp64_generic;
#define fp64_generic_lanes 1
#define fp64_generic_load(from) (*(from))
#define fp64_generic_store(to, value) (*(to) = (value))
#define fp64_generic_all(scalar) (scalar)
#define fp64_generic_multiply_add(a, b, c) ((a) * (b) + (c))
#define fp64_generic_fma(a, b, c) fma(a, b, c)
#define fp64_generic_sqrt(a) sqrt(a)
typedef float fp32_generic;
#define fp32_generic_lanes 1
#define fp32_generic_load(from) (*(from))
#define fp32_generic_store(to, value) (*(to) = (value))
#define fp32_generic_all(scalar) (scalar)
#define fp32_generic_multiply_add(a, b, c) ((a) * (b) + (c))
#define fp32_generic_fma(a, b, c) fmaf(a, b, c)

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET_sse2
typedef __m128d fp64_sse2;
#define fp64_sse2_lanes 2
#define fp64_sse2_load _mm_load_pd
#define fp64_sse2_store _mm_store_pd
#define fp64_sse2_all _mm_set1_pd
#define fp64_sse2_multiply_add(a, b, c) ((a) * (b) + (c))
#define fp64_sse2_sqrt _mm_sqrt_pd
typedef __m128 fp32_sse2;
#define fp32_sse2_lanes 4
#define fp32_sse2_load _mm_load_ps
#define fp32_sse2_store _mm_store_ps
#define fp32_sse2_all _mm_set1_ps
#define fp32_sse2_multiply_add(a, b, c) ((a) * (b) + (c))

#define TARGET_avx2 __attribute__((target("avx2,fma")))
typedef __m256d fp64_avx2;
#define fp64_avx2_lanes 4
#define fp64_avx2_load _mm256_load_pd
#define fp64_avx2_store _mm256_store_pd
#define fp64_avx2_all _mm256_set1_pd
#define fp64_avx2_multiply_add(a, b, c) ((a) * (b) + (c))
#define fp64_avx2_fma _mm256_fmadd_pd
#define fp64_avx2_sqrt _mm256_sqrt_pd
typedef __m256 fp32_avx2;
#define fp32_avx2_lanes 8
#define fp32_avx2_load _mm256_load_ps
#define fp32_avx2_store _mm256_store_ps
#define fp32_avx2_all _mm256_set1_ps
#define fp32_avx2_multiply_add(a, b, c) ((a) * (b) + (c))
#define fp32_avx2_fma _mm256_fmadd_ps

#define TARGET_avx512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl")))
typedef __m512d fp64_avx512;
#define fp64_avx512_lanes 8
#define fp64_avx512_load _mm512_load_pd
#define fp64_avx512_store _mm512_store_pd
#define fp64_avx512_all _mm512_set1_pd
#define fp64_avx512_multiply_add(a, b, c) ((a) * (b) + (c))
#define fp64_avx512_fma _mm512_fmadd_pd
#define fp64_avx512_sqrt _mm512_sqrt_pd
typedef __m512 fp32_avx512;
#define fp32_avx512_lanes 16
#define fp32_avx512_load _mm512_load_ps
#define fp32_avx512_store _mm512_store_ps
#define fp32_avx512_all _mm512_set1_ps
#define fp32_avx512_multiply_add(a, b, c) ((a) * (b) + (c))
#define fp32_avx512_fma _mm512_fmadd_ps

#elif defined(__aarch64__)
#include <arm_neon.h>
#include <arm_sve.h>

#define TARGET_neon
typedef float64x2_t fp64_neon;
#define fp64_neon_lanes 2
#define fp64_neon_load vld1q_f64
#define fp64_neon_store vst1q_f64
#define fp64_neon_all vdupq_n_f64
#define fp64_neon_multiply_add(a, b, c) ((a) * (b) + (c))
#define fp64_neon_fma(a, b, c) vfmaq_f64(c, a, b)
#define fp64_neon_sqrt vsqrtq_f64
typedef float32x4_t fp32_neon;
#define fp32_neon_lanes 4
#define fp32_neon_load vld1q_f32
#define fp32_neon_store vst1q_f32
#define fp32_neon_all vdupq_n_f32
#define fp32_neon_multiply_add(a, b, c) ((a) * (b) + (c))
#define fp32_neon_fma(a, b, c) vfmaq_f32(c, a, b)

#define TARGET_sve __attribute__((target("+sve")))
typedef svfloat64_t fp64_sve;
#define fp64_sve_lanes svcntd()
#define fp64_sve_load(from) svld1_f64(svptrue_b64(), from)
#define fp64_sve_store(to, value) svst1_f64(svptrue_b64(), to, value)
#define fp64_sve_all svdup_n_f64
#define fp64_sve_fma(a, b, c) svmla_f64_x(svptrue_b64(), c, a, b)
#define fp64_sve_multiply_add(a, b, c) svadd_f64_x(svptrue_b64(), svmul_f64_x(svptrue_b64(), a, b), c)
typedef svfloat32_t fp32_sve;
#define fp32_sve_lanes svcntw()
#define fp32_sve_load(from) svld1_f32(svptrue_b32(), from)
#define fp32_sve_store(to, value) svst1_f32(svptrue_b32(), to, value)
#define fp32_sve_all svdup_n_f32
#define fp32_sve_fma(a, b, c) svmla_f32_x(svptrue_b32(), c, a, b)
#define fp32_sve_multiply_add(a, b, c) svadd_f32_x(svptrue_b32(), svmul_f32_x(svptrue_b32(), a, b), c)
#endif

#endif

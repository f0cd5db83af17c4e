/* SPDX-License-Identifier: Apache-2.0 */
#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma")))
#define VECTOR __m256d
#define LANES 4
#define SET(s) _mm256_set1_pd(s)
#define LOAD(p) _mm256_load_pd(p)
#define STORE(p, v) _mm256_store_pd(p, v)
#define AROUND(p, v) _mm256_stream_pd(p, v)
#define ADD(x, y) _mm256_add_pd(x, y)
#define MULTIPLY(x, y) _mm256_mul_pd(x, y)
#define FUSED(x, y, z) _mm256_fmadd_pd(x, y, z)
#define SUM(v) ((v)[0] + (v)[1] + (v)[2] + (v)[3])
#define FENCE() _mm_sfence()

#include "kernels.h"

np_stream_fn *const np_stream_avx2[NP_STREAM_OP_COUNT] = STREAM_TABLE;
#else
typedef int no_avx2; /* ISO C wants something in a file */
#endif

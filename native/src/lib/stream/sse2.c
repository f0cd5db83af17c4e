/* SPDX-License-Identifier: Apache-2.0 */
#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET
#define VECTOR __m128d
#define LANES 2
#define SET(s) _mm_set1_pd(s)
#define LOAD(p) _mm_load_pd(p)
#define STORE(p, v) _mm_store_pd(p, v)
#define AROUND(p, v) _mm_stream_pd(p, v)
#define ADD(x, y) _mm_add_pd(x, y)
#define MULTIPLY(x, y) _mm_mul_pd(x, y)
#define FUSED(x, y, z) _mm_add_pd(_mm_mul_pd(x, y), z)
#define SUM(v) ((v)[0] + (v)[1])
#define FENCE() _mm_sfence()

#include "kernels.h"

np_stream_fn *const np_stream_sse2[NP_STREAM_OP_COUNT] = STREAM_TABLE;
#else
typedef int no_sse2; /* ISO C wants something in a file */
#endif

/* SPDX-License-Identifier: Apache-2.0 */
#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f")))
#define VECTOR __m512d
#define LANES 8
#define SET(s) _mm512_set1_pd(s)
#define LOAD(p) _mm512_load_pd(p)
#define STORE(p, v) _mm512_store_pd(p, v)
#define AROUND(p, v) _mm512_stream_pd(p, v)
#define ADD(x, y) _mm512_add_pd(x, y)
#define MULTIPLY(x, y) _mm512_mul_pd(x, y)
#define FUSED(x, y, z) _mm512_fmadd_pd(x, y, z)
#define SUM(v) _mm512_reduce_add_pd(v)
#define FENCE() _mm_sfence()

#include "kernels.h"

np_stream_fn *const np_stream_avx512[NP_STREAM_OP_COUNT] = STREAM_TABLE;
#else
typedef int no_avx512; /* ISO C wants something in a file */
#endif

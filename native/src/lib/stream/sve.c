/* SPDX-License-Identifier: Apache-2.0 */
#if defined(__aarch64__)
#pragma GCC target("+sve")
#include <arm_sve.h>

#define TARGET __attribute__((target("+sve")))
#define VECTOR svfloat64_t
#define LANES svcntd() /* 2 to 32 */
#define ALL svptrue_b64()
#define SET(s) svdup_f64(s)
#define LOAD(p) svld1_f64(ALL, p)
#define STORE(p, v) svst1_f64(ALL, p, v)
#define AROUND(p, v) svstnt1_f64(ALL, p, v)
#define ADD(x, y) svadd_f64_x(ALL, x, y)
#define MULTIPLY(x, y) svmul_f64_x(ALL, x, y)
#define FUSED(x, y, z) svmla_f64_x(ALL, z, x, y)
#define SUM(v) svaddv_f64(ALL, v)
#define FENCE() __asm__ volatile("dmb ishst" : : : "memory")

#include "kernels.h"

np_stream_fn *const np_stream_sve[NP_STREAM_OP_COUNT] = STREAM_TABLE;
#else
typedef int no_sve; /* ISO C wants something in a file */
#endif

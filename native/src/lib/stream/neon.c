/* SPDX-License-Identifier: Apache-2.0 */
#if defined(__aarch64__)
#include <arm_neon.h>

/* Two vectors at once: a pair is the only store that aarch64 has around the cache. */
struct pair {
    float64x2_t low, high;
};

static inline struct pair set(double s)
{
    return (struct pair){vdupq_n_f64(s), vdupq_n_f64(s)};
}

static inline struct pair load(const double *p)
{
    return (struct pair){vld1q_f64(p), vld1q_f64(p + 2)};
}

static inline void store(double *p, struct pair v)
{
    vst1q_f64(p, v.low);
    vst1q_f64(p + 2, v.high);
}

static inline void store_around(double *p, struct pair v)
{
    __asm__ volatile("stnp %q1, %q2, [%0]" : : "r"(p), "w"(v.low), "w"(v.high) : "memory");
}

static inline struct pair add(struct pair x, struct pair y)
{
    return (struct pair){vaddq_f64(x.low, y.low), vaddq_f64(x.high, y.high)};
}

static inline struct pair multiply(struct pair x, struct pair y)
{
    return (struct pair){vmulq_f64(x.low, y.low), vmulq_f64(x.high, y.high)};
}

static inline struct pair fused(struct pair x, struct pair y, struct pair z)
{
    return (struct pair){vfmaq_f64(z.low, x.low, y.low), vfmaq_f64(z.high, x.high, y.high)};
}

#define TARGET
#define VECTOR struct pair
#define LANES 4
#define SET(s) set(s)
#define LOAD(p) load(p)
#define STORE(p, v) store(p, v)
#define AROUND(p, v) store_around(p, v)
#define ADD(x, y) add(x, y)
#define MULTIPLY(x, y) multiply(x, y)
#define FUSED(x, y, z) fused(x, y, z)
#define SUM(v) (vaddvq_f64((v).low) + vaddvq_f64((v).high))
#define FENCE() __asm__ volatile("dmb ishst" : : : "memory")

#include "kernels.h"

np_stream_fn *const np_stream_neon[NP_STREAM_OP_COUNT] = STREAM_TABLE;
#else
typedef int no_neon; /* ISO C wants something in a file */
#endif

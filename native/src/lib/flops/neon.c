/* SPDX-License-Identifier: Apache-2.0 */
#if defined(__aarch64__)
#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>

#include "table.h"

/* Four units of a latency of four cycles want 16, two of nine (A64FX) 18; there are 32 registers. */
#define EACH(m)                                                                                                        \
    m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11) m(12) m(13) m(14) m(15) m(16) m(17) m(18) m(19)      \
        m(20) m(21) m(22) m(23)
#define BYTES 16

#define NAME fp64
#define TARGET
#define VECTOR float64x2_t
#define OPERANDS const float64x2_t factor = vdupq_n_f64(NP_FLOPS_FACTOR)
#define FIRST(v) vdupq_n_f64(v)
#define STEP(x) __asm__ volatile("fmla %0.2d, %0.2d, %1.2d" : "+w"(x) : "w"(factor))
#define SAVE(p, x) vst1q_f64((double *)(void *)(p), x)
#include "kernel.h"

#define NAME fp32
#define TARGET
#define VECTOR float32x4_t
#define OPERANDS const float32x4_t factor = vdupq_n_f32(NP_FLOPS_FACTOR)
#define FIRST(v) vdupq_n_f32(v)
#define STEP(x) __asm__ volatile("fmla %0.4s, %0.4s, %1.4s" : "+w"(x) : "w"(factor))
#define SAVE(p, x) vst1q_f32((float *)(void *)(p), x)
#include "kernel.h"

/* 3 * 5 and -7 * 2 in each pair */
#define NAME bf16
#define TARGET __attribute__((target("arch=armv8.2-a+bf16")))
#define VECTOR float32x4_t
#define OPERANDS const uint32x4_t a = vdupq_n_u32(0xc0e04040), b = vdupq_n_u32(0x400040a0)
#define FIRST(v) vdupq_n_f32(v)
#define STEP(x) __asm__ volatile("bfmmla %0.4s, %1.8h, %2.8h" : "+w"(x) : "w"(a), "w"(b))
#define SAVE(p, x) vst1q_f32((float *)(void *)(p), x)
#include "kernel.h"

/* 3 * 13, 5 * -17, 7 * 19 and 11 * -23 in each four */
#define NAME int8_matrix
#define TARGET __attribute__((target("arch=armv8.2-a+i8mm")))
#define VECTOR int32x4_t
#define OPERANDS const uint32x4_t a = vdupq_n_u32(0x0b070503), b = vdupq_n_u32(0xe913ef0d)
#define FIRST(v) vdupq_n_s32(v)
#define STEP(x) __asm__ volatile("smmla %0.4s, %1.16b, %2.16b" : "+w"(x) : "w"(a), "w"(b))
#define SAVE(p, x) vst1q_s32((int32_t *)(void *)(p), x)
#include "kernel.h"

#define NAME int8_dot
#define TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#define VECTOR int32x4_t
#define OPERANDS const uint32x4_t a = vdupq_n_u32(0x0b070503), b = vdupq_n_u32(0xe913ef0d)
#define FIRST(v) vdupq_n_s32(v)
#define STEP(x) __asm__ volatile("sdot %0.4s, %1.16b, %2.16b" : "+w"(x) : "w"(a), "w"(b))
#define SAVE(p, x) vst1q_s32((int32_t *)(void *)(p), x)
#include "kernel.h"

static bool has_bf16(void)
{
    return getauxval(AT_HWCAP2) & HWCAP2_BF16;
}

static bool has_matrix(void)
{
    return getauxval(AT_HWCAP2) & HWCAP2_I8MM;
}

static bool has_dot(void)
{
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
}

np_flops_table np_flops_neon = {
    [NP_FP64] = {{.run = fp64, .vectors = 24, .vector_bytes = BYTES, .products = 1}},
    [NP_FP32] = {{.run = fp32, .vectors = 24, .vector_bytes = BYTES, .products = 1}},
    [NP_BF16] = {{.run = bf16, .vectors = 24, .vector_bytes = BYTES, .products = 4, .is_supported = has_bf16}},
    [NP_INT8] = {{.run = int8_matrix, .vectors = 24, .vector_bytes = BYTES, .products = 8, .is_supported = has_matrix},
                 {.run = int8_dot, .vectors = 24, .vector_bytes = BYTES, .products = 4, .is_supported = has_dot}},
};
#else
typedef int no_neon; /* ISO C wants something in a file */
#endif

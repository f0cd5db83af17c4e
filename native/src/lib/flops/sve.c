/* SPDX-License-Identifier: Apache-2.0 */
#if defined(__aarch64__)
#pragma GCC target("+sve")
#include <arm_sve.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>

#include "table.h"

/* Four units of a latency of four cycles want 16, two of nine (A64FX) 18; there are 32 registers. */
#define EACH(m)                                                                                                        \
    m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11) m(12) m(13) m(14) m(15) m(16) m(17) m(18) m(19)      \
        m(20) m(21) m(22) m(23)
#define BYTES svcntb()

#define NAME fp64
#define TARGET __attribute__((target("+sve")))
#define VECTOR svfloat64_t
#define OPERANDS                                                                                                       \
    const svbool_t all = svptrue_b64();                                                                                \
    const svfloat64_t factor = svdup_f64(NP_FLOPS_FACTOR)
#define FIRST(v) svdup_f64(v)
#define STEP(x) __asm__ volatile("fmla %0.d, %1/m, %0.d, %2.d" : "+w"(x) : "Upl"(all), "w"(factor))
#define SAVE(p, x) svst1_f64(all, (double *)(void *)(p), x)
#include "kernel.h"

#define NAME fp32
#define TARGET __attribute__((target("+sve")))
#define VECTOR svfloat32_t
#define OPERANDS                                                                                                       \
    const svbool_t all = svptrue_b32();                                                                                \
    const svfloat32_t factor = svdup_f32(NP_FLOPS_FACTOR)
#define FIRST(v) svdup_f32(v)
#define STEP(x) __asm__ volatile("fmla %0.s, %1/m, %0.s, %2.s" : "+w"(x) : "Upl"(all), "w"(factor))
#define SAVE(p, x) svst1_f32(all, (float *)(void *)(p), x)
#include "kernel.h"

/* 3 * 5 and -7 * 2 in each pair */
#define NAME bf16
#define TARGET __attribute__((target("arch=armv8.2-a+sve+bf16")))
#define VECTOR svfloat32_t
#define OPERANDS const svuint32_t a = svdup_u32(0xc0e04040), b = svdup_u32(0x400040a0)
#define FIRST(v) svdup_f32(v)
#define STEP(x) __asm__ volatile("bfmmla %0.s, %1.h, %2.h" : "+w"(x) : "w"(a), "w"(b))
#define SAVE(p, x) svst1_f32(svptrue_b32(), (float *)(void *)(p), x)
#include "kernel.h"

/* 3 * 13, 5 * -17, 7 * 19 and 11 * -23 in each four */
#define NAME int8_matrix
#define TARGET __attribute__((target("arch=armv8.2-a+sve+i8mm")))
#define VECTOR svint32_t
#define OPERANDS const svuint32_t a = svdup_u32(0x0b070503), b = svdup_u32(0xe913ef0d)
#define FIRST(v) svdup_s32(v)
#define STEP(x) __asm__ volatile("smmla %0.s, %1.b, %2.b" : "+w"(x) : "w"(a), "w"(b))
#define SAVE(p, x) svst1_s32(svptrue_b32(), (int32_t *)(void *)(p), x)
#include "kernel.h"

#define NAME int8_dot
#define TARGET __attribute__((target("+sve")))
#define VECTOR svint32_t
#define OPERANDS const svuint32_t a = svdup_u32(0x0b070503), b = svdup_u32(0xe913ef0d)
#define FIRST(v) svdup_s32(v)
#define STEP(x) __asm__ volatile("sdot %0.s, %1.b, %2.b" : "+w"(x) : "w"(a), "w"(b))
#define SAVE(p, x) svst1_s32(svptrue_b32(), (int32_t *)(void *)(p), x)
#include "kernel.h"

static bool has_bf16(void)
{
    return getauxval(AT_HWCAP2) & HWCAP2_SVEBF16;
}

static bool has_matrix(void)
{
    return getauxval(AT_HWCAP2) & HWCAP2_SVEI8MM;
}

__attribute__((target("+sve"))) size_t np_flops_sve_bytes(void)
{
    return svcntb();
}

np_flops_table np_flops_sve = {
    [NP_FP64] = {{.run = fp64, .vectors = 24, .products = 1}},
    [NP_FP32] = {{.run = fp32, .vectors = 24, .products = 1}},
    [NP_BF16] = {{.run = bf16, .vectors = 24, .products = 4, .is_supported = has_bf16}},
    [NP_INT8] = {{.run = int8_matrix, .vectors = 24, .products = 8, .is_supported = has_matrix},
                 {.run = int8_dot, .vectors = 24, .products = 4}},
};
#else
typedef int no_sve; /* ISO C wants something in a file */
#endif

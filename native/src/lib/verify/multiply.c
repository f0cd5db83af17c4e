/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long chains of modular products (Montgomery 1985), as number-theoretic transforms and
 * lattice cryptography have them: the integer multipliers of the vector units.
 */
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#include <arm_sve.h>
#endif

enum { COUNT = 512, ROUNDS = 256, QUARTER = ROUNDS / 4 };

/* Modulo a prime no factor but zero loses anything: the greatest primes below 2 to the 31. */
static const uint32_t PRIMES[] = {2147483647, 2147483629, 2147483587, 2147483579};

struct modulus {
    uint64_t prime;
    uint64_t inverse; /* -1 / prime modulo 2 to the 32 */
};

/* x[i] = x[i] * y[i] / 2^32 modulo the prime; all below it. */
typedef void product_fn(uint64_t *x, const uint64_t *y, struct modulus by);

static void product_generic(uint64_t *x, const uint64_t *y, struct modulus by)
{
    for (size_t i = 0; i < COUNT; i++) {
        const uint64_t t = x[i] * y[i];
        const uint64_t sum = (t + (uint32_t)(t * by.inverse) * by.prime) >> 32;
        x[i] = sum >= by.prime ? sum - by.prime : sum;
    }
}

#if defined(__x86_64__)
/* Where the subtraction goes below zero, its upper half is all ones: it is undone there. */
static void product_sse2(uint64_t *x, const uint64_t *y, struct modulus by)
{
    const __m128i p = _mm_set1_epi64x((long long)by.prime), inverse = _mm_set1_epi64x((long long)by.inverse);
    for (size_t i = 0; i < COUNT; i += 2) {
        __m128i *const at = (void *)(x + i);
        const __m128i t = _mm_mul_epu32(_mm_load_si128(at), _mm_load_si128((const void *)(y + i)));
        const __m128i m = _mm_mul_epu32(_mm_mul_epu32(t, inverse), p);
        const __m128i less = _mm_sub_epi64(_mm_srli_epi64(_mm_add_epi64(t, m), 32), p);
        _mm_store_si128(at, _mm_add_epi64(less, _mm_and_si128(_mm_shuffle_epi32(less, 0xf5), p)));
    }
}

__attribute__((target("avx2"))) static void product_avx2(uint64_t *x, const uint64_t *y, struct modulus by)
{
    const __m256i p = _mm256_set1_epi64x((long long)by.prime), inverse = _mm256_set1_epi64x((long long)by.inverse);
    for (size_t i = 0; i < COUNT; i += 4) {
        __m256i *const at = (void *)(x + i);
        const __m256i t = _mm256_mul_epu32(_mm256_load_si256(at), _mm256_load_si256((const void *)(y + i)));
        const __m256i m = _mm256_mul_epu32(_mm256_mul_epu32(t, inverse), p);
        const __m256i less = _mm256_sub_epi64(_mm256_srli_epi64(_mm256_add_epi64(t, m), 32), p);
        _mm256_store_si256(at, _mm256_add_epi64(less, _mm256_and_si256(_mm256_shuffle_epi32(less, 0xf5), p)));
    }
}

__attribute__((target("avx512f"))) static void product_avx512(uint64_t *x, const uint64_t *y, struct modulus by)
{
    const __m512i p = _mm512_set1_epi64((long long)by.prime), inverse = _mm512_set1_epi64((long long)by.inverse);
    for (size_t i = 0; i < COUNT; i += 8) {
        const __m512i t = _mm512_mul_epu32(_mm512_load_si512(x + i), _mm512_load_si512(y + i));
        const __m512i m = _mm512_mul_epu32(_mm512_mul_epu32(t, inverse), p);
        const __m512i sum = _mm512_srli_epi64(_mm512_add_epi64(t, m), 32);
        _mm512_store_si512(x + i, _mm512_min_epu64(sum, _mm512_sub_epi64(sum, p)));
    }
}
#elif defined(__aarch64__)
static void product_neon(uint64_t *x, const uint64_t *y, struct modulus by)
{
    const uint32x2_t p = vdup_n_u32((uint32_t)by.prime), inverse = vdup_n_u32((uint32_t)by.inverse);
    const uint64x2_t wide = vdupq_n_u64(by.prime);
    for (size_t i = 0; i < COUNT; i += 2) {
        const uint64x2_t t = vmull_u32(vmovn_u64(vld1q_u64(x + i)), vmovn_u64(vld1q_u64(y + i)));
        const uint64x2_t sum = vshrq_n_u64(vmlal_u32(t, vmul_u32(vmovn_u64(t), inverse), p), 32);
        vst1q_u64(x + i, vsubq_u64(sum, vandq_u64(vcgeq_u64(sum, wide), wide)));
    }
}

__attribute__((target("+sve"))) static void product_sve(uint64_t *x, const uint64_t *y, struct modulus by)
{
    const svbool_t all = svptrue_b64();
    for (size_t i = 0; i < COUNT; i += svcntd()) {
        const svuint64_t t = svmul_u64_x(all, svld1_u64(all, x + i), svld1_u64(all, y + i));
        const svuint64_t m = svand_n_u64_x(all, svmul_n_u64_x(all, t, by.inverse), UINT32_MAX);
        const svuint64_t sum = svlsr_n_u64_x(all, svmla_n_u64_x(all, t, m, by.prime), 32);
        svst1_u64(all, x + i, svmin_u64_x(all, sum, svsub_n_u64_x(all, sum, by.prime)));
    }
}
#endif

/* Newton's iteration doubles the bits that are right: an odd number is its own inverse in three of them. */
static struct modulus modulus_of(uint32_t prime)
{
    uint32_t inverse = prime;
    for (int bits = 3; bits < 32; bits *= 2)
        inverse *= 2 - prime * inverse;
    return (struct modulus){.prime = prime, .inverse = (uint32_t)-inverse};
}

/* Output: the numbers after each quarter of the rounds. Zero, which would stay zero, is left out. */
static void chain(uint64_t seed, uint64_t *factors, uint64_t *output, product_fn *product)
{
    const struct modulus by = modulus_of(PRIMES[seed % NP_COUNT(PRIMES)]);
    uint64_t *x = factors + COUNT;
    for (size_t i = 0; i < COUNT; i++) {
        factors[i] = 1 + (np_verify_random(seed, i) >> 32) % (by.prime - 1);
        x[i] = 1 + (np_verify_random(~seed, i) >> 32) % (by.prime - 1);
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        product(x, factors, by);
        if (round % QUARTER == QUARTER - 1)
            memcpy(output + round / QUARTER * COUNT, x, COUNT * sizeof *x);
    }
}

#define RUN(ISA)                                                                                                       \
    static void run_##ISA(uint64_t seed, void *scratch, void *output)                                                  \
    {                                                                                                                  \
        chain(seed, scratch, output, product_##ISA);                                                                   \
    }
RUN(generic)
#if defined(__x86_64__)
RUN(sse2)
RUN(avx2)
RUN(avx512)
#elif defined(__aarch64__)
RUN(neon)
RUN(sve)
#endif

static const struct np_verify_variant VARIANTS[] = {
    {NP_ISA_GENERIC, np_verify_has_generic, run_generic},
#if defined(__x86_64__)
    {NP_ISA_SSE2, np_verify_has_sse2, run_sse2},
    {NP_ISA_AVX2, np_verify_has_avx2, run_avx2},
    {NP_ISA_AVX512, np_verify_has_avx512, run_avx512},
#elif defined(__aarch64__)
    {NP_ISA_NEON, np_verify_has_neon, run_neon},
    {NP_ISA_SVE, np_verify_has_sve, run_sve},
#endif
};

const struct np_verify_kernel np_verify_multiply = {
    .name = "multiply",
    .output_bytes = ROUNDS / QUARTER * COUNT * sizeof(uint64_t),
    .scratch_bytes = 2 * COUNT * sizeof(uint64_t),
    .standard_hash = UINT64_C(0x8630a47e09817577),
    .variant_count = NP_COUNT(VARIANTS),
    .variants = VARIANTS,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Compare, take minimum and maximum, keep a mask, and pack what the mask selects: what filters and sorts do. */
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { COUNT = 1024, PASSES = 64, STEP = 16, SLACK = 16 };

struct workspace {
    int32_t b[COUNT];
    int32_t kept[COUNT + SLACK];          /* a vector is stored whole even if it keeps less */
    _Alignas(32) uint32_t packer[256][8]; /* for a mask of eight, the lanes that it keeps */
};

struct result {
    int32_t low[COUNT], high[COUNT];
    int32_t kept[COUNT];
    uint16_t masks[PASSES][COUNT / STEP];
};

/* 16 elements: the lower ones to `low`, the higher ones to `high`, those of `a` that are greater to `kept`.
   Returns which were greater. `a` may be `low`. */
typedef uint32_t step_fn(const int32_t *a, const int32_t *b, int32_t *low, int32_t *high, int32_t *kept,
                         const struct workspace *work);

static uint32_t step_generic(const int32_t *a, const int32_t *b, int32_t *low, int32_t *high, int32_t *kept,
                             const struct workspace *work)
{
    uint32_t mask = 0;
    (void)work;
    for (unsigned int i = 0; i < STEP; i++) {
        const int32_t x = a[i], y = b[i];
        const bool is_greater = x > y;
        mask |= (uint32_t)is_greater << i;
        *kept = x;
        kept += is_greater;
        low[i] = is_greater ? y : x;
        high[i] = is_greater ? x : y;
    }
    return mask;
}

#if defined(__x86_64__) || defined(__aarch64__)
static uint32_t keep(uint32_t mask, const int32_t *a, int32_t **kept)
{
    for (uint32_t left = mask; left != 0; left &= left - 1)
        *(*kept)++ = a[__builtin_ctz(left)];
    return mask;
}
#endif

#if defined(__x86_64__)
static uint32_t step_sse2(const int32_t *a, const int32_t *b, int32_t *low, int32_t *high, int32_t *kept,
                          const struct workspace *work)
{
    uint32_t mask = 0;
    (void)work;
    for (unsigned int i = 0; i < STEP; i += 4) {
        const __m128i x = _mm_load_si128((const void *)(a + i)), y = _mm_load_si128((const void *)(b + i));
        const __m128i greater = _mm_cmpgt_epi32(x, y);
        mask |= keep((uint32_t)_mm_movemask_ps(_mm_castsi128_ps(greater)), a + i, &kept) << i;
        _mm_store_si128((void *)(low + i), _mm_or_si128(_mm_and_si128(greater, y), _mm_andnot_si128(greater, x)));
        _mm_store_si128((void *)(high + i), _mm_or_si128(_mm_and_si128(greater, x), _mm_andnot_si128(greater, y)));
    }
    return mask;
}

__attribute__((target("avx2,popcnt"))) static uint32_t
step_avx2(const int32_t *a, const int32_t *b, int32_t *low, int32_t *high, int32_t *kept, const struct workspace *work)
{
    uint32_t mask = 0;
    for (unsigned int i = 0; i < STEP; i += 8) {
        const __m256i x = _mm256_load_si256((const void *)(a + i)), y = _mm256_load_si256((const void *)(b + i));
        const uint32_t bits = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(x, y)));
        const __m256i lanes = _mm256_load_si256((const void *)work->packer[bits]);
        _mm256_storeu_si256((void *)kept, _mm256_permutevar8x32_epi32(x, lanes));
        kept += _mm_popcnt_u32(bits);
        mask |= bits << i;
        _mm256_store_si256((void *)(low + i), _mm256_min_epi32(x, y));
        _mm256_store_si256((void *)(high + i), _mm256_max_epi32(x, y));
    }
    return mask;
}

__attribute__((target("avx512f"))) static uint32_t step_avx512(const int32_t *a, const int32_t *b, int32_t *low,
                                                               int32_t *high, int32_t *kept,
                                                               const struct workspace *work)
{
    const __m512i x = _mm512_load_si512(a), y = _mm512_load_si512(b);
    const __mmask16 greater = _mm512_cmpgt_epi32_mask(x, y);
    (void)work;
    _mm512_storeu_si512(kept, _mm512_maskz_compress_epi32(greater, x));
    _mm512_store_si512(low, _mm512_mask_blend_epi32(greater, x, y));
    _mm512_store_si512(high, _mm512_max_epi32(x, y));
    return greater;
}
#elif defined(__aarch64__)
static uint32_t step_neon(const int32_t *a, const int32_t *b, int32_t *low, int32_t *high, int32_t *kept,
                          const struct workspace *work)
{
    static const uint32_t BITS[] = {1, 2, 4, 8};
    uint32_t mask = 0;
    (void)work;
    for (unsigned int i = 0; i < STEP; i += 4) {
        const int32x4_t x = vld1q_s32(a + i), y = vld1q_s32(b + i);
        const uint32x4_t greater = vcgtq_s32(x, y);
        mask |= keep(vaddvq_u32(vandq_u32(greater, vld1q_u32(BITS))), a + i, &kept) << i;
        vst1q_s32(low + i, vbslq_s32(greater, y, x));
        vst1q_s32(high + i, vmaxq_s32(x, y));
    }
    return mask;
}
#endif

static void fill_packer(uint32_t (*packer)[8])
{
    memset(packer, 0, 256 * sizeof *packer);
    for (uint32_t mask = 0; mask < 256; mask++)
        for (uint32_t lane = 0, kept = 0; lane < 8; lane++)
            if (mask >> lane & 1)
                packer[mask][kept++] = lane;
}

static void pass(struct workspace *work, struct result *result, size_t number, step_fn *step)
{
    size_t kept = 0;
    for (size_t i = 0; i < COUNT; i += STEP) {
        const size_t partner = (i + number * STEP) % COUNT;
        const uint32_t mask =
            step(result->low + i, work->b + partner, result->low + i, result->high + i, work->kept + kept, work);
        result->masks[number][i / STEP] = (uint16_t)mask;
        kept += (size_t)__builtin_popcount(mask);
    }
    for (size_t i = 0; i < kept; i++)
        result->kept[i] = (int32_t)((uint32_t)result->kept[i] * 31 + (uint32_t)work->kept[i]);
    /* Sorted numbers would soon leave nothing to exchange: an odd factor stirs them and loses nothing. */
    for (size_t i = 0; i < COUNT; i++) {
        result->low[i] = (int32_t)((uint32_t)result->low[i] * UINT32_C(0x9e3779b1) + (uint32_t)number);
        work->b[i] = (int32_t)((uint32_t)result->high[i] * UINT32_C(0x85ebca6b));
    }
}

static void passes(uint64_t seed, struct workspace *work, struct result *result, step_fn *step)
{
    fill_packer(work->packer);
    memset(result->kept, 0, sizeof result->kept);
    np_verify_fill(seed, result->low, sizeof result->low);
    np_verify_fill(~seed, work->b, sizeof work->b);
    for (size_t i = 0; i < PASSES; i++)
        pass(work, result, i, step);
}

#define RUN(ISA)                                                                                                       \
    static void run_##ISA(uint64_t seed, void *scratch, void *output)                                                  \
    {                                                                                                                  \
        passes(seed, scratch, output, step_##ISA);                                                                     \
    }
RUN(generic)
#if defined(__x86_64__)
RUN(sse2)
RUN(avx2)
RUN(avx512)
#elif defined(__aarch64__)
RUN(neon)
#endif

static const struct np_verify_variant VARIANTS[] = {
    {NP_ISA_GENERIC, np_verify_has_generic, run_generic},
#if defined(__x86_64__)
    {NP_ISA_SSE2, np_verify_has_sse2, run_sse2},
    {NP_ISA_AVX2, np_verify_has_avx2, run_avx2},
    {NP_ISA_AVX512, np_verify_has_avx512, run_avx512},
#elif defined(__aarch64__)
    {NP_ISA_NEON, np_verify_has_neon, run_neon},
#endif
};

const struct np_verify_kernel np_verify_compact = {
    .name = "compact",
    .output_bytes = sizeof(struct result),
    .scratch_bytes = sizeof(struct workspace),
    .standard_hash = UINT64_C(0x926f472948512b8c),
    .variant_count = NP_COUNT(VARIANTS),
    .variants = VARIANTS,
};

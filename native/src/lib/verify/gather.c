/* SPDX-License-Identifier: Apache-2.0 */
/* Words gathered from and scattered to random places: every place once, so that no error is overwritten. */
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_sve.h>
#endif

enum { WORDS = 2048, PASSES = 32 };

struct workspace {
    uint64_t other[WORDS];
    uint32_t order[WORDS], places[WORDS];
};

/* to[i] = from[places[i]], and the way back: to[places[i]] = from[i]. */
typedef void move_fn(const uint64_t *from, const uint32_t *places, uint64_t *to);

static void gather_generic(const uint64_t *from, const uint32_t *places, uint64_t *to)
{
    for (size_t i = 0; i < WORDS; i++)
        to[i] = from[places[i]];
}

static void scatter_generic(const uint64_t *from, const uint32_t *places, uint64_t *to)
{
    for (size_t i = 0; i < WORDS; i++)
        to[places[i]] = from[i];
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void gather_avx2(const uint64_t *from, const uint32_t *places, uint64_t *to)
{
    for (size_t i = 0; i < WORDS; i += 4) {
        const __m128i index = _mm_load_si128((const void *)(places + i));
        _mm256_store_si256((void *)(to + i), _mm256_i32gather_epi64((const void *)from, index, 8));
    }
}

__attribute__((target("avx512f"))) static void gather_avx512(const uint64_t *from, const uint32_t *places, uint64_t *to)
{
    for (size_t i = 0; i < WORDS; i += 8) {
        const __m256i index = _mm256_load_si256((const void *)(places + i));
        _mm512_store_si512(to + i, _mm512_i32gather_epi64(index, (const void *)from, 8));
    }
}

__attribute__((target("avx512f"))) static void scatter_avx512(const uint64_t *from, const uint32_t *places,
                                                              uint64_t *to)
{
    for (size_t i = 0; i < WORDS; i += 8) {
        const __m256i index = _mm256_load_si256((const void *)(places + i));
        _mm512_i32scatter_epi64((void *)to, index, _mm512_load_si512(from + i), 8);
    }
}
#elif defined(__aarch64__)
__attribute__((target("+sve"))) static void gather_sve(const uint64_t *from, const uint32_t *places, uint64_t *to)
{
    const svbool_t all = svptrue_b64();
    for (size_t i = 0; i < WORDS; i += svcntd())
        svst1_u64(all, to + i, svld1_gather_u64index_u64(all, from, svld1uw_u64(all, places + i)));
}

__attribute__((target("+sve"))) static void scatter_sve(const uint64_t *from, const uint32_t *places, uint64_t *to)
{
    const svbool_t all = svptrue_b64();
    for (size_t i = 0; i < WORDS; i += svcntd())
        svst1_scatter_u64index_u64(all, to, svld1uw_u64(all, places + i), svld1_u64(all, from + i));
}
#endif

static void fill_order(uint64_t seed, uint32_t *order)
{
    for (uint32_t i = 0; i < WORDS; i++)
        order[i] = i;
    for (size_t i = WORDS - 1; i > 0; i--) {
        const size_t other = (np_verify_random(seed, i) >> 32) * (i + 1) >> 32;
        const uint32_t swap = order[i];
        order[i] = order[other];
        order[other] = swap;
    }
}

/* Multiplied by an odd number, modulo a power of two, an order is another order. */
static void passes(uint64_t seed, struct workspace *work, uint64_t *output, move_fn *gather, move_fn *scatter)
{
    fill_order(~seed, work->order);
    np_verify_fill(seed, output, WORDS * sizeof *output);
    for (uint32_t pass = 0; pass < PASSES; pass += 2) {
        for (size_t i = 0; i < WORDS; i++)
            work->places[i] = (work->order[i] * (2 * pass + 1) + pass) % WORDS;
        gather(output, work->places, work->other);
        for (size_t i = 0; i < WORDS; i++)
            work->places[i] = (work->order[i] * (2 * pass + 3) + pass) % WORDS;
        scatter(work->other, work->places, output);
    }
}

#define RUN(ISA, GATHER, SCATTER)                                                                                      \
    static void run_##ISA(uint64_t seed, void *scratch, void *output)                                                  \
    {                                                                                                                  \
        passes(seed, scratch, output, GATHER, SCATTER);                                                                \
    }
RUN(generic, gather_generic, scatter_generic)
#if defined(__x86_64__)
RUN(avx2, gather_avx2, scatter_generic)
RUN(avx512, gather_avx512, scatter_avx512)
#elif defined(__aarch64__)
RUN(sve, gather_sve, scatter_sve)
#endif

static const struct np_verify_variant VARIANTS[] = {
    {NP_ISA_GENERIC, np_verify_has_generic, run_generic},
#if defined(__x86_64__)
    {NP_ISA_AVX2, np_verify_has_avx2, run_avx2},
    {NP_ISA_AVX512, np_verify_has_avx512, run_avx512},
#elif defined(__aarch64__)
    {NP_ISA_SVE, np_verify_has_sve, run_sve},
#endif
};

const struct np_verify_kernel np_verify_gather = {
    .name = "gather",
    .output_bytes = WORDS * sizeof(uint64_t),
    .scratch_bytes = sizeof(struct workspace),
    .standard_hash = UINT64_C(0x42d7256e24bdb47c),
    .variant_count = NP_COUNT(VARIANTS),
    .variants = VARIANTS,
};

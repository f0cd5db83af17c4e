/* SPDX-License-Identifier: Apache-2.0 */
/* A matrix of 32-bit words transposed again and again, in tiles as wide as a vector: unpacks and lane shuffles. */
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { N = 64, PASSES = 32 };

/* Transpose one tile; rows are N apart. */
typedef void tile_fn(const uint32_t *in, uint32_t *out);

static void tile_generic(const uint32_t *in, uint32_t *out)
{
    *out = *in;
}

#if defined(__x86_64__)
static void tile_sse2(const uint32_t *in, uint32_t *out)
{
    __m128i row[4];
    for (int i = 0; i < 4; i++)
        row[i] = _mm_load_si128((const void *)(in + i * N));
    const __m128i a = _mm_unpacklo_epi32(row[0], row[1]), b = _mm_unpackhi_epi32(row[0], row[1]);
    const __m128i c = _mm_unpacklo_epi32(row[2], row[3]), d = _mm_unpackhi_epi32(row[2], row[3]);
    _mm_store_si128((void *)out, _mm_unpacklo_epi64(a, c));
    _mm_store_si128((void *)(out + N), _mm_unpackhi_epi64(a, c));
    _mm_store_si128((void *)(out + 2 * N), _mm_unpacklo_epi64(b, d));
    _mm_store_si128((void *)(out + 3 * N), _mm_unpackhi_epi64(b, d));
}

/* Each 128-bit lane as above; then lanes change places. */
__attribute__((target("avx2"))) static void tile_avx2(const uint32_t *in, uint32_t *out)
{
    __m256i row[8];
    for (int i = 0; i < 8; i += 4) {
        const uint32_t *from = in + i * N;
        const __m256i r0 = _mm256_load_si256((const void *)from), r1 = _mm256_load_si256((const void *)(from + N));
        const __m256i r2 = _mm256_load_si256((const void *)(from + 2 * N));
        const __m256i r3 = _mm256_load_si256((const void *)(from + 3 * N));
        const __m256i a = _mm256_unpacklo_epi32(r0, r1), b = _mm256_unpackhi_epi32(r0, r1);
        const __m256i c = _mm256_unpacklo_epi32(r2, r3), d = _mm256_unpackhi_epi32(r2, r3);
        row[i] = _mm256_unpacklo_epi64(a, c);
        row[i + 1] = _mm256_unpackhi_epi64(a, c);
        row[i + 2] = _mm256_unpacklo_epi64(b, d);
        row[i + 3] = _mm256_unpackhi_epi64(b, d);
    }
    for (int i = 0; i < 4; i++) {
        _mm256_store_si256((void *)(out + i * N), _mm256_permute2x128_si256(row[i], row[i + 4], 0x20));
        _mm256_store_si256((void *)(out + (i + 4) * N), _mm256_permute2x128_si256(row[i], row[i + 4], 0x31));
    }
}

__attribute__((target("avx512f"))) static void tile_avx512(const uint32_t *in, uint32_t *out)
{
    __m512i row[16];
    for (int i = 0; i < 16; i += 4) {
        const uint32_t *from = in + i * N;
        const __m512i r0 = _mm512_load_si512(from), r1 = _mm512_load_si512(from + N);
        const __m512i r2 = _mm512_load_si512(from + 2 * N), r3 = _mm512_load_si512(from + 3 * N);
        const __m512i a = _mm512_unpacklo_epi32(r0, r1), b = _mm512_unpackhi_epi32(r0, r1);
        const __m512i c = _mm512_unpacklo_epi32(r2, r3), d = _mm512_unpackhi_epi32(r2, r3);
        row[i] = _mm512_unpacklo_epi64(a, c);
        row[i + 1] = _mm512_unpackhi_epi64(a, c);
        row[i + 2] = _mm512_unpacklo_epi64(b, d);
        row[i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    for (int i = 0; i < 4; i++) {
        const __m512i a = _mm512_shuffle_i32x4(row[i], row[i + 4], 0x44);
        const __m512i b = _mm512_shuffle_i32x4(row[i], row[i + 4], 0xee);
        const __m512i c = _mm512_shuffle_i32x4(row[i + 8], row[i + 12], 0x44);
        const __m512i d = _mm512_shuffle_i32x4(row[i + 8], row[i + 12], 0xee);
        _mm512_store_si512(out + i * N, _mm512_shuffle_i32x4(a, c, 0x88));
        _mm512_store_si512(out + (i + 4) * N, _mm512_shuffle_i32x4(a, c, 0xdd));
        _mm512_store_si512(out + (i + 8) * N, _mm512_shuffle_i32x4(b, d, 0x88));
        _mm512_store_si512(out + (i + 12) * N, _mm512_shuffle_i32x4(b, d, 0xdd));
    }
}
#elif defined(__aarch64__)
static uint64x2_t words(uint32x4_t x)
{
    return vreinterpretq_u64_u32(x);
}

static void tile_neon(const uint32_t *in, uint32_t *out)
{
    uint32x4_t row[4];
    for (int i = 0; i < 4; i++)
        row[i] = vld1q_u32(in + i * N);
    const uint32x4_t a = vtrn1q_u32(row[0], row[1]), b = vtrn2q_u32(row[0], row[1]);
    const uint32x4_t c = vtrn1q_u32(row[2], row[3]), d = vtrn2q_u32(row[2], row[3]);
    vst1q_u32(out, vreinterpretq_u32_u64(vtrn1q_u64(words(a), words(c))));
    vst1q_u32(out + N, vreinterpretq_u32_u64(vtrn1q_u64(words(b), words(d))));
    vst1q_u32(out + 2 * N, vreinterpretq_u32_u64(vtrn2q_u64(words(a), words(c))));
    vst1q_u32(out + 3 * N, vreinterpretq_u32_u64(vtrn2q_u64(words(b), words(d))));
}
#endif

/* Between two passes every word is changed by its place, else a pair of lanes that is always exchanged would not
   be seen after an even number of them. An odd factor loses nothing. */
static inline void passes(uint64_t seed, uint32_t *other, uint32_t *output, tile_fn *tile, size_t edge)
{
    np_verify_fill(seed, output, N * N * sizeof *output);
    for (size_t pass = 0; pass < PASSES; pass++) {
        for (size_t i = 0; i < N; i += edge)
            for (size_t j = 0; j < N; j += edge)
                tile(output + i * N + j, other + j * N + i);
        for (size_t i = 0; i < N * N; i++)
            output[i] = other[i] * UINT32_C(0x9e3779b1) + (uint32_t)i;
    }
}

#define RUN(ISA, EDGE)                                                                                                 \
    static void run_##ISA(uint64_t seed, void *scratch, void *output)                                                  \
    {                                                                                                                  \
        passes(seed, scratch, output, tile_##ISA, EDGE);                                                               \
    }
RUN(generic, 1)
#if defined(__x86_64__)
RUN(sse2, 4)
RUN(avx2, 8)
RUN(avx512, 16)
#elif defined(__aarch64__)
RUN(neon, 4)
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

const struct np_verify_kernel np_verify_transpose = {
    .name = "transpose",
    .output_bytes = N * N * sizeof(uint32_t),
    .scratch_bytes = N * N * sizeof(uint32_t),
    .standard_hash = UINT64_C(0x8076076c097b2bbb),
    .variant_count = NP_COUNT(VARIANTS),
    .variants = VARIANTS,
};

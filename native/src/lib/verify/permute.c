/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of 64-byte blocks in random orders. Nothing is lost on the way, so that no error can be. */
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { BLOCK = 64, BLOCKS = 256, ORDERS = 32, PASSES = 32 };

struct workspace {
    _Alignas(BLOCK) uint8_t orders[ORDERS][BLOCK];
    uint8_t other[BLOCKS][BLOCK];
};

/* Order one block. */
typedef void permute_fn(const uint8_t *in, const uint8_t *order, uint8_t *out);

static inline void permute_generic(const uint8_t *in, const uint8_t *order, uint8_t *out)
{
    for (size_t i = 0; i < BLOCK; i++)
        out[i] = in[order[i]];
}

#if defined(__x86_64__)
/* PSHUFB looks no further than 16 bytes and gives zero where bit 7 is set: four looks, each for a quarter. */
__attribute__((target("ssse3"))) static inline void permute_ssse3(const uint8_t *in, const uint8_t *order, uint8_t *out)
{
    for (size_t i = 0; i < BLOCK; i += 16) {
        const __m128i wanted = _mm_load_si128((const void *)(order + i));
        __m128i sum = _mm_setzero_si128();
        for (int quarter = 0; quarter < 4; quarter++) {
            const __m128i source = _mm_load_si128((const void *)(in + 16 * quarter));
            const __m128i index = _mm_xor_si128(wanted, _mm_set1_epi8((char)(16 * quarter)));
            sum = _mm_or_si128(sum, _mm_shuffle_epi8(source, _mm_adds_epu8(index, _mm_set1_epi8(0x70))));
        }
        _mm_store_si128((void *)(out + i), sum);
    }
}

__attribute__((target("avx2"))) static inline void permute_avx2(const uint8_t *in, const uint8_t *order, uint8_t *out)
{
    for (size_t i = 0; i < BLOCK; i += 32) {
        const __m256i wanted = _mm256_load_si256((const void *)(order + i));
        __m256i sum = _mm256_setzero_si256();
        for (int quarter = 0; quarter < 4; quarter++) {
            const __m256i source = _mm256_broadcastsi128_si256(_mm_load_si128((const void *)(in + 16 * quarter)));
            const __m256i index = _mm256_xor_si256(wanted, _mm256_set1_epi8((char)(16 * quarter)));
            sum = _mm256_or_si256(sum, _mm256_shuffle_epi8(source, _mm256_adds_epu8(index, _mm256_set1_epi8(0x70))));
        }
        _mm256_store_si256((void *)(out + i), sum);
    }
}

__attribute__((target("avx512f,avx512vbmi"))) static inline void permute_avx512(const uint8_t *in, const uint8_t *order,
                                                                                uint8_t *out)
{
    _mm512_store_si512(out, _mm512_permutexvar_epi8(_mm512_load_si512(order), _mm512_load_si512(in)));
}
#elif defined(__aarch64__)
static inline void permute_neon(const uint8_t *in, const uint8_t *order, uint8_t *out)
{
    const uint8x16x4_t source = vld1q_u8_x4(in);
    for (size_t i = 0; i < BLOCK; i += 16)
        vst1q_u8(out + i, vqtbl4q_u8(source, vld1q_u8(order + i)));
}
#endif

/* Fisher and Yates. */
static void fill_orders(uint64_t seed, uint8_t (*orders)[BLOCK])
{
    for (size_t o = 0; o < ORDERS; o++) {
        for (uint8_t i = 0; i < BLOCK; i++)
            orders[o][i] = i;
        for (size_t i = BLOCK - 1; i > 0; i--) {
            const size_t other = (np_verify_random(seed, o * BLOCK + i) >> 32) * (i + 1) >> 32;
            const uint8_t swap = orders[o][i];
            orders[o][i] = orders[o][other];
            orders[o][other] = swap;
        }
    }
}

static inline void passes(uint64_t seed, struct workspace *work, uint8_t (*output)[BLOCK], permute_fn *permute)
{
    fill_orders(~seed, work->orders);
    np_verify_fill(seed, output, BLOCKS * BLOCK);
    for (size_t pass = 0; pass < PASSES; pass += 2) {
        for (size_t i = 0; i < BLOCKS; i++)
            permute(output[i], work->orders[(i * 5 + pass) % ORDERS], work->other[i]);
        for (size_t i = 0; i < BLOCKS; i++)
            permute(work->other[i], work->orders[(i * 3 + pass + 1) % ORDERS], output[i]);
    }
}

#define RUN(NAME)                                                                                                      \
    static void run_##NAME(uint64_t seed, void *scratch, void *output)                                                 \
    {                                                                                                                  \
        passes(seed, scratch, output, permute_##NAME);                                                                 \
    }
RUN(generic)
#if defined(__x86_64__)
RUN(ssse3)
RUN(avx2)
RUN(avx512)
#elif defined(__aarch64__)
RUN(neon)
#endif

static const struct np_verify_variant VARIANTS[] = {
    {NP_ISA_GENERIC, np_verify_has_generic, run_generic},
#if defined(__x86_64__)
    {NP_ISA_SSE2, np_verify_has_shuffle, run_ssse3},
    {NP_ISA_AVX2, np_verify_has_avx2, run_avx2},
    {NP_ISA_AVX512, np_verify_has_vbmi, run_avx512},
#elif defined(__aarch64__)
    {NP_ISA_NEON, np_verify_has_neon, run_neon},
#endif
};

const struct np_verify_kernel np_verify_permute = {
    .name = "permute",
    .output_bytes = BLOCKS * BLOCK,
    .scratch_bytes = sizeof(struct workspace),
    .standard_hash = UINT64_C(0x1ecae9a24a406981),
    .variant_count = NP_COUNT(VARIANTS),
    .variants = VARIANTS,
};

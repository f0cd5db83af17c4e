/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compress and decompress (Lempel and Ziv 1977, greedy): unforeseeable branches, unaligned loads, byte copies.
 *
 * A sequence is three 16-bit numbers (literals, length of the match, distance back) and its literals.
 */
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { BYTES = NP_LZ_BYTES, HEADS = 1 << 12, LEAST_MATCH = 8, HEADER = 6, PACKED_BYTES = BYTES + 56 };

struct workspace {
    uint8_t text[BYTES];
    uint16_t heads[HEADS]; /* where a hash was seen last, plus one */
};

struct result {
    uint64_t packed_bytes;
    uint8_t packed[PACKED_BYTES];
    uint8_t text[BYTES];
};

/* How many bytes two places have in common, and a copy of bytes that may overlap from `distance` before. */
struct tools {
    size_t (*common)(const uint8_t *a, const uint8_t *b, size_t most);
    void (*copy)(uint8_t *to, size_t distance, size_t bytes);
};

static size_t common_generic(const uint8_t *a, const uint8_t *b, size_t most)
{
    size_t n = 0;
    while (n < most && a[n] == b[n])
        n++;
    return n;
}

static void copy_generic(uint8_t *to, size_t distance, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = *(to + i - distance);
}

/* SAME gives a bit, or a group of bits, for each equal byte; ALL is what it gives if all are. */
#define TOOLS(ISA, TARGET, VECTOR, LOAD, STORE, SAME, ALL, BITS)                                                       \
    TARGET static size_t common_##ISA(const uint8_t *a, const uint8_t *b, size_t most)                                 \
    {                                                                                                                  \
        size_t n = 0;                                                                                                  \
        for (; n + sizeof(VECTOR) <= most; n += sizeof(VECTOR)) {                                                      \
            const uint64_t same = SAME(LOAD((const void *)(a + n)), LOAD((const void *)(b + n)));                      \
            if (same != (ALL))                                                                                         \
                return n + (size_t)__builtin_ctzll(~same) / (BITS);                                                    \
        }                                                                                                              \
        return n + common_generic(a + n, b + n, most - n);                                                             \
    }                                                                                                                  \
    TARGET static void copy_##ISA(uint8_t *to, size_t distance, size_t bytes)                                          \
    {                                                                                                                  \
        size_t n = 0;                                                                                                  \
        for (; distance >= sizeof(VECTOR) && n + sizeof(VECTOR) <= bytes; n += sizeof(VECTOR))                         \
            STORE((void *)(to + n), LOAD((const void *)(to + n - distance)));                                          \
        copy_generic(to + n, distance, bytes - n);                                                                     \
    }

#if defined(__x86_64__)
#define SAME128(a, b) (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(a, b))
#define SAME256(a, b) (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b))
TOOLS(sse2, , __m128i, _mm_loadu_si128, _mm_storeu_si128, SAME128, 0xffff, 1)
TOOLS(avx2, __attribute__((target("avx2"))), __m256i, _mm256_loadu_si256, _mm256_storeu_si256, SAME256, 0xffffffff, 1)
TOOLS(avx512, __attribute__((target("avx512bw"))), __m512i, _mm512_loadu_si512, _mm512_storeu_si512,
      _mm512_cmpeq_epi8_mask, UINT64_MAX, 1)
#elif defined(__aarch64__)
static uint64_t same_neon(uint8x16_t a, uint8x16_t b)
{
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(vceqq_u8(a, b)), 4)), 0);
}
TOOLS(neon, , uint8x16_t, vld1q_u8, vst1q_u8, same_neon, UINT64_MAX, 4)
#endif

/* Noise with repeats: runs of fresh bytes between copies of what came before. */
static void fill_text(uint64_t seed, uint8_t *text)
{
    size_t at = 0;
    for (uint64_t i = 0; at < BYTES; i++) {
        const uint64_t random = np_verify_random(seed, i);
        const bool is_fresh = at < 64 || (random & 3) == 0;
        const size_t left = BYTES - at, wanted = is_fresh ? 1 + (random >> 2 & 15) : 4 + (random >> 2 & 127);
        const size_t bytes = wanted < left ? wanted : left;
        for (size_t k = 0; is_fresh && k < bytes; k++)
            text[at + k] = (uint8_t)(random >> (8 + k % 7 * 8));
        if (!is_fresh)
            copy_generic(text + at, 1 + (random >> 16) % (at < 4096 ? at : 4096), bytes);
        at += bytes;
    }
}

static size_t emit(uint8_t *packed, size_t used, const uint8_t *literals, size_t count, size_t length, size_t distance)
{
    const uint16_t header[] = {(uint16_t)count, (uint16_t)length, (uint16_t)distance};
    memcpy(packed + used, header, HEADER);
    memcpy(packed + used + HEADER, literals, count);
    return used + HEADER + count;
}

static size_t compress(struct workspace *work, uint8_t *packed, const struct tools *tools)
{
    size_t used = 0, at = 0, literals = 0;
    memset(work->heads, 0, sizeof work->heads);
    while (at + LEAST_MATCH <= BYTES) {
        uint64_t next;
        memcpy(&next, work->text + at, sizeof next);
        uint16_t *head = &work->heads[next * UINT64_C(0x9e3779b97f4a7c15) >> 52];
        const size_t before = *head;
        size_t length = 0;
        if (before > 0)
            length = tools->common(work->text + before - 1, work->text + at, BYTES - at);
        *head = (uint16_t)(at + 1);
        if (length >= LEAST_MATCH) {
            used = emit(packed, used, work->text + at - literals, literals, length, at + 1 - before);
            literals = 0;
            at += length;
        } else {
            literals++;
            at++;
        }
    }
    literals += BYTES - at;
    return emit(packed, used, work->text + BYTES - literals, literals, 0, 1);
}

/* Stays within its buffers whatever a broken core has left there. */
static void decompress(const uint8_t *packed, size_t packed_bytes, uint8_t *text, const struct tools *tools)
{
    size_t from = 0, at = 0;
    while (from + HEADER <= packed_bytes && at < BYTES) {
        uint16_t header[3];
        memcpy(header, packed + from, HEADER);
        const size_t literals = header[0], length = header[1], distance = header[2];
        from += HEADER;
        if (literals > packed_bytes - from || literals + length > BYTES - at || distance - 1 >= at + literals)
            break;
        memcpy(text + at, packed + from, literals);
        tools->copy(text + at + literals, distance, length);
        from += literals;
        at += literals + length;
    }
    memset(text + at, 0, BYTES - at);
}

static void roundtrip(uint64_t seed, struct workspace *work, struct result *result, const struct tools *tools)
{
    fill_text(seed, work->text);
    result->packed_bytes = compress(work, result->packed, tools);
    memset(result->packed + result->packed_bytes, 0, PACKED_BYTES - result->packed_bytes);
    decompress(result->packed, result->packed_bytes, result->text, tools);
}

#define RUN(ISA)                                                                                                       \
    static void run_##ISA(uint64_t seed, void *scratch, void *output)                                                  \
    {                                                                                                                  \
        roundtrip(seed, scratch, output, &(const struct tools){common_##ISA, copy_##ISA});                             \
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

const struct np_verify_kernel np_verify_lz = {
    .name = "lz",
    .output_bytes = sizeof(struct result),
    .scratch_bytes = sizeof(struct workspace),
    .standard_hash = UINT64_C(0x217508f98ef99cf2),
    .variant_count = NP_COUNT(VARIANTS),
    .variants = VARIANTS,
};

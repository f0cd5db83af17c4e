/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies from all 64 offsets within a cache line, of all lengths to 255 bytes, to wherever the last one ended;
 * and in each pass one of 16 KiB. "copy" has the C library's memcpy as its generic variant; "copy_string" is
 * the microcode of REP MOVSB, which kernels and C libraries use for long copies.
 */
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { LINE = 64, LONGEST = 255, PIECES = 128, BYTES = PIECES / 2 * LONGEST + 64, PASSES = 16, STARTS = 240 };

struct workspace {
    _Alignas(LINE) uint8_t origin[BYTES + LINE];
    _Alignas(LINE) uint8_t from[BYTES];
    _Alignas(LINE) uint8_t to[BYTES];
};

typedef void copy_fn(uint8_t *to, const uint8_t *from, size_t bytes);

static void copy_generic(uint8_t *to, const uint8_t *from, size_t bytes)
{
    memcpy(to, from, bytes);
}

#if defined(__x86_64__) || defined(__aarch64__)
static void copy_tail(uint8_t *to, const uint8_t *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = from[i];
}

#define COPY(ISA, TARGET, VECTOR, LOAD, STORE)                                                                         \
    TARGET static void copy_##ISA(uint8_t *to, const uint8_t *from, size_t bytes)                                      \
    {                                                                                                                  \
        size_t n = 0;                                                                                                  \
        for (; n + sizeof(VECTOR) <= bytes; n += sizeof(VECTOR))                                                       \
            STORE((void *)(to + n), LOAD((const void *)(from + n)));                                                   \
        copy_tail(to + n, from + n, bytes - n);                                                                        \
    }
#endif

#if defined(__x86_64__)
COPY(sse2, , __m128i, _mm_loadu_si128, _mm_storeu_si128)
COPY(avx2, __attribute__((target("avx2"))), __m256i, _mm256_loadu_si256, _mm256_storeu_si256)

/* The rest by a masked load and store, which must not touch what the mask leaves out. */
__attribute__((target("avx512f,avx512bw"))) static void copy_avx512(uint8_t *to, const uint8_t *from, size_t bytes)
{
    size_t n = 0;
    for (; n + LINE <= bytes; n += LINE)
        _mm512_storeu_si512(to + n, _mm512_loadu_si512(from + n));
    const __mmask64 rest = (UINT64_C(1) << (bytes - n)) - 1;
    _mm512_mask_storeu_epi8(to + n, rest, _mm512_maskz_loadu_epi8(rest, from + n));
}

static void copy_string(uint8_t *to, const uint8_t *from, size_t bytes)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}
#elif defined(__aarch64__)
COPY(neon, , uint8x16_t, vld1q_u8, vst1q_u8)
#endif

/* Pieces come in pairs of together 255 bytes, so that all of them fill the target. */
static void pass(uint64_t seed, size_t number, struct workspace *work, copy_fn *copy)
{
    size_t at = 0;
    copy(work->from, work->origin + number * 5 % LINE, BYTES);
    for (size_t piece = 0; piece < PIECES; piece++) {
        const uint64_t random = np_verify_random(seed, number * PIECES + piece / 2);
        const size_t length = random % (LONGEST + 1);
        const size_t bytes = piece % 2 == 0 ? length : LONGEST - length;
        const size_t start = (random >> (8 + 8 * (piece % 2))) % STARTS * LINE + (piece + number) % LINE;
        copy(work->to + at, work->from + start, bytes);
        at += bytes;
    }
}

/* Output: all targets, folded together in a way that loses no bit of any. */
static void passes(uint64_t seed, struct workspace *work, uint64_t *output, copy_fn *copy)
{
    np_verify_fill(seed, work->origin, sizeof work->origin);
    memset(work->to, 0, sizeof work->to);
    memset(output, 0, BYTES);
    for (size_t number = 0; number < PASSES; number++) {
        pass(~seed, number, work, copy);
        for (size_t i = 0; i < BYTES / sizeof *output; i++) {
            uint64_t word;
            memcpy(&word, work->to + i * sizeof word, sizeof word);
            output[i] = (output[i] << 7 | output[i] >> 57) ^ word;
        }
    }
}

#define RUN(NAME)                                                                                                      \
    static void run_##NAME(uint64_t seed, void *scratch, void *output)                                                 \
    {                                                                                                                  \
        passes(seed, scratch, output, copy_##NAME);                                                                    \
    }
RUN(generic)
#if defined(__x86_64__)
RUN(sse2)
RUN(avx2)
RUN(avx512)
RUN(string)
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

static const struct np_verify_variant STRING_VARIANTS[] = {
    {NP_ISA_GENERIC, np_verify_has_generic, run_generic},
#if defined(__x86_64__)
    {NP_ISA_SSE2, np_verify_has_sse2, run_string},
#endif
};

#define KERNEL(NAME, ROWS)                                                                                             \
    {.name = NAME,                                                                                                     \
     .output_bytes = BYTES,                                                                                            \
     .scratch_bytes = sizeof(struct workspace),                                                                        \
     .standard_hash = UINT64_C(0xabc1bc32b2d6f7cd),                                                                    \
     .variant_count = NP_COUNT(ROWS),                                                                                  \
     .variants = ROWS}

const struct np_verify_kernel np_verify_copy = KERNEL("copy", VARIANTS);
const struct np_verify_kernel np_verify_copy_string = KERNEL("copy_string", STRING_VARIANTS);

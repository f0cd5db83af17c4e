/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4) of a message, with the state after each block: one chain of short dependent operations. */
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { BLOCK = 64, WORDS = 8, MESSAGE_BYTES = 32 << 10, ROUNDS = 64 };

typedef void compress_fn(uint32_t state[WORDS], const uint8_t *data, size_t blocks);

/* 4.2.2: the first 32 bits of the fractions of the cube roots of the first 64 primes. */
static const _Alignas(16) uint32_t K[ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int bits)
{
    return x >> bits | x << (32 - bits);
}

static void schedule(const uint8_t *data, uint32_t w[ROUNDS])
{
    for (int t = 0; t < 16; t++, data += 4)
        w[t] = (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
    for (int t = 16; t < ROUNDS; t++) {
        const uint32_t a = w[t - 2], b = w[t - 15];
        w[t] =
            (rotate(a, 17) ^ rotate(a, 19) ^ a >> 10) + w[t - 7] + (rotate(b, 7) ^ rotate(b, 18) ^ b >> 3) + w[t - 16];
    }
}

static void compress_generic(uint32_t state[WORDS], const uint8_t *data, size_t blocks)
{
    for (; blocks > 0; blocks--, data += BLOCK) {
        uint32_t w[ROUNDS], s[WORDS];
        schedule(data, w);
        memcpy(s, state, sizeof s);
        for (int t = 0; t < ROUNDS; t++) {
            const uint32_t a = s[0], e = s[4];
            const uint32_t t1 =
                s[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + K[t] + w[t];
            const uint32_t t2 =
                (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
            memmove(s + 1, s, (WORDS - 1) * sizeof *s);
            s[4] += t1;
            s[0] = t1 + t2;
        }
        for (int i = 0; i < WORDS; i++)
            state[i] += s[i];
    }
}

#if defined(__x86_64__)
/* The instructions keep the state as ABEF and CDGH: Intel, "SHA extensions", 2013. */
__attribute__((target("sha,sse4.1,ssse3"))) static void compress_shani(uint32_t state[WORDS], const uint8_t *data,
                                                                       size_t blocks)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    const __m128i low = _mm_loadu_si128((const void *)state), high = _mm_loadu_si128((const void *)(state + 4));
    const __m128i cdab = _mm_shuffle_epi32(low, 0xb1), efgh = _mm_shuffle_epi32(high, 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
    for (; blocks > 0; blocks--, data += BLOCK) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
        for (int i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const void *)(data + 16 * i)), big_endian);
        for (int t = 0; t < ROUNDS / 4; t++) {
            const __m128i sum = _mm_add_epi32(w[t % 4], _mm_load_si128((const void *)&K[4 * t]));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
            const __m128i older = _mm_sha256msg1_epu32(w[t % 4], w[(t + 1) % 4]);
            const __m128i middle = _mm_alignr_epi8(w[(t + 3) % 4], w[(t + 2) % 4], 4);
            w[t % 4] = _mm_sha256msg2_epu32(_mm_add_epi32(older, middle), w[(t + 3) % 4]);
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    const __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((void *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((void *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}
#elif defined(__aarch64__)
__attribute__((target("+crypto"))) static void compress_neon(uint32_t state[WORDS], const uint8_t *data, size_t blocks)
{
    uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
    for (; blocks > 0; blocks--, data += BLOCK) {
        const uint32x4_t abcd_before = abcd, efgh_before = efgh;
        uint32x4_t w[4];
        for (int i = 0; i < 4; i++)
            w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data + 16 * i)));
        for (int t = 0; t < ROUNDS / 4; t++) {
            const uint32x4_t sum = vaddq_u32(w[t % 4], vld1q_u32(&K[4 * t])), abcd_now = abcd;
            abcd = vsha256hq_u32(abcd, efgh, sum);
            efgh = vsha256h2q_u32(efgh, abcd_now, sum);
            w[t % 4] = vsha256su1q_u32(vsha256su0q_u32(w[t % 4], w[(t + 1) % 4]), w[(t + 2) % 4], w[(t + 3) % 4]);
        }
        abcd = vaddq_u32(abcd, abcd_before);
        efgh = vaddq_u32(efgh, efgh_before);
    }
    vst1q_u32(state, abcd);
    vst1q_u32(state + 4, efgh);
}
#endif

static void chain(uint64_t seed, uint8_t *message, uint32_t *output, compress_fn *compress)
{
    uint32_t state[WORDS];
    np_verify_fill(~seed, state, sizeof state);
    np_verify_fill(seed, message, MESSAGE_BYTES);
    for (size_t block = 0; block < MESSAGE_BYTES / BLOCK; block++) {
        compress(state, message + block * BLOCK, 1);
        memcpy(output + block * WORDS, state, sizeof state);
    }
}

static void run_generic(uint64_t seed, void *scratch, void *output)
{
    chain(seed, scratch, output, compress_generic);
}

#if defined(__x86_64__)
static void run_shani(uint64_t seed, void *scratch, void *output)
{
    chain(seed, scratch, output, compress_shani);
}
#elif defined(__aarch64__)
static void run_neon(uint64_t seed, void *scratch, void *output)
{
    chain(seed, scratch, output, compress_neon);
}
#endif

static const struct np_verify_variant VARIANTS[] = {
    {NP_ISA_GENERIC, np_verify_has_generic, run_generic},
#if defined(__x86_64__)
    {NP_ISA_SSE2, np_verify_has_sha, run_shani},
#elif defined(__aarch64__)
    {NP_ISA_NEON, np_verify_has_sha, run_neon},
#endif
};

static compress_fn *const COMPRESS[] = {
    compress_generic,
#if defined(__x86_64__)
    compress_shani,
#elif defined(__aarch64__)
    compress_neon,
#endif
};

int np_verify_sha256_apply(enum np_isa isa, uint32_t state[8], const uint8_t *data, size_t blocks)
{
    for (size_t i = 0; i < NP_COUNT(VARIANTS); i++)
        if (VARIANTS[i].isa == isa && VARIANTS[i].is_supported())
            return COMPRESS[i](state, data, blocks), 0;
    return -ENOTSUP;
}

const struct np_verify_kernel np_verify_sha256 = {
    .name = "sha256",
    .output_bytes = MESSAGE_BYTES / BLOCK * WORDS * sizeof(uint32_t),
    .scratch_bytes = MESSAGE_BYTES,
    .standard_hash = UINT64_C(0x03efe46fbe90268c),
    .variant_count = NP_COUNT(VARIANTS),
    .variants = VARIANTS,
};

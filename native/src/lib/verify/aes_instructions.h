/* SPDX-License-Identifier: Apache-2.0 */
/* Part of aes.c: the ciphers in the AES instructions of x86-64 and of ARMv8. */
#ifndef NODEPROOF_LIB_VERIFY_AES_INSTRUCTIONS_H
#define NODEPROOF_LIB_VERIFY_AES_INSTRUCTIONS_H

#if defined(__x86_64__)
#include <immintrin.h>

/* `blocks` is a multiple of what a vector holds; the CPU overlaps the blocks of its own accord. */
#define CIPHER(NAME, TARGET, VECTOR, LOAD, STORE, KEY, XOR, ROUND, LAST, KEYS)                                         \
    __attribute__((target(TARGET))) static void NAME(const struct workspace *work, const uint8_t *in, uint8_t *out,    \
                                                     size_t blocks)                                                    \
    {                                                                                                                  \
        for (size_t i = 0; i < blocks * BLOCK; i += sizeof(VECTOR)) {                                                  \
            VECTOR state = XOR(LOAD((const void *)(in + i)), KEY(work->keys.KEYS[0]));                                 \
            for (size_t round = 1; round < ROUNDS; round++)                                                            \
                state = ROUND(state, KEY(work->keys.KEYS[round]));                                                     \
            state = LAST(state, KEY(work->keys.KEYS[ROUNDS]));                                                         \
            STORE((void *)(out + i), state);                                                                           \
        }                                                                                                              \
    }

#define KEY128(key) _mm_load_si128((const void *)(key))
#define KEY256(key) _mm256_broadcastsi128_si256(KEY128(key))
#define KEY512(key) _mm512_broadcast_i32x4(KEY128(key))

CIPHER(encrypt_aesni, "aes,sse2", __m128i, _mm_loadu_si128, _mm_storeu_si128, KEY128, _mm_xor_si128, _mm_aesenc_si128,
       _mm_aesenclast_si128, encrypt)
CIPHER(decrypt_aesni, "aes,sse2", __m128i, _mm_loadu_si128, _mm_storeu_si128, KEY128, _mm_xor_si128, _mm_aesdec_si128,
       _mm_aesdeclast_si128, decrypt)
CIPHER(encrypt_vaes256, "vaes,avx2", __m256i, _mm256_loadu_si256, _mm256_storeu_si256, KEY256, _mm256_xor_si256,
       _mm256_aesenc_epi128, _mm256_aesenclast_epi128, encrypt)
CIPHER(decrypt_vaes256, "vaes,avx2", __m256i, _mm256_loadu_si256, _mm256_storeu_si256, KEY256, _mm256_xor_si256,
       _mm256_aesdec_epi128, _mm256_aesdeclast_epi128, decrypt)
CIPHER(encrypt_vaes512, "vaes,avx512f", __m512i, _mm512_loadu_si512, _mm512_storeu_si512, KEY512, _mm512_xor_si512,
       _mm512_aesenc_epi128, _mm512_aesenclast_epi128, encrypt)
CIPHER(decrypt_vaes512, "vaes,avx512f", __m512i, _mm512_loadu_si512, _mm512_storeu_si512, KEY512, _mm512_xor_si512,
       _mm512_aesdec_epi128, _mm512_aesdeclast_epi128, decrypt)

#elif defined(__aarch64__)
#include <arm_neon.h>

/* AESE and AESD add the key first and mix last, AESMC and AESIMC only mix: the keys of 5.3.5 fit all the same. */
#define CIPHER(NAME, ROUND, MIX, KEYS)                                                                                 \
    __attribute__((target("+crypto"))) static void NAME(const struct workspace *work, const uint8_t *in, uint8_t *out, \
                                                        size_t blocks)                                                 \
    {                                                                                                                  \
        for (size_t i = 0; i < blocks * BLOCK; i += BLOCK) {                                                           \
            uint8x16_t state = vld1q_u8(in + i);                                                                       \
            for (size_t round = 0; round < ROUNDS - 1; round++)                                                        \
                state = MIX(ROUND(state, vld1q_u8(work->keys.KEYS[round])));                                           \
            state = ROUND(state, vld1q_u8(work->keys.KEYS[ROUNDS - 1]));                                               \
            vst1q_u8(out + i, veorq_u8(state, vld1q_u8(work->keys.KEYS[ROUNDS])));                                     \
        }                                                                                                              \
    }

CIPHER(encrypt_neon, vaeseq_u8, vaesmcq_u8, encrypt)
CIPHER(decrypt_neon, vaesdq_u8, vaesimcq_u8, decrypt)

#endif

#endif

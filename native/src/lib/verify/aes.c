/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-128 (FIPS 197): blocks encrypted, then decrypted, so that each instruction checks its inverse.
 *
 * The keys are expanded by plain C for all variants; decryption uses the equivalent inverse cipher (5.3.5),
 * whose keys are the ones that the instructions want.
 */
#include "kernels.h"

enum { ROUNDS = 10, BLOCK = 16, BYTES = 16 << 10, PASSES = 4 };

struct keys {
    _Alignas(BLOCK) uint8_t encrypt[ROUNDS + 1][BLOCK];
    uint8_t decrypt[ROUNDS + 1][BLOCK];
};

struct tables {
    uint8_t substitute[256], inverse[256];
    uint32_t encrypt[256], decrypt[256]; /* a byte's share of a column: substituted and mixed */
};

struct workspace {
    struct keys keys;
    struct tables tables;
    _Alignas(64) uint8_t text[BYTES];
};

typedef void cipher_fn(const struct workspace *work, const uint8_t *in, uint8_t *out, size_t blocks);

static uint8_t times(uint8_t a, unsigned int b)
{
    uint8_t product = 0;
    for (; b != 0; b >>= 1) {
        product ^= (b & 1) ? a : 0;
        a = (uint8_t)(a << 1 ^ (a >> 7) * 0x1b);
    }
    return product;
}

static uint32_t column_of(unsigned int a, unsigned int b, unsigned int c, unsigned int d)
{
    return a | b << 8 | c << 16 | (uint32_t)d << 24;
}

/* All from the definition (5.1.1): p runs through the powers of 3, q through their inverses. */
static void fill_tables(struct tables *tables)
{
    uint8_t p = 1, q = 1;
    do {
        p = times(p, 3);
        q = times(q, 0xf6); /* the inverse of 3 */
        const uint8_t s = (uint8_t)(q ^ (q << 1 | q >> 7) ^ (q << 2 | q >> 6) ^ (q << 3 | q >> 5) ^ (q << 4 | q >> 4));
        tables->substitute[p] = s ^ 0x63;
    } while (p != 1);
    tables->substitute[0] = 0x63;
    for (unsigned int i = 0; i < 256; i++)
        tables->inverse[tables->substitute[i]] = (uint8_t)i;
    for (unsigned int i = 0; i < 256; i++) {
        const uint8_t s = tables->substitute[i], v = tables->inverse[i];
        tables->encrypt[i] = column_of(times(s, 2), s, s, times(s, 3));
        tables->decrypt[i] = column_of(times(v, 14), times(v, 9), times(v, 13), times(v, 11));
    }
}

static uint32_t load(const uint8_t *from)
{
    return column_of(from[0], from[1], from[2], from[3]);
}

static void store(uint8_t *to, uint32_t column)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(column >> 8 * i);
}

static uint32_t rotate(uint32_t column, int bits)
{
    return bits == 0 ? column : column << bits | column >> (32 - bits);
}

static void expand(const struct tables *tables, const uint8_t key[BLOCK], struct keys *keys)
{
    const uint8_t *substitute = tables->substitute;
    uint8_t *words = keys->encrypt[0], constant = 1;
    memcpy(words, key, BLOCK);
    for (size_t i = 4; i < 4 * (ROUNDS + 1); i++) {
        uint8_t *word = words + 4 * i;
        const uint8_t *last = word - 4;
        memcpy(word, last, 4);
        if (i % 4 == 0) {
            for (int k = 0; k < 4; k++)
                word[k] = substitute[last[(k + 1) % 4]];
            word[0] ^= constant;
            constant = times(constant, 2);
        }
        for (int k = 0; k < 4; k++)
            word[k] ^= word[k - BLOCK];
    }
    for (size_t round = 0; round <= ROUNDS; round++) {
        memcpy(keys->decrypt[round], keys->encrypt[ROUNDS - round], BLOCK);
        for (uint8_t *c = keys->decrypt[round]; round % ROUNDS != 0 && c < keys->decrypt[round] + BLOCK; c += 4) {
            uint32_t mixed = 0;
            for (int k = 0; k < 4; k++)
                mixed ^= rotate(tables->decrypt[substitute[c[k]]], 8 * k);
            store(c, mixed);
        }
    }
}

/* Row k of the state moves by k columns: to the left to encrypt (`step` 1), to the right to decrypt (3). */
static void apply(const uint8_t (*keys)[BLOCK], const uint32_t *mix, const uint8_t *substitute, unsigned int step,
                  const uint8_t *in, uint8_t *out, size_t blocks)
{
    for (size_t block = 0; block < blocks; block++, in += BLOCK, out += BLOCK) {
        uint32_t state[4], next[4];
        for (int c = 0; c < 4; c++)
            state[c] = load(in + 4 * c) ^ load(keys[0] + 4 * c);
        for (size_t round = 1; round <= ROUNDS; round++) {
            for (unsigned int c = 0; c < 4; c++) {
                uint32_t sum = load(keys[round] + 4 * c);
                for (unsigned int k = 0; k < 4; k++) {
                    const uint8_t byte = (uint8_t)(state[(c + k * step) % 4] >> 8 * k);
                    sum ^= rotate(round < ROUNDS ? mix[byte] : substitute[byte], (int)(8 * k));
                }
                next[c] = sum;
            }
            memcpy(state, next, sizeof state);
        }
        for (int c = 0; c < 4; c++)
            store(out + 4 * c, state[c]);
    }
}

static void encrypt_generic(const struct workspace *work, const uint8_t *in, uint8_t *out, size_t blocks)
{
    apply(work->keys.encrypt, work->tables.encrypt, work->tables.substitute, 1, in, out, blocks);
}

static void decrypt_generic(const struct workspace *work, const uint8_t *in, uint8_t *out, size_t blocks)
{
    apply(work->keys.decrypt, work->tables.decrypt, work->tables.inverse, 3, in, out, blocks);
}

#include "aes_instructions.h"

static void prepare(struct workspace *work, const uint8_t key[BLOCK])
{
    fill_tables(&work->tables);
    expand(&work->tables, key, &work->keys);
}

static void roundtrip(uint64_t seed, struct workspace *work, uint8_t *output, cipher_fn *encrypt, cipher_fn *decrypt)
{
    uint64_t key[2];
    np_verify_fill(~seed, key, sizeof key);
    prepare(work, (const uint8_t *)key);
    np_verify_fill(seed, work->text, BYTES);
    for (int pass = 0; pass < PASSES; pass++)
        encrypt(work, pass == 0 ? work->text : output, output, BYTES / BLOCK);
    for (int pass = 0; pass < PASSES; pass++)
        decrypt(work, pass == 0 ? output : output + BYTES, output + BYTES, BYTES / BLOCK);
}

#define RUN(NAME)                                                                                                      \
    static void run_##NAME(uint64_t seed, void *scratch, void *output)                                                 \
    {                                                                                                                  \
        roundtrip(seed, scratch, output, encrypt_##NAME, decrypt_##NAME);                                              \
    }
RUN(generic)
#if defined(__x86_64__)
RUN(aesni)
RUN(vaes256)
RUN(vaes512)
#elif defined(__aarch64__)
RUN(neon)
#endif

static const struct np_verify_variant VARIANTS[] = {
    {NP_ISA_GENERIC, np_verify_has_generic, run_generic},
#if defined(__x86_64__)
    {NP_ISA_SSE2, np_verify_has_aes, run_aesni},
    {NP_ISA_AVX2, np_verify_has_vaes256, run_vaes256},
    {NP_ISA_AVX512, np_verify_has_vaes512, run_vaes512},
#elif defined(__aarch64__)
    {NP_ISA_NEON, np_verify_has_aes, run_neon},
#endif
};

static cipher_fn *const CIPHERS[][2] = {
    {encrypt_generic, decrypt_generic},
#if defined(__x86_64__)
    {encrypt_aesni, decrypt_aesni},
    {encrypt_vaes256, decrypt_vaes256},
    {encrypt_vaes512, decrypt_vaes512},
#elif defined(__aarch64__)
    {encrypt_neon, decrypt_neon},
#endif
};

int np_verify_aes_apply(enum np_isa isa, bool decrypts, const uint8_t key[16], const uint8_t *in, uint8_t *out,
                        size_t blocks)
{
    struct workspace work;
    prepare(&work, key);
    for (size_t i = 0; i < NP_COUNT(VARIANTS); i++)
        if (VARIANTS[i].isa == isa && VARIANTS[i].is_supported())
            return CIPHERS[i][decrypts](&work, in, out, blocks), 0;
    return -ENOTSUP;
}

const struct np_verify_kernel np_verify_aes = {
    .name = "aes",
    .output_bytes = 2 * BYTES,
    .scratch_bytes = sizeof(struct workspace),
    .standard_hash = UINT64_C(0xd984a8bb242d754d),
    .variant_count = NP_COUNT(VARIANTS),
    .variants = VARIANTS,
};

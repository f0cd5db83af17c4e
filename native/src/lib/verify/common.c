/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels.h"

void np_verify_fill(uint64_t seed, void *data, size_t bytes)
{
    uint64_t *words = data;
    for (size_t i = 0; i < bytes / sizeof *words; i++)
        words[i] = np_verify_random(seed, i);
}

/* IEEE 754 binary64: one of eight exponents around that of 1. */
void np_verify_fill_fp64(uint64_t seed, double *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint64_t random = np_verify_random(seed, i);
        const uint64_t exponent = 1023 - 4 + (random >> 52 & 7);
        const uint64_t bits = (random & UINT64_C(0x800fffffffffffff)) | exponent << 52;
        memcpy(&values[i], &bits, sizeof bits);
    }
}

void np_verify_fill_fp32(uint64_t seed, float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint32_t random = (uint32_t)np_verify_random(seed, i);
        const uint32_t exponent = 127 - 4 + (random >> 23 & 7);
        const uint32_t bits = (random & UINT32_C(0x807fffff)) | exponent << 23;
        memcpy(&values[i], &bits, sizeof bits);
    }
}

/* Every step can be undone, so a changed word changes what follows; four chains keep the multiplier busy. */
static uint64_t absorb(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
    return hash ^ (hash >> 32);
}

uint64_t np_verify_hash(const void *data, size_t bytes)
{
    enum { CHAINS = 4 };
    uint64_t chain[CHAINS] = {1, 2, 3, 4}, hash = bytes, word;
    const char *from = data;
    const size_t words = bytes / sizeof word;
    for (size_t i = 0; i < words; i++) {
        memcpy(&word, from + i * sizeof word, sizeof word);
        chain[i % CHAINS] = absorb(chain[i % CHAINS], word);
    }
    for (size_t i = 0; i < CHAINS; i++)
        hash = absorb(hash, chain[i]);
    return hash;
}

bool np_verify_compare(const void *expected, const void *found, size_t bytes, struct np_verify_difference *first)
{
    const char *left = expected, *right = found;
    *first = (struct np_verify_difference){0};
    for (size_t offset = 0; offset < bytes; offset += sizeof(uint64_t)) {
        uint64_t a, b;
        memcpy(&a, left + offset, sizeof a);
        memcpy(&b, right + offset, sizeof b);
        if (a == b)
            continue;
        if (first->wrong_words++ == 0)
            *first = (struct np_verify_difference){.offset = offset, .expected = a, .found = b, .wrong_words = 1};
    }
    return first->wrong_words == 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (RFC 3720, appendix B.4): the instruction against a table, with the sum after every 64 bytes. */
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#endif

enum { MESSAGE_BYTES = 64 << 10, STEP = 64, TABLE = 256 };

typedef uint32_t crc_fn(uint32_t crc, const uint8_t *data, size_t bytes, const uint32_t *table);

/* The Castagnoli polynomial 1edc6f41, lowest bit first. */
static void fill_table(uint32_t table[TABLE])
{
    for (uint32_t i = 0; i < TABLE; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1) * UINT32_C(0x82f63b78);
    }
}

static uint32_t crc_generic(uint32_t crc, const uint8_t *data, size_t bytes, const uint32_t *table)
{
    for (size_t i = 0; i < bytes; i++)
        crc = crc >> 8 ^ table[(crc ^ data[i]) & 0xff];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse(uint32_t crc, const uint8_t *data, size_t bytes,
                                                          const uint32_t *table)
{
    (void)table;
    for (; bytes >= 8; bytes -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, sizeof word);
        crc = (uint32_t)_mm_crc32_u64(crc, word);
    }
    for (; bytes > 0; bytes--)
        crc = _mm_crc32_u8(crc, *data++);
    return crc;
}
#elif defined(__aarch64__)
__attribute__((target("+crc"))) static uint32_t crc_neon(uint32_t crc, const uint8_t *data, size_t bytes,
                                                         const uint32_t *table)
{
    (void)table;
    for (; bytes >= 8; bytes -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, sizeof word);
        crc = __crc32cd(crc, word);
    }
    for (; bytes > 0; bytes--)
        crc = __crc32cb(crc, *data++);
    return crc;
}
#endif

static void sums(uint64_t seed, uint8_t *scratch, uint32_t *output, crc_fn *crc)
{
    uint32_t *table = (uint32_t *)(scratch + MESSAGE_BYTES), sum = ~(uint32_t)seed;
    fill_table(table);
    np_verify_fill(seed, scratch, MESSAGE_BYTES);
    for (size_t i = 0; i < MESSAGE_BYTES / STEP; i++)
        output[i] = sum = crc(sum, scratch + i * STEP, STEP, table);
}

static void run_generic(uint64_t seed, void *scratch, void *output)
{
    sums(seed, scratch, output, crc_generic);
}

#if defined(__x86_64__)
static void run_sse(uint64_t seed, void *scratch, void *output)
{
    sums(seed, scratch, output, crc_sse);
}
#elif defined(__aarch64__)
static void run_neon(uint64_t seed, void *scratch, void *output)
{
    sums(seed, scratch, output, crc_neon);
}
#endif

static const struct np_verify_variant VARIANTS[] = {
    {NP_ISA_GENERIC, np_verify_has_generic, run_generic},
#if defined(__x86_64__)
    {NP_ISA_SSE2, np_verify_has_crc, run_sse},
#elif defined(__aarch64__)
    {NP_ISA_NEON, np_verify_has_crc, run_neon},
#endif
};

static crc_fn *const SUMS[] = {
    crc_generic,
#if defined(__x86_64__)
    crc_sse,
#elif defined(__aarch64__)
    crc_neon,
#endif
};

int np_verify_crc32c_apply(enum np_isa isa, uint32_t *crc, const uint8_t *data, size_t bytes)
{
    uint32_t table[TABLE];
    fill_table(table);
    for (size_t i = 0; i < NP_COUNT(VARIANTS); i++)
        if (VARIANTS[i].isa == isa && VARIANTS[i].is_supported())
            return *crc = ~SUMS[i](~*crc, data, bytes, table), 0;
    return -ENOTSUP;
}

const struct np_verify_kernel np_verify_crc32c = {
    .name = "crc32c",
    .output_bytes = MESSAGE_BYTES / STEP * sizeof(uint32_t),
    .scratch_bytes = MESSAGE_BYTES + TABLE * sizeof(uint32_t),
    .standard_hash = UINT64_C(0x332ad6ac1d64ecd5),
    .variant_count = NP_COUNT(VARIANTS),
    .variants = VARIANTS,
};

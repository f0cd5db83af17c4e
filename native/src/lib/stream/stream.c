/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/stream.h"

#include <string.h>

#include "table.h"

static np_stream_fn *const *const KERNELS[NP_ISA_COUNT] = {
    [NP_ISA_GENERIC] = np_stream_generic,
#if defined(__x86_64__)
    [NP_ISA_SSE2] = np_stream_sse2,
    [NP_ISA_AVX2] = np_stream_avx2,
    [NP_ISA_AVX512] = np_stream_avx512,
#elif defined(__aarch64__)
    [NP_ISA_NEON] = np_stream_neon,
    [NP_ISA_SVE] = np_stream_sve,
#endif
};

enum { A = NP_STREAM_A, B = NP_STREAM_B, C = NP_STREAM_C };

static const unsigned int ARRAYS[NP_STREAM_OP_COUNT] = {
    [NP_STREAM_READ] = B,
    [NP_STREAM_WRITE] = A,
    [NP_STREAM_COPY] = A | B,
    [NP_STREAM_SCALE] = A | B,
    [NP_STREAM_ADD] = A | B | C,
    [NP_STREAM_TRIAD] = A | B | C,
    [NP_STREAM_TRIAD_REGULAR] = A | B | C,
};

unsigned int np_stream_arrays(enum np_stream_op op)
{
    return ARRAYS[op];
}

np_stream_fn *np_stream_kernel(enum np_stream_op op, enum np_isa isa)
{
    return KERNELS[isa] != NULL ? KERNELS[isa][op] : NULL;
}

enum np_isa np_stream_widest(void)
{
    int isa = NP_ISA_COUNT - 1;
    while (isa > 0 && (KERNELS[isa] == NULL || !np_isa_is_supported((enum np_isa)isa)))
        isa--;
    return (enum np_isa)isa;
}

size_t np_stream_bytes(enum np_stream_op op)
{
    return (size_t)__builtin_popcount(ARRAYS[op]) * sizeof(double);
}

/* Whole numbers without a period (multiplicative hashing, Knuth volume 3, 6.4): a displaced line shows. */
static double b_of(size_t i)
{
    return (double)(uint32_t)((uint64_t)i * UINT64_C(0x9e3779b97f4a7c15) >> 48);
}

static double c_of(size_t i)
{
    return (double)(uint32_t)((uint64_t)i * UINT64_C(0xd1b54a32d192ed03) >> 48);
}

void np_stream_fill(enum np_stream_op op, double *a, double *b, double *c, size_t first, size_t count)
{
    for (size_t i = first; i < first + count && ARRAYS[op] & A; i++)
        a[i] = 0;
    for (size_t i = first; i < first + count && ARRAYS[op] & B; i++)
        b[i] = b_of(i);
    for (size_t i = first; i < first + count && ARRAYS[op] & C; i++)
        c[i] = c_of(i);
}

static double result(enum np_stream_op op, double s, size_t i)
{
    switch (op) {
    case NP_STREAM_WRITE:
        return s;
    case NP_STREAM_COPY:
        return b_of(i);
    case NP_STREAM_SCALE:
        return s * b_of(i);
    case NP_STREAM_ADD:
        return b_of(i) + c_of(i);
    default:
        return b_of(i) + s * c_of(i);
    }
}

uint64_t np_stream_wrong(enum np_stream_op op, const double *a, double s, double sum, size_t first, size_t count)
{
    uint64_t wrong = 0;
    double total = 0;
    for (size_t i = first; i < first + count; i++) {
        const double expected = op == NP_STREAM_READ ? b_of(i) : result(op, s, i);
        total += expected;
        wrong += op != NP_STREAM_READ && memcmp(&a[i], &expected, sizeof expected) != 0;
    }
    /* Sums of whole numbers below 2^53 are exact in any order. */
    return op == NP_STREAM_READ ? total != sum : wrong;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Singular values by Jacobi rotations of pairs of columns (Hestenes 1958): short scalar chains of divisions
 * and roots that decide what the vectors do next.
 *
 * Every width sums in the same eight parts, so that their order is the same.
 */
#include "kernels.h"
#include "vectors.h"

enum { ROWS = 32, COLUMNS = 24, SWEEPS = 4, PARTS = 8 };

typedef double column[ROWS];

static double sum_of(const double parts[PARTS])
{
    return ((parts[0] + parts[1]) + (parts[2] + parts[3])) + ((parts[4] + parts[5]) + (parts[6] + parts[7]));
}

struct rotation {
    double cosine, sine;
};

/* The rotation that makes two columns orthogonal: Golub and Van Loan, "Matrix Computations", 8.6. */
static struct rotation rotation_of(double square_a, double square_b, double product)
{
    if (product == 0)
        return (struct rotation){1, 0};
    const double zeta = (square_b - square_a) / (2 * product);
    const double tangent = (zeta < 0 ? -1 : 1) / (fabs(zeta) + sqrt(1 + zeta * zeta));
    const double cosine = 1 / sqrt(1 + tangent * tangent);
    return (struct rotation){cosine, cosine * tangent};
}

#define SVD(ISA)                                                                                                       \
    TARGET_##ISA static double dot_##ISA(const double *a, const double *b)                                             \
    {                                                                                                                  \
        _Alignas(64) double parts[PARTS];                                                                              \
        for (size_t part = 0; part < PARTS; part += fp64_##ISA##_lanes) {                                              \
            fp64_##ISA sum = fp64_##ISA##_all(0);                                                                      \
            for (size_t i = part; i < ROWS; i += PARTS)                                                                \
                sum = sum + fp64_##ISA##_load(a + i) * fp64_##ISA##_load(b + i);                                       \
            fp64_##ISA##_store(&parts[part], sum);                                                                     \
        }                                                                                                              \
        return sum_of(parts);                                                                                          \
    }                                                                                                                  \
    TARGET_##ISA static void rotate_##ISA(double *a, double *b)                                                        \
    {                                                                                                                  \
        const struct rotation by = rotation_of(dot_##ISA(a, a), dot_##ISA(b, b), dot_##ISA(a, b));                     \
        const fp64_##ISA c = fp64_##ISA##_all(by.cosine), s = fp64_##ISA##_all(by.sine);                               \
        for (size_t i = 0; i < ROWS; i += fp64_##ISA##_lanes) {                                                        \
            const fp64_##ISA x = fp64_##ISA##_load(a + i), y = fp64_##ISA##_load(b + i);                               \
            fp64_##ISA##_store(a + i, c * x - s * y);                                                                  \
            fp64_##ISA##_store(b + i, s * x + c * y);                                                                  \
        }                                                                                                              \
    }                                                                                                                  \
    static void run_##ISA(uint64_t seed, void *scratch, void *output)                                                  \
    {                                                                                                                  \
        svd(seed, scratch, output, rotate_##ISA);                                                                      \
    }

/* Output: the columns after each sweep. */
static void svd(uint64_t seed, column *columns, column *output, void (*rotate)(double *a, double *b))
{
    np_verify_fill_fp64(seed, columns[0], (size_t)ROWS * COLUMNS);
    for (size_t sweep = 0; sweep < SWEEPS; sweep++) {
        for (size_t p = 0; p < COLUMNS; p++)
            for (size_t q = p + 1; q < COLUMNS; q++)
                rotate(columns[p], columns[q]);
        memcpy(output + sweep * COLUMNS, columns, COLUMNS * sizeof *columns);
    }
}

SVD(generic)
#if defined(__x86_64__)
SVD(sse2)
SVD(avx2)
SVD(avx512)
#elif defined(__aarch64__)
SVD(neon)
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

const struct np_verify_kernel np_verify_svd_fp64 = {
    .name = "svd_fp64",
    .output_bytes = SWEEPS * COLUMNS * sizeof(column),
    .scratch_bytes = COLUMNS * sizeof(column),
    .standard_hash = UINT64_C(0x8a4ab194d1e2021f),
    .variant_count = NP_COUNT(VARIANTS),
    .variants = VARIANTS,
};

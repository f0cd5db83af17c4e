/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stores go around the cache where the CPU can do that: a plain store would first read the line it
 * is about to overwrite, a fourth stream that the count of bytes does not see. Compilers emit no
 * such stores for this loop, hence intrinsics. target_clones is of no use: musl cannot load it and
 * gcc 12 for aarch64 refuses it.
 */
#include "nodeproof/triad.h"

#include <errno.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx512f"))) static void triad_avx512(double *a, const double *b, const double *c, double s,
                                                            size_t count)
{
    const __m512d factor = _mm512_set1_pd(s);
    for (size_t i = 0; i < count; i += NP_TRIAD_GROUP)
        for (size_t k = i; k < i + NP_TRIAD_GROUP; k += 8)
            _mm512_stream_pd(a + k, _mm512_fmadd_pd(factor, _mm512_load_pd(c + k), _mm512_load_pd(b + k)));
    _mm_sfence(); /* the block ends when its stores are on their way to memory */
}

__attribute__((target("avx2,fma"))) static void triad_avx2(double *a, const double *b, const double *c, double s,
                                                           size_t count)
{
    const __m256d factor = _mm256_set1_pd(s);
    for (size_t i = 0; i < count; i += NP_TRIAD_GROUP)
        for (size_t k = i; k < i + NP_TRIAD_GROUP; k += 4)
            _mm256_stream_pd(a + k, _mm256_fmadd_pd(factor, _mm256_load_pd(c + k), _mm256_load_pd(b + k)));
    _mm_sfence();
}

static void triad_sse2(double *a, const double *b, const double *c, double s, size_t count)
{
    const __m128d factor = _mm_set1_pd(s);
    for (size_t i = 0; i < count; i += NP_TRIAD_GROUP)
        for (size_t k = i; k < i + NP_TRIAD_GROUP; k += 2)
            _mm_stream_pd(a + k, _mm_add_pd(_mm_mul_pd(factor, _mm_load_pd(c + k)), _mm_load_pd(b + k)));
    _mm_sfence();
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

static void triad_generic(double *restrict a, const double *restrict b, const double *restrict c, double s,
                          size_t count)
{
    for (size_t i = 0; i < count; i++)
        a[i] = b[i] + s * c[i];
}

static bool has_anything(void)
{
    return true;
}

static const struct np_triad_kernel KERNELS[] = {
#if defined(__x86_64__)
    {.isa = "avx512", .run = triad_avx512, .is_supported = has_avx512},
    {.isa = "avx2", .run = triad_avx2, .is_supported = has_avx2},
    {.isa = "sse2", .run = triad_sse2, .is_supported = has_anything},
#endif
    {.isa = "generic", .run = triad_generic, .is_supported = has_anything},
};

const struct np_triad_kernel *np_triad_kernels(size_t *count)
{
    *count = sizeof KERNELS / sizeof *KERNELS;
    return KERNELS;
}

int np_triad_find(const char *isa, const struct np_triad_kernel **kernel)
{
    int rc = -ENOENT;
    for (size_t i = 0; i < sizeof KERNELS / sizeof *KERNELS; i++) {
        if (isa != NULL && strcmp(isa, KERNELS[i].isa) != 0)
            continue;
        if (KERNELS[i].is_supported()) {
            *kernel = &KERNELS[i];
            return 0;
        }
        rc = -ENOTSUP;
    }
    return rc;
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

void np_triad_fill(double *a, double *b, double *c, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++) {
        a[i] = 0;
        b[i] = b_of(i);
        c[i] = c_of(i);
    }
}

uint64_t np_triad_wrong(const double *a, double s, size_t count)
{
    uint64_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        const double expected = b_of(i) + s * c_of(i);
        wrong += memcmp(&a[i], &expected, sizeof expected) != 0;
    }
    return wrong;
}

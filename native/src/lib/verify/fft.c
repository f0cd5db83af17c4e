/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convolution of two signals by Fourier transforms: radix 2, self-sorting (Stockham), real and imaginary parts apart.
 *
 * The roots of unity come from a polynomial of our own, for every C library has its own last bit of a sine.
 */
#include "kernels.h"
#include "vectors.h"

enum { N = NP_FFT_POINTS, ROUNDS = 4 };

struct signal {
    double re[N], im[N];
};

struct workspace {
    struct signal left, right, other;
    double cosine[N / 2], sine[N / 2];
};

/* One pass over all points: groups of `stride` neighbours share a root. */
typedef void pass_fn(const struct workspace *work, const struct signal *in, struct signal *out, size_t stride);

/* sin(x) / x and cos(x) for x below pi / 4, by the coefficients of the Taylor series: 16 digits at that distance. */
static double sine_of(double x)
{
    const double y = x * x;
    double sum = 0;
    for (int n = 19; n > 1; n -= 2)
        sum = (1 - sum) * y / (n * (n - 1));
    return x * (1 - sum);
}

static double cosine_of(double x)
{
    const double y = x * x;
    double sum = 0;
    for (int n = 20; n > 0; n -= 2)
        sum = (1 - sum) * y / (n * (n - 1));
    return 1 - sum;
}

/* exp(-2 pi i k / N) for half a circle, each eighth mirrored from the first. */
static void fill_roots(struct workspace *work)
{
    const double step = 6.28318530717958647692 / N;
    for (size_t k = 0; k <= N / 8; k++) {
        const double c = cosine_of((double)k * step), s = sine_of((double)k * step);
        work->cosine[k] = c;
        work->sine[k] = -s;
        work->cosine[N / 4 - k] = s;
        work->sine[N / 4 - k] = -c;
        work->cosine[N / 4 + k] = -s;
        work->sine[N / 4 + k] = -c;
        if (k > 0) {
            work->cosine[N / 2 - k] = -c;
            work->sine[N / 2 - k] = -s;
        }
    }
}

#define PASS(ISA)                                                                                                      \
    TARGET_##ISA static void pass_##ISA(const struct workspace *work, const struct signal *in, struct signal *out,     \
                                        size_t stride)                                                                 \
    {                                                                                                                  \
        for (size_t p = 0; p < N / 2; p += stride) {                                                                   \
            const fp64_##ISA c = fp64_##ISA##_all(work->cosine[p]), s = fp64_##ISA##_all(work->sine[p]);               \
            for (size_t q = 0; q < stride; q += fp64_##ISA##_lanes) {                                                  \
                const size_t from = p + q, to = 2 * p + q;                                                             \
                const fp64_##ISA a_re = fp64_##ISA##_load(&in->re[from]), a_im = fp64_##ISA##_load(&in->im[from]);     \
                const fp64_##ISA b_re = fp64_##ISA##_load(&in->re[from + N / 2]);                                      \
                const fp64_##ISA b_im = fp64_##ISA##_load(&in->im[from + N / 2]);                                      \
                const fp64_##ISA re = a_re - b_re, im = a_im - b_im;                                                   \
                fp64_##ISA##_store(&out->re[to], a_re + b_re);                                                         \
                fp64_##ISA##_store(&out->im[to], a_im + b_im);                                                         \
                fp64_##ISA##_store(&out->re[to + stride], re * c - im * s);                                            \
                fp64_##ISA##_store(&out->im[to + stride], re * s + im * c);                                            \
            }                                                                                                          \
        }                                                                                                              \
    }

PASS(generic)

/* Ten passes, an even number, end where they began. */
static void transform(struct workspace *work, struct signal *signal, pass_fn *pass, size_t lanes)
{
    struct signal *in = signal, *out = &work->other;
    for (size_t stride = 1; stride < N; stride *= 2) {
        (stride < lanes ? pass_generic : pass)(work, in, out, stride);
        struct signal *swap = in;
        in = out;
        out = swap;
    }
}

/* result = left * right, right being a spectrum. Backwards is forwards with the parts exchanged. */
static void multiply(struct workspace *work, struct signal *result, pass_fn *pass, size_t lanes)
{
    const struct signal *a = &work->left, *b = &work->right;
    transform(work, &work->left, pass, lanes);
    for (size_t k = 0; k < N; k++) {
        result->im[k] = (a->re[k] * b->re[k] - a->im[k] * b->im[k]) / N;
        result->re[k] = (a->re[k] * b->im[k] + a->im[k] * b->re[k]) / N;
    }
    transform(work, result, pass, lanes);
}

/* Output: the spectrum of one signal, then the other signal convolved with it several times. */
static void convolve(uint64_t seed, void *scratch, void *output, pass_fn *pass, size_t lanes)
{
    struct workspace *work = scratch;
    struct signal *spectrum = output, *result = spectrum + 1;
    fill_roots(work);
    np_verify_fill_fp64(~seed, work->left.re, sizeof(struct signal) / sizeof(double));
    np_verify_fill_fp64(seed, work->right.re, sizeof(struct signal) / sizeof(double));
    transform(work, &work->right, pass, lanes);
    *spectrum = work->right;
    for (int round = 0; round < ROUNDS; round++) {
        multiply(work, result, pass, lanes);
        work->left = *result;
    }
}

#define RUN(ISA)                                                                                                       \
    static void run_##ISA(uint64_t seed, void *scratch, void *output)                                                  \
    {                                                                                                                  \
        convolve(seed, scratch, output, pass_##ISA, fp64_##ISA##_lanes);                                               \
    }

RUN(generic)
#if defined(__x86_64__)
PASS(sse2)
PASS(avx2)
PASS(avx512)
RUN(sse2)
RUN(avx2)
RUN(avx512)
#elif defined(__aarch64__)
PASS(neon)
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

const struct np_verify_kernel np_verify_fft_fp64 = {
    .name = "fft_fp64",
    .output_bytes = 2 * sizeof(struct signal),
    .scratch_bytes = sizeof(struct workspace),
    .standard_hash = UINT64_C(0xbb70753b00f2920b),
    .variant_count = NP_COUNT(VARIANTS),
    .variants = VARIANTS,
};

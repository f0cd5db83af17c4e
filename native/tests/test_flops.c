/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "nodeproof/flops.h"
#include "test.h"

static _Alignas(NP_FLOPS_ALIGNMENT) unsigned char output[NP_FLOPS_OUTPUT_BYTES];

/* Volatile: a compiler may fuse what is written apart. */
static double separately(double x, double factor)
{
    const volatile double product = x * factor;
    return x + product;
}

static float separately_f(float x, float factor)
{
    const volatile float product = x * factor;
    return x + product;
}

static void fp64_is_right(const double *x, size_t count, double first, uint64_t rounds)
{
    const double factor = NP_FLOPS_FACTOR;
    double fused = first, separate = first;
    for (uint64_t i = 0; i < rounds; i++) {
        fused = fma(fused, factor, fused);
        separate = separately(separate, factor);
    }
    for (size_t i = 0; i < count; i++)
        CHECK(x[i] == fused || x[i] == separate);
    CHECK(fused > first * (1 + factor * (double)rounds / 2) || rounds == 0);
}

static void fp32_is_right(const float *x, size_t count, float first, uint64_t rounds)
{
    float fused = first, separate = first;
    for (uint64_t i = 0; i < rounds; i++) {
        fused = fmaf(fused, NP_FLOPS_FACTOR, fused);
        separate = separately_f(separate, NP_FLOPS_FACTOR);
    }
    for (size_t i = 0; i < count; i++)
        CHECK(x[i] == fused || x[i] == separate);
    CHECK(fused > first || rounds == 0);
}

static void bf16_is_right(const float *x, size_t count, float first, uint64_t pairs)
{
    for (size_t i = 0; i < count; i++)
        CHECK(x[i] == first + (float)pairs * NP_BF16_STEP);
}

static void int8_is_right(const int32_t *x, size_t count, int32_t first, uint64_t fours)
{
    for (size_t i = 0; i < count; i++)
        CHECK(x[i] == first + (int32_t)fours * NP_INT8_STEP);
}

static void is_right(enum np_precision precision, const struct np_flops_kernel *kernel, uint64_t rounds)
{
    const size_t count = kernel->elements / kernel->vectors; /* of one vector */
    const uint64_t products = rounds * kernel->operations / kernel->elements / 2;
    memset(output, 0x5a, sizeof output);
    kernel->run(rounds, output);
    for (size_t v = 0; v < kernel->vectors; v++) {
        const void *vector = output + v * count * (precision == NP_FP64 ? 8 : 4);
        if (precision == NP_FP64)
            fp64_is_right(vector, count, (double)v + 1, rounds);
        else if (precision == NP_FP32)
            fp32_is_right(vector, count, (float)v + 1, rounds);
        else if (precision == NP_BF16)
            bf16_is_right(vector, count, (float)v + 1, products / 2);
        else
            int8_is_right(vector, count, (int32_t)v + 1, products / 4);
    }
    for (size_t i = kernel->elements * (precision == NP_FP64 ? 8 : 4); i < sizeof output; i++)
        CHECK(output[i] == 0x5a); /* nothing was written behind them */
}

int main(void)
{
    struct np_flops_kernel kernel, widest;
    int tested = 0;
    for (int isa = 0; isa < NP_ISA_COUNT; isa++) {
        for (int precision = 0; precision < NP_PRECISION_COUNT; precision++) {
            if (np_flops_find((enum np_precision)precision, (enum np_isa)isa, &kernel) != 0)
                continue;
            CHECK(np_isa_is_supported((enum np_isa)isa));
            is_right((enum np_precision)precision, &kernel, 0);
            is_right((enum np_precision)precision, &kernel, 1);
            is_right((enum np_precision)precision, &kernel, 4321);
            tested++;
        }
    }
    CHECK(tested >= 4); /* fp64 and fp32, in plain C and in what every CPU of the architecture has */
    CHECK(np_flops_widest() != NP_ISA_GENERIC);
    CHECK(np_flops_find(NP_FP64, np_flops_widest(), &widest) == 0 &&
          np_flops_find(NP_FP32, np_flops_widest(), &kernel) == 0);
    CHECK(kernel.operations == 2 * widest.operations);
    CHECK(strcmp(np_precision_name(NP_INT8), "int8") == 0);
    return EXIT_SUCCESS;
}

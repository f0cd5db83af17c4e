/* SPDX-License-Identifier: Apache-2.0 */
#include "nodeproof/flops.h"

#include <errno.h>

#include "table.h"

static np_flops_table *const TABLES[NP_ISA_COUNT] = {
    [NP_ISA_GENERIC] = &np_flops_generic,
#if defined(__x86_64__)
    [NP_ISA_SSE2] = &np_flops_sse2,
    [NP_ISA_AVX2] = &np_flops_avx2,
    [NP_ISA_AVX512] = &np_flops_avx512,
#elif defined(__aarch64__)
    [NP_ISA_NEON] = &np_flops_neon,
    [NP_ISA_SVE] = &np_flops_sve,
#endif
};

static const char *const NAMES[NP_PRECISION_COUNT] = {
    [NP_FP64] = "fp64",
    [NP_FP32] = "fp32",
    [NP_BF16] = "bf16",
    [NP_INT8] = "int8",
};

const char *np_precision_name(enum np_precision precision)
{
    return NAMES[precision];
}

static size_t vector_bytes(const struct np_flops_variant *variant)
{
#if defined(__aarch64__)
    if (variant->vector_bytes == 0)
        return np_flops_sve_bytes();
#endif
    return variant->vector_bytes;
}

int np_flops_find(enum np_precision precision, enum np_isa isa, struct np_flops_kernel *kernel)
{
    if (TABLES[isa] == NULL || !np_isa_is_supported(isa))
        return -ENOENT;
    for (int i = 0; i < NP_FLOPS_VARIANTS; i++) {
        const struct np_flops_variant *variant = &(*TABLES[isa])[precision][i];
        if (variant->run == NULL || (variant->is_supported != NULL && !variant->is_supported()))
            continue;
        const size_t bytes = precision == NP_FP64 ? sizeof(double) : sizeof(float);
        const size_t elements = variant->vectors * vector_bytes(variant) / bytes;
        *kernel = (struct np_flops_kernel){.run = variant->run,
                                           .vectors = variant->vectors,
                                           .elements = elements,
                                           .operations = 2 * elements * variant->products};
        return 0;
    }
    return -ENOENT;
}

enum np_isa np_flops_widest(void)
{
    struct np_flops_kernel kernel;
    int isa = NP_ISA_COUNT - 1;
    while (isa > 0 && np_flops_find(NP_FP64, (enum np_isa)isa, &kernel) != 0)
        isa--;
    return (enum np_isa)isa;
}

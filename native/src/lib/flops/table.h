/* SPDX-License-Identifier: Apache-2.0 */
/* One table of kernels for each instruction set, each in its own file. */
#ifndef NODEPROOF_FLOPS_TABLE_H
#define NODEPROOF_FLOPS_TABLE_H

#include <stdbool.h>

#include "nodeproof/flops.h"

/** Instructions for one precision come in generations: the first that the CPU supports is taken. */
enum { NP_FLOPS_VARIANTS = 2 };

struct np_flops_variant {
    np_flops_fn *run;
    size_t vectors;
    size_t vector_bytes; /**< 0: SVE, whose CPU decides */
    size_t products;     /**< for each element of an accumulator, in one round */
    bool (*is_supported)(void);
};

typedef const struct np_flops_variant np_flops_table[NP_PRECISION_COUNT][NP_FLOPS_VARIANTS];

extern np_flops_table np_flops_generic;
#if defined(__x86_64__)
extern np_flops_table np_flops_sse2;
extern np_flops_table np_flops_avx2;
extern np_flops_table np_flops_avx512;
#elif defined(__aarch64__)
extern np_flops_table np_flops_neon;
extern np_flops_table np_flops_sve;
size_t np_flops_sve_bytes(void);
#endif

#endif

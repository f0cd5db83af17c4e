/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels that keep the arithmetic units of a core busy: multiplications and additions in so many
 * independent accumulators that none of them has to wait, and nothing else.
 *
 * Units for whole matrices (AMX, SME) are beyond them: these need the kernel's leave or modes of their own.
 */
#ifndef NODEPROOF_FLOPS_H
#define NODEPROOF_FLOPS_H

#include <stddef.h>
#include <stdint.h>

#include "nodeproof/isa.h"

enum np_precision {
    NP_FP64,
    NP_FP32,
    NP_BF16, /**< products of bfloat16, sums of fp32 */
    NP_INT8, /**< products of 8 bits, sums of 32 */
    NP_PRECISION_COUNT,
};

/** Alignment of what a kernel writes, and the most of it. */
enum { NP_FLOPS_ALIGNMENT = 64, NP_FLOPS_OUTPUT_BYTES = 8192 };

/**
 * Do `rounds` rounds, then write the accumulators to `output`.
 *
 * Those of vector i begin with i + 1 in each element. A round makes x + x * NP_FLOPS_FACTOR of a
 * floating-point x, and adds products to the others: NP_BF16_STEP for two, NP_INT8_STEP for four.
 */
typedef void np_flops_fn(uint64_t rounds, void *output);

/** Dense in bits, as real data are, and so small that nothing overflows in 10^8 rounds. */
#define NP_FLOPS_FACTOR 0x1.555556p-21F

enum { NP_BF16_STEP = 1, NP_INT8_STEP = -166 };

struct np_flops_kernel {
    np_flops_fn *run;
    size_t vectors;    /**< accumulators, each a vector */
    size_t elements;   /**< in all of them: double, float or int32_t */
    size_t operations; /**< that one round makes: a multiplication is one, an addition another */
};

/** The name in results, such as `fp64`. */
const char *np_precision_name(enum np_precision precision);

/** Find the kernel for these instructions. Returns 0, or -ENOENT if this program or this CPU has none. */
int np_flops_find(enum np_precision precision, enum np_isa isa, struct np_flops_kernel *kernel);

/** The widest instructions that this program has kernels for and this CPU supports. */
enum np_isa np_flops_widest(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Instruction sets that kernels are written for. */
#ifndef NODEPROOF_ISA_H
#define NODEPROOF_ISA_H

#include <stdbool.h>

/** Of one architecture a later one is wider. */
enum np_isa {
    NP_ISA_GENERIC, /**< plain C */
    NP_ISA_SSE2,
    NP_ISA_AVX2,   /**< with FMA */
    NP_ISA_AVX512, /**< F, DQ, BW and VL: all AVX-512 servers */
    NP_ISA_NEON,
    NP_ISA_SVE, /**< with vectors of a power of two */
    NP_ISA_COUNT,
};

/** The name on the command line and in results, such as `avx512`. */
const char *np_isa_name(enum np_isa isa);

/** True if this CPU, and the kernel that saves its registers, can run it. */
bool np_isa_is_supported(enum np_isa isa);

/** Find an instruction set by name. Returns 0, or -ENOENT if there is none. */
int np_isa_find(const char *name, enum np_isa *isa);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels that find silent data corruption: the same seed gives the same bytes on every healthy core.
 *
 * They are pieces of real programs and not loops over one instruction, for those almost never
 * reproduce a defect. All variants of a kernel give the same bytes too, on every architecture: products and sums
 * are either rounded apart or fused, as the kernel's name says, always in the same order.
 */
#ifndef NODEPROOF_VERIFY_H
#define NODEPROOF_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodeproof/isa.h"

/** The seed whose outputs are known beforehand: it finds a machine whose cores are all wrong in the same way. */
#define NP_VERIFY_SEED UINT64_C(0x6e6f646570726f66)

/** Alignment of scratch and output, and the most that a kernel asks of each. */
enum { NP_VERIFY_ALIGNMENT = 64, NP_VERIFY_MAX_OUTPUT_BYTES = 64 << 10, NP_VERIFY_MAX_SCRATCH_BYTES = 96 << 10 };

/** Fill all of `output` from `seed` alone; what `scratch` held before does not matter. */
typedef void np_verify_fn(uint64_t seed, void *scratch, void *output);

/** A kernel in the instructions of one ISA, and those beyond it that the CPU has for just this work (AES, SHA). */
struct np_verify_variant {
    enum np_isa isa;
    bool (*is_supported)(void);
    np_verify_fn *run;
};

/** Sizes are multiples of eight. One run takes 10 microseconds to 2 milliseconds. */
struct np_verify_kernel {
    const char *name;
    size_t output_bytes;
    size_t scratch_bytes;
    uint64_t standard_hash; /**< np_verify_hash of the output of NP_VERIFY_SEED */
    size_t variant_count;
    const struct np_verify_variant *variants; /**< the first is the generic one, which every machine supports */
};

/** All kernels; `*count` is their number. */
const struct np_verify_kernel *const *np_verify_kernels(size_t *count);

/** Hash of whole 64-bit words: a change within one word always changes it. `bytes` is a multiple of eight. */
uint64_t np_verify_hash(const void *data, size_t bytes);

/** Where two outputs differ. */
struct np_verify_difference {
    size_t offset; /**< in bytes, of the first 64-bit word that differs */
    uint64_t expected;
    uint64_t found;
    size_t wrong_words;
};

/** Compare two outputs of a kernel. Returns true if they are equal; else `*first` says where they are not. */
bool np_verify_compare(const void *expected, const void *found, size_t bytes, struct np_verify_difference *first);

#endif

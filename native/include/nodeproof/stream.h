/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that stream through memory, as in McCalpin's STREAM: the arrays are a, b and c, the factor is s. */
#ifndef NODEPROOF_STREAM_H
#define NODEPROOF_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "nodeproof/isa.h"

/** Kernels work on whole groups of this many elements, arrays aligned to 64 bytes. */
enum { NP_STREAM_GROUP = 512 };

enum np_stream_op {
    NP_STREAM_READ,          /**< sum of b */
    NP_STREAM_WRITE,         /**< a = s */
    NP_STREAM_COPY,          /**< a = b */
    NP_STREAM_SCALE,         /**< a = s * b */
    NP_STREAM_ADD,           /**< a = b + c */
    NP_STREAM_TRIAD,         /**< a = b + s * c */
    NP_STREAM_TRIAD_REGULAR, /**< the same with plain stores, which read each line before they overwrite it */
    NP_STREAM_OP_COUNT,
};

/** Returns the sum of b, or 0 if the kernel is not the one that reads. */
typedef double np_stream_fn(double *a, const double *b, const double *c, double s, size_t count);

/** The kernel for these instructions, or NULL if this program has none. */
np_stream_fn *np_stream_kernel(enum np_stream_op op, enum np_isa isa);

/** The widest instructions that this program has streaming kernels for and this CPU supports. */
enum np_isa np_stream_widest(void);

/** Bytes that one element moves, as STREAM counts: what the program asks for, not what the caches add to it. */
size_t np_stream_bytes(enum np_stream_op op);

/** The arrays of an operation, one bit for each. */
enum { NP_STREAM_A = 1 << 0, NP_STREAM_B = 1 << 1, NP_STREAM_C = 1 << 2 };
unsigned int np_stream_arrays(enum np_stream_op op);

/**
 * Fill `count` elements from `first` on of the arrays of an operation, the others may be anything: a with zeros, b and
 * c with small whole numbers, so that all results are exact.
 */
void np_stream_fill(enum np_stream_op op, double *a, double *b, double *c, size_t first, size_t count);

/**
 * Count the elements of `a` from `first` on that are not bit for bit what the operation makes of
 * np_stream_fill's numbers; for the kernel that reads, whether `sum` is not that of b (0 or 1).
 */
uint64_t np_stream_wrong(enum np_stream_op op, const double *a, double s, double sum, size_t first, size_t count);

#endif

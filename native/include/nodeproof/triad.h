/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_TRIAD_H
#define NODEPROOF_TRIAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Kernels work on whole groups of this many elements, arrays aligned to 64 bytes. */
enum { NP_TRIAD_GROUP = 32 };

/** Bytes that one element moves: two loads and a store, as STREAM counts. */
enum { NP_TRIAD_BYTES = 3 * sizeof(double) };

/** a[i] = b[i] + s * c[i] for `count` elements, a multiple of NP_TRIAD_GROUP. */
typedef void np_triad_fn(double *a, const double *b, const double *c, double s, size_t count);

/** One way to compute it. `isa` names the instructions, `is_supported` asks the CPU for them. */
struct np_triad_kernel {
    const char *isa;
    np_triad_fn *run;
    bool (*is_supported)(void);
};

/** All kernels this program was built with, widest first; `*count` is their number. */
const struct np_triad_kernel *np_triad_kernels(size_t *count);

/**
 * Find a kernel by name, or the widest that this CPU supports if `isa` is NULL.
 *
 * Returns 0, -ENOENT if there is no kernel of that name, or -ENOTSUP if this CPU cannot run it.
 */
int np_triad_find(const char *isa, const struct np_triad_kernel **kernel);

/** Fill `count` elements from `first` on, a with zeros, b and c with small whole numbers: all results are exact. */
void np_triad_fill(double *a, double *b, double *c, size_t first, size_t count);

/** Count the first elements of `a` that are not bit for bit what the triad of np_triad_fill's numbers gives. */
uint64_t np_triad_wrong(const double *a, double s, size_t count);

#endif

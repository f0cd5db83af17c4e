/* SPDX-License-Identifier: Apache-2.0 */
/* A library that is loaded at run time: the same program runs where there is none. */
#ifndef NODEPROOF_BENCH_LIBRARY_H
#define NODEPROOF_BENCH_LIBRARY_H

#include <stddef.h>

#include "bench.h"

/** A function of the library, and where in the caller's structure its pointer goes. */
struct library_symbol {
    const char *name;
    const char *older_name; /**< of the same function in older versions; NULL: it has always been called so */
    size_t offset;
    bool is_optional; /**< the pointer may be NULL */
};

/**
 * Load a library, for good: it has loaded others that are not made to go, and find its functions.
 *
 * Returns 0; -ENOENT if it is not installed, or -ENOTSUP, with one sentence in `why`.
 */
int library_load(const char *name, const struct library_symbol *symbols, size_t count, void *functions,
                 char why[BENCH_WHY_BYTES]);

#endif

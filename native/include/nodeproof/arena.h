/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NODEPROOF_ARENA_H
#define NODEPROOF_ARENA_H

#include <stddef.h>

/** Huge pages of x86-64, and of aarch64 with 4 KiB base pages. */
enum { NP_HUGE_PAGE_BYTES = 2 << 20 };

/** Memory that starts on a huge page and asks for huge pages. Untouched until somebody writes to it. */
struct np_arena {
    void *base;
    size_t bytes;
    void *map;
    size_t map_bytes;
};

/** Reserve `bytes`, rounded up to huge pages. Returns 0 or -errno. */
int np_arena_open(struct np_arena *arena, size_t bytes);

void np_arena_close(struct np_arena *arena);

/**
 * Bind an arena that nobody has touched yet to the memory of one NUMA node.
 *
 * Returns 0 or -errno; -ENOSYS and -EPERM (containers often forbid the call) leave it to first touch.
 */
int np_arena_bind(const struct np_arena *arena, unsigned int node);

/**
 * Find the share (0 to 1) of the arena's pages that are on `node`, by a sample of them.
 *
 * Returns 0 or -errno; -ENOSYS and -EPERM mean that it cannot be known here.
 */
int np_arena_local_share(const struct np_arena *arena, unsigned int node, double *share);

#endif

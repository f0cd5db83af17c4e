/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain of pointers through all cache lines of a piece of memory, in random order.
 *
 * A load that follows it needs the result of the one before, and no prefetcher can guess where it
 * leads: the time for each is the latency of whatever holds the lines.
 */
#ifndef NODEPROOF_CHASE_H
#define NODEPROOF_CHASE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/** Where CPUs have longer lines, these are random neighbours within one: a few loads in a cycle find it loaded. */
enum { NP_LINE_BYTES = 64 };

struct np_line {
    struct np_line *next;
    unsigned char rest[NP_LINE_BYTES - sizeof(void *)];
};

/**
 * Link the lines into one cycle, each of the possible ones as likely as any other. The same seed gives the same.
 *
 * Returns 0, -EINVAL without lines, or -ECANCELED, seen within milliseconds.
 */
int np_chase_link(struct np_line *lines, size_t count, uint64_t seed, const atomic_bool *is_cancelled);

/** How far a chase has come. */
struct np_chase {
    const struct np_line *at;
};

/** An np_block_fn: the state is a struct np_chase, a unit one load. */
uint64_t np_chase_follow(void *state, uint64_t loads);

#endif

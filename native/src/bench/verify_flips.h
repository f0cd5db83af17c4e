/* SPDX-License-Identifier: Apache-2.0 */
/* Bits that the program for tests flips on request, as a broken core would: does the check find them? */
#ifndef NODEPROOF_BENCH_VERIFY_FLIPS_H
#define NODEPROOF_BENCH_VERIFY_FLIPS_H

#include "bench.h"

enum { FLIPS_MOST = 128 };

/** When a flip happens: always, the first time only, or with all seeds but the one whose results are known. */
enum flip_when { FLIP_ALWAYS, FLIP_ONCE, FLIP_UNKNOWN };

struct flip {
    unsigned int cpu;
    char kernel[32];
    uint64_t bit; /**< of the output, beginning again at its end */
    enum flip_when when;
    bool is_over;
};

struct flips {
    struct flip flip[FLIPS_MOST];
    size_t count;
};

/** Read `flip:CPU:KERNEL:BIT[:once|:unknown]` and more of them after commas. Returns 0 or -EINVAL. */
int flips_read(struct flips *flips, const char *hook, char why[BENCH_WHY_BYTES]);

/** Flip what was asked for in an output that this CPU has just made. */
void flips_apply(struct flips *flips, unsigned int cpu, const char *kernel, uint64_t seed, void *output, size_t bytes);

#endif

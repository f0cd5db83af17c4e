/* SPDX-License-Identifier: Apache-2.0 */
/* What bench_main.c asks of a benchmark. A new one is a file beside this one and a row in its table. */
#ifndef NODEPROOF_BENCH_BENCH_H
#define NODEPROOF_BENCH_BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "nodeproof/clock.h"
#include "nodeproof/cpuset.h"
#include "nodeproof/json.h"

/** What the command line asked for. */
struct bench_request {
    struct np_clock clock;
    const atomic_bool *is_cancelled;
    const char *isa; /**< NULL: the best that this CPU has */
    double seconds;  /**< 0: the benchmark's own */
    bool has_cpus;
    struct np_cpuset cpus;
    int node; /**< -1: the benchmark's own choice */
};

enum { BENCH_WHY_BYTES = 512 };

/**
 * Run, and write the benchmark's own keys to `out`.
 *
 * Returns 0 or -errno, with one sentence in `why`: -EINVAL is a mistake in the request, -ENOTSUP
 * something that this machine does not have.
 */
typedef int bench_fn(const struct bench_request *request, struct np_json *out, char why[BENCH_WHY_BYTES]);

/** Write the sentence and return `rc`. */
__attribute__((format(printf, 3, 4))) int bench_why(char why[BENCH_WHY_BYTES], int rc, const char *format, ...);

bench_fn memory_triad;

#endif
